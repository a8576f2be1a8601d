"""LPIPS and DISTS with their published weights: values measured once, and their authors' own classes on the same weights."""

from __future__ import annotations

from types import SimpleNamespace

import DISTS_pytorch.DISTS_pt as dists_library
import lpips
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from torch import Tensor, nn
from torchvision.models import alexnet

from jscgc.metrics import available, pair_metric
from jscgc.metrics.networks import dists, vgg
from jscgc.metrics.weights import ALEXNET, VGG16

# Where the weights are missing these tests fail with this line: a metric of the headline may not go untested.
MADE = ("lpips_alex", "lpips_vgg", "dists")
HALF = 0.5e-4
"""Half of the last digit of the values below."""
Pair = tuple[Tensor, Tensor]


@pytest.fixture(scope="module", autouse=True)
def weights_are_here() -> None:
    for name in MADE:
        assert available()[name] is None, f"run `jscgc weights fetch {' '.join(MADE)}`: {available()[name]}"


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A cat, and the same at a quarter of its resolution; [1,3,288,448] each, in [0,1]."""
    photo = Image.fromarray(data.chelsea()).crop((0, 0, 448, 288))
    coarse = photo.resize((112, 72), Image.Resampling.BOX).resize((448, 288), Image.Resampling.BICUBIC)
    photo_tensor, coarse_tensor = (
        torch.frombuffer(bytearray(x.tobytes()), dtype=torch.uint8).reshape(1, 288, 448, 3).permute(0, 3, 1, 2) / 255
        for x in (photo, coarse)
    )
    return photo_tensor, coarse_tensor


@pytest.mark.parametrize(("name", "value"), [("lpips_alex", 0.3511), ("lpips_vgg", 0.3055), ("dists", 0.1796)])
def test_values_of_the_metrics(name: str, value: float, pair: Pair) -> None:
    """DISTS first reduces a shorter side above 256 pixels to 256, as its authors' script does: here 288."""
    assert pair_metric(name)(*pair).item() == pytest.approx(value, abs=HALF)


def test_dists_at_native_resolution(pair: Pair) -> None:
    """What its authors' class gives without their script's resizing, and other packages."""
    with torch.no_grad():
        assert dists.load_dists("cpu")(*pair).item() == pytest.approx(0.2028, abs=HALF)


def convolutions(layers: nn.Sequential, state: dict[str, Tensor]) -> SimpleNamespace:
    """torchvision's network as far as its features, with these weights."""
    layers.load_state_dict(state, assign=True)
    return SimpleNamespace(features=layers.eval())


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_its_authors(net: str, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        layers = alexnet(weights=None).features if net == "alex" else vgg.trunk()
    found = convolutions(layers, load_file((ALEXNET if net == "alex" else VGG16).verified()))
    monkeypatch.setattr(lpips.pretrained_networks.tv, "alexnet" if net == "alex" else "vgg16", lambda pretrained: found)
    network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    with torch.no_grad():
        expected = network(*(2 * x - 1 for x in pair)).item()
    assert pair_metric(f"lpips_{net}")(*pair).item() == pytest.approx(expected, abs=1e-5)


def test_dists_is_its_authors(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    found = convolutions(vgg.trunk(), load_file(VGG16.verified()))
    monkeypatch.setattr(dists_library.models, "vgg16", lambda pretrained: found)
    library = dists_library.DISTS().eval()
    with torch.no_grad():
        expected = library(*pair).item()
        assert dists.load_dists("cpu")(*pair).item() == pytest.approx(expected, abs=1e-5)
