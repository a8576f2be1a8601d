"""LPIPS."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, as_floats, check_pair
from jscgc.metrics.memo import Memo
from jscgc.metrics.packages import TORCHVISION
from jscgc.metrics.weights import ALEXNET, VGG16

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor, nn

    from jscgc.metrics.base import Images, Scores

ALEX = MetricInfo(
    name="lpips_alex",
    label="LPIPS (AlexNet)",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation="Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018",
    scope="pair",
    network=ALEXNET.key,
    axis="perception",
    judge=True,
)
VGG = replace(ALEX, name="lpips_vgg", label="LPIPS (VGG-16)", network=VGG16.key, judge=False)
_LEAST = {"alex": 31, "vgg": 16}
"""Pixels of the shorter side, below which a trunk has no position left to compare."""
_MEMO_BYTES = 384 * 2**20
"""VGG-16's activations of seven photographs of 384x256 pixels, or AlexNet's of a hundred."""


class LPIPS:
    """Learned perceptual distance, version 0.1, by package lpips; lower is better, from 0.

    At native resolution. The linear heads come with the package; the trunk is torchvision's AlexNet, or VGG-16. Of pictures
    with a side below 31 pixels (VGG-16: 16) there is none: ValueError.
    """

    def __init__(
        self, device: str = "cpu", network: nn.Module | None = None, *, net: Literal["alex", "vgg"] = "alex"
    ) -> None:
        """`network`: an `lpips.LPIPS` of kind `net` to use instead of the published weights (a test's random trunk)."""
        self.info = ALEX if net == "alex" else VGG
        self._device, self._least = device, _LEAST[net]
        if network is None:
            network = load_alex() if net == "alex" else load_vgg(device)
        self._network = network.to(device).eval()
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """LPIPS of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        self._check(reference, received)
        sent, got = as_bytes(reference), as_bytes(received)

        def features(saved: UInt8[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
            return self._features(as_floats(saved.to(self._device)))

        with torch.no_grad():
            return self._distance(self._memo.of("features", sent, lambda: features(sent)), features(got)).cpu()

    def loss(self, reference: Images, received: Images) -> Tensor:
        """As `Trainable.loss`."""
        import torch

        self._check(reference, received)
        self._network.requires_grad_(False)
        with torch.no_grad():
            wanted = self._features(reference)
        return self._distance(wanted, self._features(received))

    def _check(self, reference: Images, received: Images) -> None:
        check_pair(reference, received)
        if (smaller := min(reference.shape[-2:])) < self._least:
            raise ValueError(
                f"{self.info.label} needs at least {self._least} pixels on the smaller side, not {smaller}"
            )

    def _features(self, images: Images) -> tuple[Tensor, ...]:
        """The trunk's five activations, every position's channels of length 1: one side of the library's `forward`."""
        import lpips
        import torch

        # in this layout the convolutions of a CPU are faster, in bfloat16 many times
        scaled = self._network.get_submodule("scaling_layer")(2 * images - 1).contiguous(
            memory_format=torch.channels_last
        )
        return tuple(lpips.normalize_tensor(activation) for activation in self._network.get_submodule("net")(scaled))

    def _distance(self, sent: tuple[Tensor, ...], got: tuple[Tensor, ...]) -> Scores:
        import torch

        heads = self._network.get_submodule("lins").children()
        levels = [head((f - g) ** 2).mean((1, 2, 3)) for head, f, g in zip(heads, sent, got, strict=True)]
        return torch.stack(levels).sum(0)


def load_alex() -> nn.Module:
    """`lpips.LPIPS(net="alex")` with its published trunk, without the library's unsafe, downloading loader."""
    from safetensors.torch import load_file

    return load("alex", load_file(ALEXNET.verified()))


def load_vgg(device: str) -> nn.Module:
    """`lpips.LPIPS(net="vgg")` on the tensors of `vgg.shared`."""
    from jscgc.metrics.networks import vgg

    return load("vgg", dict(vgg.shared(device).state_dict()))


def load(net: str, features: dict[str, Tensor]) -> nn.Module:
    """The library's network with the layers of torchvision's `features`, by number, and the library's own heads."""
    import lpips
    import torch

    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    state = torch.load(heads, map_location="cpu", weights_only=True)
    # On the meta device a random trunk costs neither time nor the caller's random numbers; lpips spells torchvision's
    # argument the old way.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network: nn.Module = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    # the library's slices keep torchvision's layer numbers: net.slice2.3.weight is features.3.weight
    state |= {name: features[name.split(".", 2)[2]] for name in network.state_dict() if name.startswith("net.")}
    loaded = network.load_state_dict(state, strict=False, assign=True)
    # `lins.N` are second names of `linN`
    if loaded.unexpected_keys or any(parameter.is_meta for parameter in network.parameters()):
        raise ValueError(f"{heads}: not the heads of LPIPS 0.1 ({net})")
    return network.requires_grad_(False)


_PACKAGES = (("lpips", "lpips==0.1.4"), *TORCHVISION)
METRICS = (
    Metric(ALEX, LPIPS, _PACKAGES, (ALEXNET,), order=40),
    Metric(VGG, partial(LPIPS, net="vgg"), _PACKAGES, (VGG16,), order=50),
)
