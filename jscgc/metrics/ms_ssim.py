"""MS-SSIM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from torch import Tensor

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo
from jscgc.metrics.images import Images, Scores, as_saved, check_pair

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang et al. 2003; the library's default)."""
WINDOW = 11
"""Width of the Gaussian window in pixels (sigma 1.5)."""


class MSSSIM:
    """Multi-scale structural similarity by pytorch-msssim, data range 1, five scales; higher is better, in [0, 1].

    The five scales need more than 160 pixels. An image with a smaller side m is measured on the scales on which the
    11-pixel window still fits, 10 * 2^(scales-1) < m, with the weights of these scales divided by their sum; such
    values do not compare with those of larger images. Below 11 pixels MS-SSIM does not exist: ValueError.
    """

    info: ClassVar[MetricInfo] = catalogue.MS_SSIM

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """MS-SSIM of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        a, b = (as_saved(x.to(self._device)) for x in (reference, received))
        count = scales(min(a.shape[2], a.shape[3]))
        with torch.no_grad():
            if count == len(WEIGHTS):
                return torch.as_tensor(ms_ssim(a, b, data_range=1, size_average=False)).cpu()
            return _few_scales(a, b, [weight / sum(WEIGHTS[:count]) for weight in WEIGHTS[:count]]).cpu()


def scales(smaller_side: int) -> int:
    """How many of the five scales an image has whose smaller side is given in pixels."""
    count = sum(smaller_side > (WINDOW - 1) * (1 << scale) for scale in range(len(WEIGHTS)))
    if count == 0:
        raise ValueError(f"MS-SSIM needs at least {WINDOW} pixels on the smaller side, not {smaller_side}")
    return count


def _few_scales(a: Tensor, b: Tensor, exponents: Sequence[float]) -> Tensor:
    """The library's ms_ssim with as many scales as `exponents`; the library itself refuses sides below 161 pixels."""
    window = _fspecial_gauss_1d(WINDOW, 1.5).repeat(a.shape[1], 1, 1, 1).to(a.device)
    value = torch.ones(a.shape[:2], device=a.device)
    for exponent in exponents[:-1]:
        _, contrast = _ssim(a, b, data_range=1, win=window)
        value = value * contrast.relu() ** exponent
        padding = [side % 2 for side in a.shape[2:]]
        a, b = (F.avg_pool2d(x, kernel_size=2, padding=padding) for x in (a, b))
    similarity, _ = _ssim(a, b, data_range=1, win=window)
    final: Tensor = value * similarity.relu() ** exponents[-1]
    return final.mean(dim=1)
