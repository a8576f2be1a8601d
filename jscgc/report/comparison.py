"""Ours beside every other method, photograph by photograph; and the bandwidth that is saved at equal quality.

Both methods of a pair met the same noise on the same photographs, so what the photographs have in common cancels: the interval of
the difference is narrower than those of the two means tell. Training t of one stands beside training t of the other; where one
has a single training (or none), it stands beside each, and another of it is not in the interval. Where a method could not send
all photographs there is no comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jscgc.evaluation.bd_rate import Saved, cbr_saved
from jscgc.evaluation.pairing import aligned, array, trainings
from jscgc.evaluation.statistics import interval, mean_of_finite, sign_flip_p_values
from jscgc.files import atomic
from jscgc.report.reading import FEW, Condition, is_aside, metric_info

PAIRED = (
    *("metric", "channel", "snr_db", "cbr", "method", "steps", "other", "other_steps", "won", "images"),
    *("trainings", "other_trainings", "draws", "difference", "low", "high", "p", "note"),
)
BD_RATE = (
    *("metric", "channel", "snr_db", "method", "steps", "other", "other_steps", "rates", "images"),
    *("trainings", "other_trainings", "cbr_saved_percent", "low", "high", "overlap", "reason"),
)

Cells = Mapping[Condition, pd.DataFrame]
Stuck = Mapping[tuple[Any, ...], float]
"""(method, channel, snr_db, cbr) -> share of photographs that could not be sent."""


class _Place(NamedTuple):
    """Where two methods meet. For a curve `cbr` is 0."""

    metric: str
    channel: str
    snr_db: float
    cbr: float


def paired(cells: Cells, stuck: Stuck) -> list[dict[str, Any]]:
    """Ours (jscgc, jscgc_fast) against every other method, a row per condition and metric, with the columns PAIRED.

    won: share of the photographs on which ours is better, by the mean over trainings and draws, ties half. difference, low, high:
    ours minus the other, with its 95 % interval over trainings, photographs and draws. trainings, other_trainings: of ours and of
    the other, in that. p: two-sided, by sign flips over photographs given these trainings, adjusted for all rows of the metric
    together (`sign_flip_p_values`). won and p are null for a set metric, which has no value per photograph. note: why there are
    no numbers.
    """
    places: dict[_Place, dict[tuple[str, int], pd.DataFrame]] = {}
    for c, cell in cells.items():
        if metric_info(c.metric) and not is_aside(c.method):
            places.setdefault(_Place(c.metric, c.channel, c.snr_db, c.cbr), {})[c.method, c.steps] = cell
    for method, channel, snr_db, cbr in stuck:
        for place, met in places.items():
            # One that could send no photograph at all has no value of any metric.
            if place[1:] == (channel, snr_db, cbr) and not any(name == method for name, _ in met):
                met[method, 0] = pd.DataFrame()
    rows: list[dict[str, Any]] = []
    pairs: list[tuple[dict[str, Any], pd.Series]] = []
    for place, met in places.items():
        for ours, other in ((a, b) for a in met if a[0] in FEW for b in met if b != a):
            row = dict.fromkeys(PAIRED) | place._asdict() | _names(ours, other)
            rows.append(row)
            if unable := [name for name, _ in (ours, other) if (name, *place[1:]) in stuck]:
                nothing = dict.fromkeys(("images", "trainings", "other_trainings", "draws"), 0)
                row |= nothing | {"note": f"{' and '.join(unable)} cannot operate"}
                continue
            first, second = aligned(met[ours], met[other])
            values = array(first) - array(second)
            there = np.isfinite(values)
            photographs = np.flatnonzero(there.any((0, 2)))
            found = interval(values)
            row |= _trainings(met[ours], met[other], found.trainings)
            row |= {"images": len(photographs), "draws": int(there.any((0, 1)).sum())}
            if not there.any():
                row["note"] = "no value in common"
            else:
                row |= {"difference": found.mean, "low": found.low, "high": found.high}
                per_image = mean_of_finite(mean_of_finite(values, 2), 0)
                pairs.append((row, pd.Series(per_image[photographs], index=first.index[photographs])))
    _chances(pairs)
    return rows


def _trainings(ours: pd.DataFrame, other: pd.DataFrame, paired: int) -> dict[str, int]:
    """Of each, in pairs: a single training was repeated."""
    return {"trainings": min(trainings(ours), paired), "other_trainings": min(trainings(other), paired)}


def _names(ours: tuple[str, int], other: tuple[str, int]) -> dict[str, Any]:
    return {"method": ours[0], "steps": ours[1], "other": other[0], "other_steps": other[1]}


def _chances(pairs: list[tuple[dict[str, Any], pd.Series]]) -> None:
    """Fill in won and p of metrics that have a value per photograph, from the means of each."""
    families: dict[str, list[tuple[dict[str, Any], pd.Series]]] = {}
    for row, per_image in pairs:
        info = metric_info(row["metric"])
        assert info is not None
        if info.scope == "pair":
            gain = per_image if info.direction == "higher" else -per_image
            row["won"] = float(((gain > 0) + 0.5 * (gain == 0)).mean())
            families.setdefault(row["metric"], []).append((row, per_image))
    for family in families.values():
        # A photograph that a row lacks is NaN there.
        table = pd.concat([values for _, values in family], axis=1)
        chances = sign_flip_p_values(table.to_numpy().T)
        for (row, _), p in zip(family, chances, strict=True):
            row["p"] = float(p) if math.isfinite(p) else None


def bd_rate(cells: Cells, stuck: Stuck) -> list[dict[str, Any]]:
    """CBR that ours saves at equal value of a metric, averaged over the values that both reach, with the columns BD_RATE.

    A row per channel, SNR, metric with a value per photograph, and pair of ours and another. cbr_saved_percent: positive where
    ours needs less; low, high: 95 % interval over trainings, photographs and draws by the jackknife, see `_saved`. images:
    photographs. rates: the fewer of both methods' measured CBRs; two make a line, four are usual. overlap: share of
    the range of values of either that both have. reason: why a number is missing. CBRs are the exact ones, padding and pilots
    included, where results have them.
    """
    curves: dict[_Place, dict[tuple[str, int], dict[float, pd.DataFrame]]] = {}
    for c, cell in cells.items():
        info = metric_info(c.metric)
        if info and info.scope == "pair" and not is_aside(c.method):
            place = _Place(c.metric, c.channel, c.snr_db, 0.0)
            points = curves.setdefault(place, {}).setdefault((c.method, c.steps), {})
            if c[:4] not in stuck:
                exact = cells.get(c._replace(metric="cbr_exact"))
                points[float(exact.to_numpy().mean()) if exact is not None else c.cbr] = cell
    rows = []
    for place, met in curves.items():
        for ours, other in ((a, b) for a in met if a[0] in FEW for b in met if b != a):
            where = {k: v for k, v in place._asdict().items() if k != "cbr"}
            row = dict.fromkeys(BD_RATE) | where | _names(ours, other)
            rows.append(row | _saved(place.metric, met[ours], met[other]))
    return rows


def _saved(metric: str, ours: Mapping[float, pd.DataFrame], other: Mapping[float, pd.DataFrame]) -> dict[str, Any]:
    """What `bd_rate` tells of two curves, CBR -> values.

    The interval is that of the logarithm of the CBRs' ratio, which has no bounds. Photograph i of n has in each training the
    jackknife's pseudo-value n x (ratio of all) - (n - 1) x (ratio without i), of which `statistics.interval` makes the width.
    """
    rates = min(len(ours), len(other))
    if rates < 2:
        return {"rates": rates, "reason": "too few rates"}
    tables = [ours[cbr] for cbr in sorted(ours)] + [other[cbr] for cbr in sorted(other)]
    values = np.stack([array(table) for table in aligned(*tables)])
    complete = np.isfinite(values).all(axis=(0, 1, 3))
    if not values.size or not complete.any():
        return {"rates": rates, "reason": "no photograph with all values"}
    info = metric_info(metric)
    assert info is not None
    # [training, photograph, point]
    means = (1 if info.direction == "higher" else -1) * np.moveaxis(values[:, :, complete].mean(3), 0, -1)
    count, split = means.shape[1], len(ours)
    grid = sorted(ours), sorted(other)

    def saving(points: NDArray[np.float64]) -> Saved:
        return cbr_saved(grid[0], points[..., :split], grid[1], points[..., split:])

    points = means.mean((0, 1))
    whole = saving(points)
    if not math.isfinite(whole.share):
        rising = all((np.diff(part) > 0).all() for part in (points[:split], points[split:]))
        return {"rates": rates, "overlap": 0.0, "reason": "no overlap" if rising else "not better with every rate"}
    row = {"rates": rates, "cbr_saved_percent": 100 * float(whole.share), "overlap": float(whole.overlap)}
    row |= {"images": count, **_trainings(tables[0], tables[-1], len(means))}
    if count < 2:
        return row | {"reason": "no interval: one photograph"}
    without = (means.sum(1, keepdims=True) - means) / (count - 1)
    ratios = np.log1p(-saving(means.mean(1)).share)[:, None], np.log1p(-saving(without).share)
    pseudo = count * ratios[0] - (count - 1) * ratios[1]
    if not np.isfinite(pseudo).all():
        return row | {"reason": "no interval: without one photograph, or in one training, the curves can't be compared"}
    found = interval(pseudo[:, :, None])
    half, ratio = found.high - found.mean, math.log1p(-float(whole.share))
    return row | {"low": -100 * math.expm1(ratio + half), "high": -100 * math.expm1(ratio - half)}


def write_comparisons(summary: Mapping[str, Any], folder: Path) -> None:
    """`paired.csv` and `bd_rate.csv` of a summary, a row per comparison."""
    for name, columns in (("paired", PAIRED), ("bd_rate", BD_RATE)):
        with atomic(folder / f"{name}.csv") as temporary:
            table = pd.DataFrame(summary[name], columns=list(columns))
            table.to_csv(temporary, index=False, lineterminator="\n")
