"""The embedded stand-ins: two real ImageNet networks, and distances that order degradations."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from skimage import data
from torch import Tensor

from jscgc.machine import cores, memory_bytes
from jscgc.metrics import pair_metric
from jscgc.metrics.images import as_saved, resize_shorter_side
from jscgc.metrics.memo import Memo
from jscgc.metrics.networks.efficientnet import VARIANTS, EfficientNetLite, load, shared

ALL = tuple(f"{what}_{key}" for key in VARIANTS for what in ("feature_distance", "semantic_cosine", "class_change"))
CHANNELS = {"efficientnet_lite0": (24, 40, 112, 320), "efficientnet_lite2": (24, 48, 120, 352)}
SIDES = {"efficientnet_lite0": 224, "efficientnet_lite2": 260}


@pytest.fixture(params=VARIANTS)
def key(request: pytest.FixtureRequest) -> str:
    """Each network, by the key of its weights."""
    return str(request.param)


def test_it_knows_imagenet(key: str, pictures: SimpleNamespace) -> None:
    espresso = shared(key, "cpu").recognise(pictures.to_tensor(data.coffee())).logits.argmax().item()
    cat = shared(key, "cpu").recognise(pictures.to_tensor(data.chelsea())).logits.argmax().item()
    assert espresso == 967
    assert 281 <= cat <= 285


def test_blocks_are_the_documented_pyramid(key: str, chelsea: Tensor) -> None:
    shapes = [tuple(level.shape[1:]) for level in shared(key, "cpu").blocks(chelsea)]
    assert shapes == [(c, side, side) for c, side in zip(CHANNELS[key], (48, 24, 12, 6), strict=True)]


def test_each_of_them_is_the_last_block_of_its_resolution(key: str) -> None:
    """As the library's own strides have it: a block that halves comes next, or none."""
    net, wanted = load(VARIANTS[key]), VARIANTS[key].blocks
    halving = [i for i, block in enumerate(net._blocks) if 2 in torch.tensor(block._depthwise_conv.stride).tolist()]
    assert [i - 1 for i in halving[1:]] == list(wanted[:3]) and wanted[3] == len(net._blocks) - 1


def test_it_is_the_librarys_forward(key: str, chelsea: Tensor) -> None:
    resized = resize_shorter_side(chelsea, SIDES[key])
    with torch.no_grad():
        expected = load(VARIANTS[key])((resized * 255 - 127) / 128)
    torch.testing.assert_close(shared(key, "cpu").recognise(chelsea).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(96, 80), (81, 97), (64, 66)])
def test_its_blocks_are_the_librarys(key: str, size: tuple[int, int], chelsea: Tensor) -> None:
    """At sides of which TensorFlow's padding is even, odd and uneven."""
    image = as_saved(chelsea[:, :, : size[0], : size[1]])
    network = load(VARIANTS[key])
    with torch.no_grad():
        x = network._swish(network._bn0(network._conv_stem((image * 255 - 127) / 128)))
        for index, block in enumerate(network._blocks[: VARIANTS[key].blocks[-1] + 1]):
            x = block(x)
            if index in VARIANTS[key].blocks:
                level = shared(key, "cpu").blocks(image)[VARIANTS[key].blocks.index(index)]
                torch.testing.assert_close(level, x, rtol=1e-4, atol=1e-4)


def test_one_network_per_device_and_no_random_numbers_spent(key: str) -> None:
    before = torch.random.get_rng_state()
    EfficientNetLite(VARIANTS[key], "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert shared(key, "cpu") is shared(key, "cpu")
    assert shared("efficientnet_lite0", "cpu") is not shared("efficientnet_lite2", "cpu")


def test_feature_distance_orders_degradations(
    key: str, chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]
) -> None:
    metric = pair_metric(f"feature_distance_{key}")
    degraded = torch.cat(degradation(chelsea))
    values = metric(chelsea.expand(4, -1, -1, -1), degraded)
    assert values[0] > 0 and (values.diff() > 0).all() and values[-1] < 16
    assert values.tolist() == pytest.approx([metric(chelsea, x[None]).item() for x in degraded], abs=1e-5)


def test_semantics_fade_with_degradation(
    key: str, chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]
) -> None:
    mild, *_, strong = degradation(chelsea)
    cosine = pair_metric(f"semantic_cosine_{key}")
    assert 1 > cosine(chelsea, mild) > cosine(chelsea, strong) > 0


def test_class_change(key: str, chelsea: Tensor, coffee: Tensor) -> None:
    change = pair_metric(f"class_change_{key}")
    assert change(chelsea, chelsea).tolist() == [0.0]
    assert change(chelsea, coffee).tolist() == [1.0]
    assert change(torch.cat([chelsea, coffee]), torch.cat([chelsea, chelsea])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("name", ALL)
def test_identity_determinism_and_odd_sizes(name: str, chelsea: Tensor, pictures: SimpleNamespace) -> None:
    metric = pair_metric(name)
    best = 1.0 if metric.info.direction == "higher" else 0.0
    assert metric(chelsea, chelsea).item() == pytest.approx(best, abs=1e-6)
    for image in (chelsea[:, :, :97, :131], chelsea[:, :, :16, :40], chelsea[:, :, :1, :1]):
        assert metric(image, image).item() == pytest.approx(best, abs=1e-6)
    received = pictures.noise(chelsea, 0.1)
    first = metric(chelsea, received)
    assert metric.info.network is not None
    shared(metric.info.network, "cpu")._memo.clear()
    assert torch.equal(metric(chelsea, received), first)


def test_batch_is_single(chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace) -> None:
    reference = torch.cat([chelsea, coffee])
    received = torch.cat([pictures.blur(chelsea, 1.0), pictures.noise(coffee, 0.1)])
    for name in ALL:
        metric = pair_metric(name)
        both = metric(reference, received)
        each = [metric(a[None], b[None]).item() for a, b in zip(reference, received, strict=True)]
        assert both.tolist() == pytest.approx(each, abs=1e-5)


def test_results_are_remembered_by_content_within_a_bound(
    key: str, chelsea: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = EfficientNetLite(VARIANTS[key], "cpu")
    first = net.blocks(chelsea)
    assert net.blocks(chelsea.clone())[0] is first[0]
    assert net.blocks(chelsea.flip(3))[0] is not first[0]
    assert Memo(2**60).limit_bytes < memory_bytes() / cores()  # a worker on each core has several
    monkeypatch.setattr(net._memo, "limit_bytes", 0)
    net.recognise(chelsea)
    assert len(net._memo) == 1
