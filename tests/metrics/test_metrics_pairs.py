"""PSNR, MS-SSIM and LPIPS against closed forms and their libraries' own calls."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import lpips
import pytest
import torch
from pytorch_msssim import ms_ssim
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from jscgc.metrics import Trainable, pair_metric
from jscgc.metrics.images import as_bytes
from jscgc.metrics.kinds.lpips import LPIPS, load_alex
from jscgc.metrics.kinds.ms_ssim import WEIGHTS, _few_scales, scales
from jscgc.metrics.weights import ALEXNET

FAST = ("psnr", "ms_ssim")


OLD_SPELLING = "ignore:(The parameter 'pretrained'|Arguments other than a weight enum):UserWarning"


@pytest.mark.parametrize("levels", [1, 8, 255])
def test_psnr_of_a_constant_offset(levels: int) -> None:
    reference = torch.zeros(2, 3, 20, 30)
    value = pair_metric("psnr")(reference, reference + levels / 255)
    assert value.tolist() == pytest.approx([20 * math.log10(255 / levels)] * 2, abs=1e-5)


def test_psnr_against_scikit_image(chelsea: Tensor, pictures: SimpleNamespace) -> None:
    received = pictures.noise(chelsea, 0.05)
    a, b = (as_bytes(x).numpy() for x in (chelsea, received))
    assert pair_metric("psnr")(chelsea, received).item() == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-4)


def test_psnr_sees_the_image_as_saved(chelsea: Tensor) -> None:
    psnr = pair_metric("psnr")
    assert psnr(chelsea, chelsea + 0.4 / 255).item() == 100.0  # rounds back to the same bytes
    assert psnr(torch.ones(1, 3, 8, 8), torch.full((1, 3, 8, 8), 7.0)).item() == 100.0  # clamped
    one = torch.zeros(1, 3, 512, 768)
    one[0, 0, 0, 0] = 1 / 255
    assert psnr(torch.zeros_like(one), one).item() == 100.0  # the cap


def test_ms_ssim_against_the_library(chelsea: Tensor, pictures: SimpleNamespace) -> None:
    chelsea = chelsea.contiguous()  # in another memory layout the library's last digit differs
    received = torch.round(pictures.noise(chelsea, 0.05) * 255) / 255
    expected = ms_ssim(chelsea, received, data_range=1, size_average=False)
    assert torch.equal(pair_metric("ms_ssim")(chelsea, received), expected)
    assert _few_scales(chelsea, received, WEIGHTS).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(("side", "count"), [(11, 1), (20, 1), (21, 2), (80, 3), (81, 4), (160, 4), (161, 5)])
def test_ms_ssim_scales_of_small_images(side: int, count: int) -> None:
    assert scales(side) == count
    images = torch.rand(1, 3, side, side + 40, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library warns where its window does not fit
        value = pair_metric("ms_ssim")(images, images)
    assert value.item() == pytest.approx(1.0, abs=1e-5)


def test_ms_ssim_refuses_tiny_images() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        pair_metric("ms_ssim")(torch.zeros(1, 3, 10, 99), torch.zeros(1, 3, 10, 99))


@pytest.mark.parametrize("name", FAST)
def test_monotone_identity_and_batch(name: str, chelsea: Tensor, degradation: Callable[[Tensor], list[Tensor]]) -> None:
    metric = pair_metric(name)
    assert metric(chelsea, chelsea).item() == pytest.approx(metric.info.maximum)
    degraded = torch.cat(degradation(chelsea))
    values = metric(chelsea.expand(4, -1, -1, -1), degraded)
    assert (values.diff() < 0).all()
    assert values.tolist() == pytest.approx([metric(chelsea, x[None]).item() for x in degraded], abs=1e-5)


@pytest.mark.filterwarnings(OLD_SPELLING)
def test_lpips_against_the_library(chelsea: Tensor, coffee: Tensor, pictures: SimpleNamespace) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    received = torch.round(torch.cat([pictures.blur(chelsea, 2.0), pictures.noise(coffee, 0.1)]) * 255) / 255
    reference = torch.cat([chelsea, coffee])
    values = LPIPS(network=network)(reference, received)
    with torch.no_grad():
        expected = network(reference * 2 - 1, received * 2 - 1)
    assert values.shape == (2,) and (values > 0).all()
    torch.testing.assert_close(values, expected.flatten(), rtol=1e-5, atol=1e-7)
    assert LPIPS(network=network)(chelsea, chelsea).item() == 0.0


def test_lpips_takes_torchvisions_trunk(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    shapes = {"0": (64, 3, 11), "3": (192, 64, 5), "6": (384, 192, 3), "8": (256, 384, 3), "10": (256, 256, 3)}
    state = {}
    for layer, (out, inp, k) in shapes.items():
        state[f"{layer}.weight"] = torch.full((out, inp, k, k), float(layer) + 1)
        state[f"{layer}.bias"] = torch.full((out,), -float(layer))
    monkeypatch.setenv("JSCGC_WEIGHTS", str(tmp_path / "weights"))
    ALEXNET.locate().parent.mkdir(parents=True)
    save_file(state, ALEXNET.locate())
    monkeypatch.setattr("jscgc.metrics.weights.sha256", lambda path: ALEXNET.digest)
    before = torch.random.get_rng_state()
    network = load_alex()
    assert torch.equal(torch.random.get_rng_state(), before)
    trunk = network.get_submodule("net").state_dict()
    assert len(trunk) == 10
    assert all((value == state[name.split(".", 1)[1]]).all() for name, value in trunk.items())
    published = torch.load(lpips.__path__[0] + "/weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    assert torch.equal(network.state_dict()["lin0.model.1.weight"], published["lin0.model.1.weight"])


def test_user_mistakes_are_named() -> None:
    psnr = pair_metric("psnr")
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match=r"float32 \[B,3,H,W\]"):
        psnr(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="not finite"):
        psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), math.nan))


@pytest.mark.parametrize(
    "name", ["feature_distance_efficientnet_lite0", "feature_distance_efficientnet_lite2", "lpips_alex", "lpips_vgg"]
)
@pytest.mark.filterwarnings(OLD_SPELLING)
def test_what_is_trained_for_is_what_is_measured(name: str, chelsea: Tensor, pictures: SimpleNamespace) -> None:
    torch.manual_seed(0)
    if name == "lpips_alex":
        metric: Trainable = LPIPS(network=lpips.LPIPS(net="alex", pnet_rand=True, verbose=False))
    else:
        found = pair_metric(name)
        assert isinstance(found, Trainable)
        metric = found
    reference = as_bytes(chelsea[..., :96, :96]).float() / 255
    received = (as_bytes(pictures.noise(reference, 0.05)).float() / 255).requires_grad_()
    loss = metric.loss(reference, received)
    assert loss.detach() == pytest.approx(metric(reference, received.detach()), abs=1e-5)
    (gradient,) = torch.autograd.grad(loss.sum(), received)
    with torch.no_grad():
        size = 0.02 * gradient / gradient.norm()
        moved = [metric.loss(reference, received + sign * size).item() for sign in (1, -1)]
    slope = (size * gradient).sum().item()
    assert (moved[0] - moved[1]) / 2 == pytest.approx(slope, rel=0.05) and slope > 0
