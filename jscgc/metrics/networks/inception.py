"""clean-fid's Inception-v3 features of patches, without its downloader and without files."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor, nn

from jscgc.metrics.images import as_bytes
from jscgc.metrics.memo import Memo
from jscgc.metrics.weights import INCEPTION

_BATCH = 16
_MEMO_BYTES = 64 * 2**20


class InceptionFeatures:
    """2048 pooled features per patch, as clean-fid's mode "clean" computes them from PNG files of the patches:
    8 bits, each colour resized to 299x299 by Pillow's antialiased bicubic filter in float, not rounded again.

    Source: Parmar, Zhang & Zhu, On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022.
    """

    def __init__(self, device: str = "cpu", network: nn.Module | None = None) -> None:
        """`network`: takes float32 [B,3,299,299] in 0..255, gives [B,D]; None for the published Inception."""
        if network is None:
            network = InceptionV3W(str(INCEPTION.verified().parent), download=False)
        self._device = device
        self._network = network.to(device).eval()
        self._resize = build_resizer("clean")
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, images: Float32[Tensor, "n 3 s s"]) -> Float64[np.ndarray, "n d"]:
        """Features of patches; [N,3,s,s] in [0,1] -> float64 [N,2048]."""
        saved = as_bytes(images)
        (features,) = self._memo.of("features", saved, lambda: (self._features(saved),))
        return features.numpy().copy()

    def _features(self, saved: UInt8[Tensor, "n 3 s s"]) -> Float64[Tensor, "n d"]:
        pixels = saved.permute(0, 2, 3, 1).cpu().numpy()
        features = []
        with torch.no_grad():
            for start in range(0, len(pixels), _BATCH):
                resized = np.stack([self._resize(patch) for patch in pixels[start : start + _BATCH]])
                batch = torch.from_numpy(resized).permute(0, 3, 1, 2).to(self._device)
                features.append(self._network(batch).cpu().to(torch.float64))
        return torch.cat(features)


@cache
def shared(device: str) -> InceptionFeatures:
    """The one network of this process on a device: FID and KID look at the same features."""
    return InceptionFeatures(device)
