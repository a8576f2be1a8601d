"""PSNR."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores

CAP = 100.0

INFO = MetricInfo(
    name="psnr",
    label="PSNR (dB)",
    direction="higher",
    minimum=0.0,
    maximum=CAP,
    citation="Wang & Bovik, Mean Squared Error: Love It or Leave It?, IEEE SPM 2009",
    scope="pair",
    judge=True,
)


class PSNR:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE) in dB over all pixels and colours of an image.

    Of the images as saved, in 8 bits. Higher is better, from 0 dB; capped at 100 dB, which is also the value of
    identical images (so that averages stay finite; one changed level in a Kodak photograph would be 108.8 dB).
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """PSNR in dB of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)
        a, b = (as_bytes(x.to(self._device)).int() for x in (reference, received))
        mse = (a - b).square().mean(dim=(1, 2, 3), dtype=torch.float64)
        return (10 * torch.log10(255**2 / mse)).clamp(max=CAP).to("cpu", torch.float32)


METRIC = Metric(INFO, PSNR, order=10)
