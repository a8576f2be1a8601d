"""PSNR."""

from __future__ import annotations

from typing import ClassVar

import torch

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo
from jscgc.metrics.images import Images, Scores, as_bytes, check_pair


class PSNR:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE) in dB over all pixels and colours of an image.

    Of the images as saved, in 8 bits. Higher is better, from 0 dB; capped at 100 dB, which is also the value of
    identical images (so that averages stay finite; one changed level in a Kodak photograph would be 108.8 dB).
    """

    info: ClassVar[MetricInfo] = catalogue.PSNR

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """PSNR in dB of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        a, b = (as_bytes(x.to(self._device)).to(torch.float64) for x in (reference, received))
        mse = (a - b).square().mean(dim=(1, 2, 3))
        return (10 * torch.log10(255**2 / mse)).clamp(max=catalogue.PSNR.maximum).to("cpu", torch.float32)
