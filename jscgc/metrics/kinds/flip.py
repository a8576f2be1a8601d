"""FLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair
from jscgc.metrics.memo import Memo

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

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
_MEMO_BYTES = 64 * 2**20


class FLIP:
    """Difference that is seen when both images alternate; lower is better, in [0, 1].

    Mean of the LDR-FLIP error map at the published viewing conditions: 0.7 m from a monitor of 0.7 m and 3840 pixels,
    that is 67 pixels per degree. Of the images as saved, on the CPU. The map is ours, because the authors' package looks at both
    pictures anew for every pair; tests hold it to that.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        self._memo = Memo(_MEMO_BYTES)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """FLIP of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch

        check_pair(reference, received)
        pairs = zip(as_bytes(reference).cpu(), as_bytes(received).cpu(), strict=True)
        return torch.stack([self._one(sent, got) for sent, got in pairs])

    def _one(self, sent: UInt8[Tensor, "3 h w"], got: UInt8[Tensor, "3 h w"]) -> Tensor:
        import torch

        from jscgc.metrics.flip_map import Seen, difference, see

        with torch.no_grad():
            seen = self._memo.get("seen", sent[None], lambda: tuple(vars(see(sent)).values()))
            return difference(Seen(*seen), see(got)).mean()


METRIC = Metric(INFO, FLIP, order=30)
