"""MS-SSIM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_saved, check_pair

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang et al. 2003; the library's default)."""
WINDOW = 11
"""Width of the Gaussian window in pixels (sigma 1.5)."""

INFO = MetricInfo(
    name="ms_ssim",
    label="MS-SSIM",
    direction="higher",
    minimum=0.0,
    maximum=1.0,
    citation="Wang, Simoncelli & Bovik, Multiscale Structural Similarity, Asilomar 2003",
    scope="pair",
)


class MSSSIM:
    """Multi-scale structural similarity by pytorch-msssim, data range 1, five scales; higher is better, in [0, 1].

    The five scales need more than 160 pixels. An image with a smaller side m is measured on the scales on which the
    11-pixel window still fits, 10 * 2^(scales-1) < m, with the weights of these scales divided by their sum; such
    values do not compare with those of larger images. Below 11 pixels MS-SSIM does not exist: ValueError.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """MS-SSIM of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch
        from pytorch_msssim import ms_ssim

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
    import torch
    import torch.nn.functional as F
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim

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


METRIC = Metric(INFO, MSSSIM, (("pytorch_msssim", "pytorch-msssim==1.0.0"),), order=20)
