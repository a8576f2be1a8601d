"""Who may judge, and by what pictures are ranked: a metric whose network was in a loss of a method that is shown can't be the
headline's.

Each metric declares its network, each method the networks of its losses. Losses of ours may use EfficientNet-Lite0 and VGG-16; no
loss, no choice of a setting and no early stopping uses a network of the headline's judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jscgc.method import METHODS
from jscgc.metrics.base import RANDOM
from jscgc.metrics.registry import METRICS

LOSS_NETWORKS = frozenset({"efficientnet_lite0", "vgg16"})
"""What losses of ours may use."""
HEADLINE = (
    "lpips_alex",
    "feature_distance_efficientnet_lite2",
    "semantic_cosine_efficientnet_lite2",
    "class_change_efficientnet_lite2",
    "fid_efficientnet_lite2",
    "kid_efficientnet_lite2",
    "psnr",
)
"""Of the metrics that judge, those that run without a download beyond the package index."""
CHOOSING = (
    "feature_distance_efficientnet_lite0",
    "semantic_cosine_efficientnet_lite0",
    "fid_efficientnet_lite0",
    "psnr",
)
"""What settings are chosen by and models are ranked by, the first that there is: none on a judge's network."""


@dataclass(frozen=True)
class Judging:
    """Who may judge.

    judges: metrics that the headline may be told by, in the order of tables. refused: judge -> methods that were trained by
    its network. used: other metric -> methods that were trained by its network, or may have been (none named).
    """

    judges: tuple[str, ...]
    refused: dict[str, tuple[str, ...]]
    used: dict[str, tuple[str, ...]]


def judging(metrics: Iterable[str], methods: Iterable[str]) -> Judging:
    """Which of the measured metrics may judge these methods; names that are not registered are passed over."""
    measured, shown = set(metrics), [METHODS[name] for name in dict.fromkeys(methods) if name in METHODS]
    judges: list[str] = []
    refused: dict[str, tuple[str, ...]] = {}
    used: dict[str, tuple[str, ...]] = {}
    for metric in (one for one in METRICS if one.name in measured):
        network = metric.info.network
        trained = tuple(method.name for method in shown if network in method.loss_networks)
        if metric.info.judge and trained:
            refused[metric.name] = trained
        elif metric.info.judge:
            judges.append(metric.name)
        elif trained or network in LOSS_NETWORKS:
            used[metric.name] = trained
    return Judging(tuple(judges), refused, used)


def preferred(measured: Iterable[str], *axes: str) -> list[str]:
    """The measured metrics that answer one of these questions (`MetricInfo.axis`): judges first, stand-ins last."""
    present = set(measured)
    found = [metric.info for metric in METRICS if metric.name in present and metric.info.axis in axes]
    found = [info for info in found if info.network != RANDOM]  # which say nothing
    return [info.name for info in sorted(found, key=lambda info: (not info.judge, info.stand_in))]


def ranking(measured: Iterable[str]) -> str | None:
    """By what received photographs are called worst and best: how they look if that was measured, else by their pixels."""
    present = set(measured)
    return next(iter([*preferred(present, "perception"), *preferred(present, "pixels")]), None)
