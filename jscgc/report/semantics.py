"""Do errors move from distortion to semantics as the channel worsens (the paper's Remark 4)?

Three axes, each by its own metric: *distortion* (how far from the sent picture), *semantics* (does a network see the same thing
in it), *realism* (does the set look like the distribution of the source; no pairs). The remark says that a generative receiver's
pictures stay realistic and become less faithful. Whether that is so is read off the paired changes from the highest to the lowest
SNR; the words follow from the numbers, whichever way they fall.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from jscgc.evaluation.pairing import aligned, array, trainings
from jscgc.evaluation.statistics import Interval, interval
from jscgc.report.checks import ENOUGH, gains
from jscgc.report.reading import (
    OURS,
    Condition,
    cbr_label,
    channel_label,
    is_aside,
    metric_info,
    order_channels,
    preferred,
    short_label,
)
from jscgc.report.scope import Subject, scope, subject
from jscgc.report.series import Series, series_names

RECONSTRUCTS = "mambajscc_psnr"
"""The receiver that ours is compared with: the same encoder, trained to reconstruct."""
_AXES = {"distortion": ("pixels", "perception"), "semantics": ("semantics",), "realism": ("realism",)}
"""Axis -> the questions (`MetricInfo.axis`) whose metrics can stand on it."""


@dataclass(frozen=True)
class Change:
    """What one method loses from the highest to the lowest SNR; positive is worse."""

    label: str
    distortion: Interval
    semantics: Interval
    realism: Interval
    reading: str


@dataclass(frozen=True)
class Reading:
    """One channel and CBR: what every method loses, and the sentences that say it: first the verdict (empty without JSCGC)."""

    channel: str
    cbr: float
    metrics: dict[str, str]
    """Axis -> metric."""
    high_db: float
    low_db: float
    changes: list[Change]
    text: list[str]


def semantic_axes(measured: Iterable[str]) -> dict[str, list[str]]:
    """Axis -> the metrics that can stand on it, of those measured: judges first."""
    names = list(measured)
    return {axis: preferred(names, *questions) for axis, questions in _AXES.items()}


def semantic_points(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every condition on all three axes: {series, channel, cbr, snr_db, values: metric -> [mean, low, high]}.

    Conditions without a value (a method that cannot operate) are no points.
    """
    kept = [r for r in rows if not is_aside(r["method"])]
    wanted = {m for metrics in semantic_axes(r["metric"] for r in kept).values() for m in metrics}
    names = series_names(kept)
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    for r in kept:
        if r["metric"] not in wanted or r["mean"] is None:
            continue
        series = names[r["method"], r["steps"]]
        key = (series, r["channel"], r["cbr"], r["snr_db"])
        place = {"series": series, "channel": r["channel"], "cbr": f"{r['cbr']:g}", "snr_db": r["snr_db"], "values": {}}
        point = points.setdefault(key, place)
        point["values"][r["metric"]] = [float(f"{r[k]:.6g}") for k in ("mean", "low", "high")]
    return list(points.values())


def semantic_readings(cells: Mapping[Condition, pd.DataFrame], rows: Sequence[Mapping[str, Any]]) -> list[Reading]:
    """The reading of each channel and CBR at which some method has all three axes at two SNRs at least.

    Args:
        cells: `summary.matrices` of the results.
        rows: the summary's rows; conditions without a mean there are left out here too.
    """
    axes = semantic_axes(r["metric"] for r in rows if not is_aside(r["method"]) and r["mean"] is not None)
    if not all(axes.values()):
        return []
    metrics = {axis: candidates[0] for axis, candidates in axes.items()}
    valid = {tuple(r[k] for k in Condition._fields) for r in rows if r["mean"] is not None}
    names = series_names(rows)
    kept = {c: cell for c, cell in cells.items() if (c.method, c.steps) in names and tuple(c) in valid}
    readings = []
    for channel in order_channels(c.channel for c in kept):
        for cbr in sorted({c.cbr for c in kept if c.channel == channel}):
            here = {c: cell for c, cell in kept.items() if (c.channel, c.cbr) == (channel, cbr)}
            snrs = sorted({c.snr_db for c in here})
            losses = {key: loss for key in names if (loss := _losses(here, key, metrics, snrs[-1], snrs[0]))}
            if len(snrs) > 1 and losses:
                readings.append(_reading(channel, cbr, metrics, (snrs[-1], snrs[0]), here, losses, names))
    return readings


Losses = dict[str, pd.DataFrame]
"""Axis -> photographs x (training, draw): how much worse the low SNR is than the high one."""


def _losses(
    cells: Mapping[Condition, pd.DataFrame], key: Series, metrics: Mapping[str, str], high_db: float, low_db: float
) -> Losses | None:
    """None where a method lacks an axis at either end."""
    losses: Losses = {}
    for axis, metric in metrics.items():
        ends = [
            cell
            for snr_db in (high_db, low_db)
            for c, cell in cells.items()
            if (c.method, c.steps, c.metric, c.snr_db) == (*key, metric, snr_db)
        ]
        if len(ends) < 2 or high_db == low_db:
            return None
        losses[axis] = _worse(ends[0], ends[1], metric)
    return losses


def _worse(before: pd.DataFrame, after: pd.DataFrame, metric: str) -> pd.DataFrame:
    info = metric_info(metric)
    assert info is not None
    return gains(before, after, info)


def reading(semantics: Interval, realism: Interval) -> str:
    """What changed, in words; *clearly* means that the interval excludes zero."""
    less_meaning, less_real = semantics.low > 0, realism.low > 0
    if less_meaning and less_real:
        return "meaning and realism are lost together"
    if less_meaning:
        return "meaning is lost, realism is not clearly lost"
    if less_real:
        return "realism is lost, meaning is not clearly lost"
    return "neither meaning nor realism is clearly lost"


def _reading(
    channel: str,
    cbr: float,
    metrics: dict[str, str],
    ends: tuple[float, float],
    cells: Mapping[Condition, pd.DataFrame],
    losses: Mapping[Series, Losses],
    names: Mapping[Series, str],
) -> Reading:
    changes: dict[Series, Change] = {}
    for key, lost in losses.items():
        axes = {axis: interval(array(matrix)) for axis, matrix in lost.items()}
        changes[key] = Change(names[key], **axes, reading=reading(axes["semantics"], axes["realism"]))
    high_db, low_db = ends
    labels = {axis: short_label(metric) for axis, metric in metrics.items()}
    ours = next((key for key in reversed(list(losses)) if key[0] == OURS), None)
    other = next((key for key in losses if key[0] == RECONSTRUCTS), None)
    place = f"{channel_label(channel)}, CBR {cbr_label(cbr)}"
    shown = [key for key in (ours, other) if key is not None]
    counts = {key[0]: min(map(trainings, losses[key].values())) for key in shown}
    who = {key: subject(key[0], counts[key[0]], names[key]) for key in shown}
    text = [_verdict(losses, ours, other, changes, who) if ours is not None else ""]
    if ours is not None and (count := len(losses[ours]["semantics"])) < ENOUGH:
        text[0] += f" That is what {count} photograph{'s' * (count > 1)} show; fewer than {ENOUGH} can't make it sure."
    text.append(
        f"{scope(counts)} What is lost from {_db(high_db)} to {_db(low_db)}, {place} (95%; a negative loss is a gain):"
    )
    text += [_sentence(who[key], changes[key], labels) for key in shown]
    if ours is not None and other is not None:
        text.append(_levels(cells, ours, other, metrics, who, ends))
    return Reading(channel, cbr, metrics, high_db, low_db, list(changes.values()), text)


def _db(snr_db: float) -> str:
    return f"{snr_db:g} dB".replace("-", "−")


def _sentence(who: Subject, change: Change, labels: Mapping[str, str]) -> str:
    parts = [f"{labels[axis]} " + signed(getattr(change, axis)).replace("+", "") for axis in labels]
    return f"{who.start} {who.verb('loses', 'lose')}: {', '.join(parts)}. In words: {change.reading}."


def signed(value: Interval) -> str:
    """`+1.25 [+0.80, +1.90]`."""
    mean, low, high = (_sign(v) for v in (value.mean, value.low, value.high))
    return mean if value.low == value.high else f"{mean} [{low}, {high}]"


def _sign(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 1 if size >= 10 else 2 if size >= 1 else 3
    return ("−" if value < 0 else "+") + f"{size:.{digits}f}"


def _verdict(
    losses: Mapping[Series, Losses],
    ours: Series,
    other: Series | None,
    changes: Mapping[Series, Change],
    who: Mapping[Series, Subject],
) -> str:
    """The remark's two halves for JSCGC: is meaning lost, and does realism stay (by itself, or beside a reconstruction)?"""
    claim = "That errors move from distortion to semantics (the picture stays realistic and becomes less faithful)"
    mine, me, its = changes[ours], who[ours].text, who[ours].its
    if not mine.semantics.low > 0:
        return f"{claim} is not seen here for {me}: {its} meaning is not clearly lost."
    if not mine.realism.high > 0:
        return f"{claim} is seen here for {me}: {who[ours].verb('it loses', 'they lose')} meaning and no realism."
    if other is not None:
        a, b = aligned(losses[other]["realism"], losses[ours]["realism"])
        spared = interval(array(a - b))
        if spared.low > 0:
            less = f"less of it than {who[other].text}, by {signed(spared)}"
            if mine.realism.low > 0:
                return f"{claim} is seen in part: {me} {who[ours].verb('loses', 'lose')} realism too, but {less}."
            return f"{claim} is seen here for {me}: {its} realism is not clearly lost, and {less}."
    if mine.realism.low > 0:
        return f"{claim} is not seen here for {me}: {its} realism is clearly lost as well."
    return (
        f"{claim} is not contradicted here for {me}, nor shown: {its} realism is not clearly lost, but may be, by up to "
        f"{_sign(mine.realism.high).removeprefix('+')}."
    )


def _levels(
    cells: Mapping[Condition, pd.DataFrame],
    ours: Series,
    other: Series,
    metrics: Mapping[str, str],
    who: Mapping[Series, Subject],
    ends: tuple[float, float],
) -> str:
    """Where the two stand at both ends: a loss alone does not say from where."""

    def cell(key: Series, metric: str, snr_db: float) -> pd.DataFrame:
        return next(v for c, v in cells.items() if (c.method, c.steps, c.metric, c.snr_db) == (*key, metric, snr_db))

    said = []
    for snr_db in ends:
        parts = []
        for axis, metric in metrics.items():
            gap = interval(array(_worse(cell(ours, metric, snr_db), cell(other, metric, snr_db), metric)))
            word = "clearly better" if gap.low > 0 else "clearly worse" if gap.high < 0 else "not clearly different"
            parts.append(f"{axis} is {word} ({short_label(metric)} {signed(gap)})")
        said.append(f"at {_db(snr_db)} {', '.join(parts)}")
    mine = who[ours]
    better = f"positive where the former {mine.verb('is', 'are')} better"
    return f"{mine.start} beside {who[other].text}, {better}: {'; '.join(said)}."
