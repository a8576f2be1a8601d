"""Several metrics on one batch."""

from __future__ import annotations

from collections.abc import Sequence

from jscgc.metrics.base import PairMetric
from jscgc.metrics.images import Images


def evaluate_pairs(metrics: Sequence[PairMetric], reference: Images, received: Images) -> dict[str, list[float]]:
    """By metric name, one value per image of a batch; [B,3,H,W] in [0,1] twice."""
    return {metric.info.name: metric(reference, received).tolist() for metric in metrics}
