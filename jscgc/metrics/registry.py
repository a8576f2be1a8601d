"""Metrics by name: which exist, which can run here, and making one. Reading it imports no torch."""

from __future__ import annotations

import difflib
from typing import cast

from jscgc.metrics.base import Metric, MetricInfo, PairMetric, SetMetric
from jscgc.metrics.weights import FILES, WeightsFile
from jscgc.registry import Registry

METRICS = Registry("metric", Metric, "jscgc.metrics.kinds", "jscgc.metrics")


def names() -> list[str]:
    """Every registered metric, in the order of tables."""
    return list(METRICS.names)


def pair_names() -> list[str]:
    """Pair metrics that can run here."""
    return [metric.name for metric in METRICS if metric.info.scope == "pair" and metric.missing() is None]


def set_names() -> list[str]:
    """Set metrics that can run here."""
    return [metric.name for metric in METRICS if metric.info.scope == "set" and metric.missing() is None]


def info(name: str) -> MetricInfo:
    """What a metric's number means.

    Raises:
        ValueError: no metric of that name; the message has the nearest ones.
    """
    return _metric(name).info


def module(name: str) -> str:
    """The module that declares and implements a metric: what it imports is what a score by it depends on.

    Raises:
        ValueError: no metric of that name.
    """
    return METRICS.module(_metric(name).name)


def available() -> dict[str, str | None]:
    """By name: None if the metric can run here, otherwise one line with what it lacks and what would supply it."""
    return {metric.name: metric.missing() for metric in METRICS}


def weights(name: str) -> tuple[WeightsFile, ...]:
    """The files of pretrained weights that a metric needs.

    Raises:
        ValueError: no metric of that name.
    """
    return _metric(name).weights


def files() -> tuple[WeightsFile, ...]:
    """Every file of weights: ours, in the order of `jscgc weights list`, then what further metrics declare."""
    return tuple(dict.fromkeys([*FILES, *(file for metric in METRICS for file in metric.weights)]))


def needing(file: WeightsFile) -> list[str]:
    """Names of the metrics that need a file of weights."""
    return [metric.name for metric in METRICS if file in metric.weights]


def create(name: str, device: str = "cpu") -> PairMetric | SetMetric:
    """Make a metric.

    Args:
        name: a registered name.
        device: where its network runs, as torch spells it; results always come back on the CPU.

    Raises:
        ValueError: no metric of that name, or it cannot run here; the message has the remedy.
    """
    metric = _metric(name)
    if reason := metric.missing():
        raise ValueError(f"metric {name!r} is not available: {reason}")
    return metric.make(device)


def pair_metric(name: str, device: str = "cpu") -> PairMetric:
    """`create` for a metric that gives one value per image."""
    if info(name).scope != "pair":
        raise ValueError(f"metric {name!r} compares sets of patches, not pairs of images")
    return cast("PairMetric", create(name, device))


def set_metric(name: str, device: str = "cpu") -> SetMetric:
    """`create` for a metric that compares two sets of patches."""
    if info(name).scope != "set":
        raise ValueError(f"metric {name!r} compares pairs of images, not sets of patches")
    return cast("SetMetric", create(name, device))


def _metric(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS.names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(METRICS.names)}"
    raise ValueError(f"unknown metric {name!r}: {hint}")
