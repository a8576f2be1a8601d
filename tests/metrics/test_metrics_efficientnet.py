"""The embedded stand-ins: a real ImageNet network, and distances that order degradations."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from skimage import data
from torch import Tensor

from jscgc.metrics import pair_metric
from jscgc.metrics.images import resize_shorter_side
from jscgc.metrics.networks.efficientnet import EfficientNetLite0, shared

ALL = (
    "feature_distance_efficientnet_lite0",
    "semantic_cosine_efficientnet_lite0",
    "class_change_efficientnet_lite0",
)


def test_it_knows_imagenet(pictures: SimpleNamespace) -> None:
    espresso = shared("cpu").recognise(pictures.to_tensor(data.coffee())).logits.argmax().item()
    cat = shared("cpu").recognise(pictures.to_tensor(data.chelsea())).logits.argmax().item()
    assert espresso == 967
    assert 281 <= cat <= 285


def test_blocks_are_the_documented_pyramid(chelsea: Tensor) -> None:
    shapes = [tuple(level.shape[1:]) for level in shared("cpu").blocks(chelsea)]
    assert shapes == [(24, 48, 48), (40, 24, 24), (112, 12, 12), (320, 6, 6)]


def test_it_is_the_librarys_forward(chelsea: Tensor) -> None:
    net = shared("cpu")
    resized = resize_shorter_side(chelsea, 224)
    with torch.no_grad():
        expected = net._network((resized * 255 - 127) / 128)
    torch.testing.assert_close(net.recognise(chelsea).logits, expected, rtol=1e-4, atol=1e-4)


def test_one_network_per_device_and_no_random_numbers_spent() -> None:
    before = torch.random.get_rng_state()
    EfficientNetLite0("cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert shared("cpu") is shared("cpu")


def test_feature_distance_orders_degradations(chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]) -> None:
    metric = pair_metric("feature_distance_efficientnet_lite0")
    degraded = torch.cat(degradation(chelsea))
    values = metric(chelsea.expand(4, -1, -1, -1), degraded)
    assert values[0] > 0 and (values.diff() > 0).all() and values[-1] < 16
    assert values.tolist() == pytest.approx([metric(chelsea, x[None]).item() for x in degraded], abs=1e-5)


def test_semantics_fade_with_degradation(chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]) -> None:
    mild, *_, strong = degradation(chelsea)
    cosine = pair_metric("semantic_cosine_efficientnet_lite0")
    assert 1 > cosine(chelsea, mild) > cosine(chelsea, strong) > 0


def test_class_change(chelsea: Tensor, coffee: Tensor) -> None:
    change = pair_metric("class_change_efficientnet_lite0")
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
    shared("cpu")._memo.clear()
    assert torch.equal(metric(chelsea, received), first)


def test_batch_is_single(chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace) -> None:
    reference = torch.cat([chelsea, coffee])
    received = torch.cat([pictures.blur(chelsea, 1.0), pictures.noise(coffee, 0.1)])
    for name in ALL:
        metric = pair_metric(name)
        both = metric(reference, received)
        each = [metric(a[None], b[None]).item() for a, b in zip(reference, received, strict=True)]
        assert both.tolist() == pytest.approx(each, abs=1e-5)


def test_results_are_remembered_by_content_within_a_bound(chelsea: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    net = EfficientNetLite0("cpu")
    first = net.blocks(chelsea)
    assert net.blocks(chelsea.clone())[0] is first[0]
    assert net.blocks(chelsea.flip(3))[0] is not first[0]
    monkeypatch.setattr(net._memo, "limit_bytes", 0)
    net.recognise(chelsea)
    assert len(net._memo) == 1
