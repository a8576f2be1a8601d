"""One received photo by many metrics."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.metrics.base import PairMetric

log = logging.getLogger(__name__)


def score(metrics: Sequence[PairMetric], photo: Tensor, received: Tensor) -> dict[str, float]:
    """Values by metric name of one received photo; float [3,H,W] in [0,1] twice.

    A metric that cannot look at a photo this small is left out, with a warning; one that finds nothing to measure (no writing),
    without.
    """
    scores: dict[str, float] = {}
    for metric in metrics:
        try:
            value = float(metric(photo[None], received[None])[0])
        except ValueError as error:
            log.warning("%s is left out: %s", metric.info.name, error)
            continue
        if not math.isnan(value):
            scores[metric.info.name] = value
    return scores
