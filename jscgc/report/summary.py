"""results.csv -> summary.json: a mean with its 95% interval for every condition, and the checks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from jscgc.evaluation.pairing import array, matrix, trainings
from jscgc.evaluation.statistics import Interval, interval, mean_of_finite
from jscgc.report.checks import controls, few_steps, monotonic
from jscgc.report.comparison import bd_rate, paired
from jscgc.report.reading import (
    CANNOT_OPERATE,
    SET,
    Condition,
    by_set,
    checked,
    metric_info,
    order_channels,
    order_methods,
    order_metrics,
    pooled,
)

_KEY = ["method", "channel", "snr_db", "cbr", "steps", "metric"]


def summarise(results: pd.DataFrame, cells: Mapping[Condition, pd.DataFrame] | None = None) -> dict[str, Any]:
    """Means, intervals and checks of tidy results, as a JSON document without NaN.

    Args:
        results: tidy results.
        cells: their `matrices`, if at hand.

    Returns:
        {"rows": [{method, channel, snr_db, cbr, steps, metric, mean, low, high, images, trainings, draws, values, dropped,
        interval_over, and note where a method cannot operate}] over all photographs, "sets": {set: such rows} where there are
        several sets, "checks": {"monotonic", "controls", "few_steps": see the functions of `checks`}, "paired", "bd_rate": ours
        beside the others, see `comparison`}. `mean`, `low` and `high` are null where no value is finite; low and high stay
        within the metric's range; `draws` are the seeds. interval_over: `images and draws` (of these weights), with several
        trainings `trainings, images and draws`. A set metric has its interval over photographs by the jackknife's influences
        (see `influences`); where results hold no values without a photograph, over trainings and draws only.

    Raises:
        ValueError: results without the contract's columns, with a row twice, or with a photograph in two sets.
    """
    results = checked(results)
    cells = matrices(results) if cells is None else cells
    measured = _measured(results, cells)
    intervals, stuck = measured.intervals, measured.stuck
    # What a method makes of the photographs that it can send is no statement about the others.
    whole = {c: i for c, i in intervals.items() if c[:4] not in stuck}
    return {
        "rows": measured.rows,
        "sets": {name: _measured(part, matrices(part)).rows for name, part in by_set(results).items()},
        "checks": {
            "monotonic": monotonic(cells, whole),
            "controls": controls(cells, whole),
            "few_steps": few_steps(cells, whole),
        },
        "paired": paired(cells, stuck),
        "bd_rate": bd_rate(cells, stuck),
    }


class _Measured(NamedTuple):
    """stuck: (method, channel, snr_db, cbr) -> share of the photographs that could not be sent, where there are such."""

    intervals: dict[Condition, Interval]
    stuck: dict[tuple[Any, ...], float]
    rows: list[dict[str, Any]]


def _measured(results: pd.DataFrame, cells: Mapping[Condition, pd.DataFrame]) -> _Measured:
    intervals = {condition: _within(condition.metric, interval(array(cell))) for condition, cell in cells.items()}
    stuck: dict[tuple[Any, ...], float] = {
        c[:4]: i.mean for c, i in intervals.items() if c.metric == CANNOT_OPERATE and i.mean > 0
    }
    single = results[~results["image"].str.startswith(SET)]
    photos = cast(
        "Mapping[Hashable, int]", single.groupby([c for c in _KEY if c != "metric"])["image"].nunique().to_dict()
    )
    rows = [
        _row(condition, cell, intervals[condition], photos.get(condition[:5], 1)) for condition, cell in cells.items()
    ]
    kept = [r for r in rows if not (metric_info(r["metric"]) and _place(r) in stuck)]
    return _Measured(intervals, stuck, kept + _stuck_rows(rows, stuck))


def _within(metric: str, found: Interval) -> Interval:
    """The part of an interval in which the metric's values can be."""
    info = metric_info(metric)
    low, high = found.low, found.high
    if info and info.minimum is not None:
        low = min(max(low, info.minimum), found.mean)
    if info and info.maximum is not None:
        high = max(min(high, info.maximum), found.mean)
    return replace(found, low=low, high=high)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["method"], row["channel"], row["snr_db"], row["cbr"]


def _stuck_rows(rows: list[dict[str, Any]], stuck: Mapping[tuple[Any, ...], float]) -> list[dict[str, Any]]:
    """A row without a value for every metric that others have where a method could not send all photographs."""
    empty = dict.fromkeys(("mean", "low", "high"))
    filled = []
    for row in (r for r in rows if r["metric"] == CANNOT_OPERATE and _place(r) in stuck):
        note = f"cannot operate ({round(row['mean'] * row['images'])} of {row['images']} photographs)"
        there = order_metrics(r["metric"] for r in rows if _place(r)[1:] == _place(row)[1:])
        filled += [{**row, **empty, "metric": metric, "note": note} for metric in there]
    return filled


def matrices(results: pd.DataFrame) -> dict[Condition, pd.DataFrame]:
    """Every condition's values as images x (training, seed), NaN where missing, in reading order; of `checked` results."""
    cells: dict[Condition, pd.DataFrame] = {}
    for key, group in pooled(results).groupby(_KEY, sort=True):
        method, channel, snr_db, cbr, steps, metric = cast("tuple[Any, ...]", key)
        condition = Condition(str(method), str(channel), float(snr_db), float(cbr), int(steps), str(metric))
        cells[condition] = influences(matrix(group))
    methods = order_methods(c.method for c in cells)
    channels = order_channels(c.channel for c in cells)
    metrics = order_metrics(c.metric for c in cells)
    metrics += sorted({c.metric for c in cells} - set(metrics))

    def rank(c: Condition) -> tuple[Any, ...]:
        return (methods.index(c.method), c.steps, channels.index(c.channel), c.cbr, metrics.index(c.metric), c.snr_db)

    return {condition: cells[condition] for condition in sorted(cells, key=rank)}


def influences(cell: pd.DataFrame) -> pd.DataFrame:
    """A set metric's values [`*`, `*-NAME` ...] x (training, seed) as one value per photograph; their mean is the set's value.

    Jackknife (Efron & Stein 1981): photograph i of n moves the value by (n - 1)(mean of the values without one - value
    without i). What is no set metric, or has no values without a photograph, is returned as it is.
    """
    without = np.array([image.startswith(f"{SET}-") for image in cell.index])
    if not without.any():
        return cell
    if SET not in cell.index or without.sum() < 2:
        return cell[~without]
    left, whole = cell.to_numpy()[without], cell.to_numpy()[cell.index.get_loc(SET)]
    moved = (np.isfinite(left).sum(0) - 1) * (mean_of_finite(left, 0) - left) + whole
    names = [image[len(SET) + 1 :] for image in cell.index[without]]
    return pd.DataFrame(moved, index=names, columns=cell.columns)


def _row(condition: Condition, cell: pd.DataFrame, found: Interval, photos: int) -> dict[str, Any]:
    of_set = list(cell.index) == [SET]
    numbers = {"mean": found.mean, "low": found.low, "high": found.high}
    return {
        **condition._asdict(),
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "images": photos if of_set else len(cell.index),
        "trainings": trainings(cell),
        "draws": len(set(cell.columns.get_level_values("seed"))),
        "values": found.count,
        "dropped": found.dropped,
        "interval_over": found.over,
    }
