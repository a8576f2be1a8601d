"""results.csv -> summary.json: a mean with its 95% interval for every condition, and the checks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, cast

import pandas as pd

from jscgc.evaluation.statistics import Interval, hierarchical_interval
from jscgc.report.checks import controls, few_steps, monotonic
from jscgc.report.results import SET, Condition, checked, order_channels, order_methods, order_metrics

_KEY = ["method", "channel", "snr_db", "cbr", "steps", "metric"]


def summarise(results: pd.DataFrame) -> dict[str, Any]:
    """Means, intervals and checks of tidy results, as a JSON document without NaN.

    Returns:
        {"rows": [{method, channel, snr_db, cbr, steps, metric, mean, low, high, images, draws, values, dropped,
        interval_over}], "checks": {"monotonic": see `checks.monotonic`, "controls": see `checks.controls`, "few_steps":
        see `checks.few_steps`}}. `mean`,
        `low` and `high` are null where no value is finite; `draws` are the seeds. A set metric has its interval over
        photographs by the jackknife's influences (see `influences`); where results hold no values without a photograph, over
        draws only.

    Raises:
        ValueError: results without the contract's columns, or with a row twice.
    """
    results = checked(results)
    cells = matrices(results)
    intervals = {condition: hierarchical_interval(cell.to_numpy()) for condition, cell in cells.items()}
    single = results[~results["image"].str.startswith(SET)]
    photos = cast(
        "Mapping[Hashable, int]", single.groupby([c for c in _KEY if c != "metric"])["image"].nunique().to_dict()
    )
    rows = [
        _row(condition, cell, intervals[condition], photos.get(condition[:5], 1)) for condition, cell in cells.items()
    ]
    return {
        "rows": rows,
        "checks": {
            "monotonic": monotonic(cells, intervals),
            "controls": controls(cells, intervals),
            "few_steps": few_steps(cells, intervals),
        },
    }


def matrices(results: pd.DataFrame) -> dict[Condition, pd.DataFrame]:
    """Every condition's values as images x seeds (NaN where missing), in reading order."""
    cells: dict[Condition, pd.DataFrame] = {}
    for key, group in results.groupby(_KEY, sort=True):
        method, channel, snr_db, cbr, steps, metric = cast("tuple[Any, ...]", key)
        condition = Condition(str(method), str(channel), float(snr_db), float(cbr), int(steps), str(metric))
        cells[condition] = influences(group.pivot(index="image", columns="seed", values="value"))
    methods = order_methods(c.method for c in cells)
    channels = order_channels(c.channel for c in cells)
    metrics = order_metrics(c.metric for c in cells)
    metrics += sorted({c.metric for c in cells} - set(metrics))

    def rank(c: Condition) -> tuple[Any, ...]:
        return (methods.index(c.method), c.steps, channels.index(c.channel), c.cbr, metrics.index(c.metric), c.snr_db)

    return {condition: cells[condition] for condition in sorted(cells, key=rank)}


def influences(cell: pd.DataFrame) -> pd.DataFrame:
    """A set metric's values [`*`, `*-NAME` ...] x seeds as one value per photograph, the mean of which is the set's value.

    Jackknife (Efron & Stein 1981): photograph i of n moves the value by (n - 1)(mean of the values without one - value
    without i). What is no set metric, or has no values without a photograph, is returned as it is.
    """
    without = [image for image in cell.index if image.startswith(f"{SET}-")]
    if SET not in cell.index or len(without) < 2:
        return cell[~cell.index.isin(without)]
    left = cell.loc[without]
    moved = (len(without) - 1) * (left.mean() - left) + cell.loc[SET]
    return moved.set_axis([image[len(SET) + 1 :] for image in without])


def _row(condition: Condition, cell: pd.DataFrame, interval: Interval, photos: int) -> dict[str, Any]:
    of_set = list(cell.index) == [SET]
    numbers = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {
        **condition._asdict(),
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "images": photos if of_set else len(cell.index),
        "draws": len(cell.columns),
        "values": interval.count,
        "dropped": interval.dropped,
        "interval_over": "draws" if of_set else "images and draws",
    }
