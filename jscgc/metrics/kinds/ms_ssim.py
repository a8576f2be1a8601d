"""MS-SSIM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, as_floats, check_pair
from jscgc.metrics.memo import Memo

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang et al. 2003; the library's default)."""
WINDOW = 11
"""Width of the Gaussian window in pixels (sigma 1.5)."""
C1, C2 = 0.01**2, 0.03**2
_MEMO_BYTES = 128 * 2**20

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
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """MS-SSIM of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)
        a, b = (as_bytes(x).to(self._device) for x in (reference, received))
        exponents = weights(scales(min(a.shape[2:])))
        with torch.no_grad():
            sent = self._memo.get("pyramid", a, lambda: _pyramid(as_floats(a), len(exponents)))
            return _similarity(sent, _pyramid(as_floats(b), len(exponents)), exponents).cpu()


def scales(smaller_side: int) -> int:
    """How many of the five scales an image has whose smaller side is given in pixels."""
    count = sum(smaller_side > (WINDOW - 1) * (1 << scale) for scale in range(len(WEIGHTS)))
    if count == 0:
        raise ValueError(f"MS-SSIM needs at least {WINDOW} pixels on the smaller side, not {smaller_side}")
    return count


def weights(count: int) -> tuple[float, ...]:
    """Exponents of so many scales."""
    return WEIGHTS if count == len(WEIGHTS) else tuple(weight / sum(WEIGHTS[:count]) for weight in WEIGHTS[:count])


def _pyramid(images: Images, count: int) -> tuple[Tensor, ...]:
    """Of each scale the images, their local means and local variances, one after the other."""
    import torch.nn.functional as F

    levels: list[Tensor] = []
    for scale in range(count):
        if scale:
            images = F.avg_pool2d(images, kernel_size=2, padding=[side % 2 for side in images.shape[2:]])
        mean = _local_mean(images)
        levels += [images, mean, _local_mean(images * images) - mean.square()]
    return tuple(levels)


def _similarity(first: tuple[Tensor, ...], second: tuple[Tensor, ...], exponents: Sequence[float]) -> Tensor:
    """The library's `ms_ssim` of two pyramids, with as many scales as `exponents`."""
    import torch

    values = []
    for scale in range(len(exponents)):
        (a, mean_a, variance_a), (b, mean_b, variance_b) = (side[3 * scale :][:3] for side in (first, second))
        product = mean_a * mean_b
        similarity = (2 * (_local_mean(a * b) - product) + C2) / (variance_a + variance_b + C2)
        if scale == len(exponents) - 1:
            similarity = (2 * product + C1) / (mean_a.square() + mean_b.square() + C1) * similarity
        values.append(similarity.flatten(2).mean(-1).relu())
    powers = torch.tensor(exponents, device=values[0].device)
    return (torch.stack(values) ** powers[:, None, None]).prod(0).mean(1)


def _local_mean(images: Images) -> Tensor:
    """By the Gaussian window where it fits: the library's convolutions, to the bit, in a third of their time."""
    from pytorch_msssim.ssim import _fspecial_gauss_1d

    taps = _fspecial_gauss_1d(WINDOW, 1.5).flatten().tolist()
    for dim in (2, 3):
        shifted = [images.narrow(dim, start, images.shape[dim] - WINDOW + 1) for start in range(WINDOW)]
        images = shifted[0] * taps[0]
        for image, tap in zip(shifted[1:], taps[1:], strict=True):
            images.add_(image, alpha=tap)
    return images


METRIC = Metric(INFO, MSSSIM, (("pytorch_msssim", "pytorch-msssim==1.0.0"),), order=20)
