"""FLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores

INFO = MetricInfo(
    name="flip",
    label="FLIP",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation="Andersson et al., FLIP: A Difference Evaluator for Alternating Images, HPG 2020",
    scope="pair",
)


class FLIP:
    """Difference that is seen when both images alternate, by its authors' package; lower is better, in [0, 1].

    Mean of the LDR-FLIP error map at the published viewing conditions: 0.7 m from a monitor of 0.7 m and 3840 pixels,
    that is 67 pixels per degree. Of the images as saved, on the CPU.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        pass  # the package knows no other device

    def __call__(self, reference: Images, received: Images) -> Scores:
        """FLIP of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)
        a, b = (as_bytes(x).permute(0, 2, 3, 1).cpu().float().div(255).numpy() for x in (reference, received))
        return torch.tensor([_flip(*pair) for pair in zip(a, b, strict=True)], dtype=torch.float32)


def _flip(a: object, b: object) -> float:
    import flip_evaluator

    _, mean, _ = flip_evaluator.evaluate(a, b, "LDR", applyMagma=False)
    return float(mean)


METRIC = Metric(INFO, FLIP, (("flip_evaluator", "flip-evaluator==1.7"),), order=30)
