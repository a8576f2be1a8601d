"""A metric: the mean absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores

INFO = MetricInfo(
    name="mean_absolute_error",
    label="Mean absolute error (levels)",
    direction="lower",
    minimum=0.0,
    maximum=255.0,
    citation="Willmott & Matsuura, Advantages of the mean absolute error over the root mean square error, Clim. Res. 2005",
    scope="pair",
)


class MeanAbsoluteError:
    """Mean over pixels and colours of |a - b|, in levels of the images as saved, in 8 bits. Lower is better."""

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """The error of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)
        a, b = (as_bytes(images.to(self._device)).to(torch.float64) for images in (reference, received))
        return (a - b).abs().mean(dim=(1, 2, 3)).to("cpu", torch.float32)


METRIC = Metric(INFO, MeanAbsoluteError)
