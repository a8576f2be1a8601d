"""What the results must show: quality grows with the SNR, and the symbols steer the generator."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from jscgc.evaluation.pairing import aligned, array
from jscgc.evaluation.statistics import Interval, interval
from jscgc.metrics import MetricInfo
from jscgc.report.reading import CONTROLS, FEW, OURS, REFERENCE, Condition, is_aside, metric_info

Cells = Mapping[Condition, pd.DataFrame]
Intervals = Mapping[Condition, Interval]

ENOUGH = 6
"""Photographs from which a sign test can be below 0.05 at all: 2 / 2^6 is, 2 / 2^5 is not. Intervals of fewer are
too narrow where values are skewed."""


def monotonic(cells: Cells, intervals: Intervals) -> dict[str, Any]:
    """From the lowest to the highest SNR, does every step improve or stay equal within its intervals?

    Steps run between neighbouring SNRs of one method, channel, CBR and quality metric, and once more from the lowest
    to the highest. A *violation* is a step to a worse mean whose two intervals do not overlap. The intervals hold the
    spread between images, which a step on the same images does not have; so a worse step whose intervals overlap,
    but whose paired difference excludes zero, is listed as a *paired warning*.

    Returns:
        {"passed" (null where there is no step), "reason", "steps", "improved", "equal" (a worse or the same mean,
        within the intervals), "violations": [...], "paired_warnings": [...]}, each entry {method, channel, cbr,
        steps, metric, from_snr_db, to_snr_db, before, after, worsening {mean, low, high}}.
    """
    verdict: dict[str, Any] = {"steps": 0, "improved": 0, "equal": 0, "violations": [], "paired_warnings": []}
    for before, after, info in _snr_steps(intervals):
        verdict["steps"] += 1
        low, high = intervals[before], intervals[after]
        if info.better(high.mean, low.mean):
            verdict["improved"] += 1
            continue
        worsening = advantage(cells[before], cells[after], info)
        entry = {
            "method": before.method,
            "channel": before.channel,
            "cbr": before.cbr,
            "steps": before.steps,
            "metric": before.metric,
            "from_snr_db": before.snr_db,
            "to_snr_db": after.snr_db,
            "before": _numbers(low),
            "after": _numbers(high),
            "worsening": _numbers(worsening),
        }
        if not low.overlaps(high):
            verdict["violations"].append(entry)
        elif worsening.low > 0:
            verdict["paired_warnings"].append(entry)
        else:
            verdict["equal"] += 1
    if not verdict["steps"]:
        return {"passed": None, "reason": "fewer than two SNRs were evaluated"} | verdict
    return {"passed": not verdict["violations"], "reason": ""} | verdict


def _snr_steps(intervals: Intervals) -> Iterator[tuple[Condition, Condition, MetricInfo]]:
    """Neighbouring SNRs, and the lowest with the highest, of everything that has a quality and is no control."""
    series: dict[tuple[Any, ...], list[Condition]] = defaultdict(list)
    for c, value in intervals.items():
        if not is_aside(c.method) and math.isfinite(value.mean):
            series[c.method, c.channel, c.cbr, c.steps, c.metric].append(c)
    for conditions in series.values():
        info = metric_info(conditions[0].metric)
        if info is None:
            continue
        ordered = sorted(conditions, key=lambda c: c.snr_db)
        yield from ((before, after, info) for before, after in pairwise(ordered))
        if len(ordered) > 2:
            yield ordered[0], ordered[-1], info


def controls(cells: Cells, intervals: Intervals) -> dict[str, Any]:
    """Is JSCGC clearly better than the same generator with the symbols of another photograph, and with none?

    *Clearly better*: the intervals do not overlap, and the interval of the paired difference excludes zero. Only the
    metrics that compare an image with its own original decide `passed`: a set metric (FID, KID) asks whether images
    look like photographs, which samples without the right symbols may do as well.

    Returns:
        {"passed" (null where there are no controls), "reason", "conditions": [{channel, snr_db, cbr}], "comparisons":
        [{control, metric, channel, snr_db, cbr, steps, decides, jscgc, other, advantage {mean, low, high; positive:
        JSCGC is better}, intervals_disjoint, paired_excludes_zero, clearly_better}]}
    """
    comparisons = []
    for condition, other in intervals.items():
        info = metric_info(condition.metric)
        ours = condition._replace(method=OURS)
        if condition.method not in CONTROLS or info is None or ours not in intervals:
            continue
        gain = advantage(cells[ours], cells[condition], info)
        disjoint = not intervals[ours].overlaps(other)
        excludes = gain.low > 0
        comparisons.append(
            {
                "control": condition.method,
                **{k: v for k, v in condition._asdict().items() if k != "method"},
                "decides": info.scope == "pair",
                "jscgc": _numbers(intervals[ours]),
                "other": _numbers(other),
                "advantage": _numbers(gain),
                "intervals_disjoint": disjoint,
                "paired_excludes_zero": excludes,
                "clearly_better": disjoint and excludes,
            }
        )
    where = sorted({(c["channel"], c["snr_db"], c["cbr"]) for c in comparisons})
    conditions = [{"channel": channel, "snr_db": snr_db, "cbr": cbr} for channel, snr_db, cbr in where]
    deciding = [c["clearly_better"] for c in comparisons if c["decides"]]
    reason = "" if deciding else "no control was evaluated beside jscgc at the same condition"
    passed = all(deciding) if deciding else None
    return {"passed": passed, "reason": reason, "conditions": conditions, "comparisons": comparisons}


def few_steps(cells: Cells, intervals: Intervals) -> dict[str, Any]:
    """How near few steps come to many: every metric of JSCGC, of its student and of JSCGC with other numbers of steps beside
    JSCGC with the most.

    Returns:
        {"condition" {channel, snr_db, cbr} or null, "steps" of the reference, "rows": [{method, steps, nfe, metric, value,
        reference, worsening (paired; positive: worse than many steps) {mean, low, high}, worse_by (share of the reference's
        value; null for a reference of zero)}]}
    """
    summary: dict[str, Any] = {"condition": None, "steps": None, "rows": []}
    most = max((c.steps for c in intervals if c.method == REFERENCE), default=0)
    for many, reference in intervals.items():
        info = metric_info(many.metric)
        if (many.method, many.steps) != (REFERENCE, most) or info is None:
            continue
        summary["condition"] = {"channel": many.channel, "snr_db": many.snr_db, "cbr": many.cbr}
        summary["steps"] = many.steps
        for few, value in intervals.items():
            same = few._replace(method=REFERENCE, steps=many.steps) == many
            if few.method not in (*FEW, REFERENCE) or not same or few == many:
                continue
            nfe = intervals.get(few._replace(metric="nfe"))
            worse = advantage(cells[many], cells[few], info)
            share = worse.mean / abs(reference.mean) if reference.mean else math.nan
            summary["rows"].append(
                {
                    "method": few.method,
                    "steps": few.steps,
                    "nfe": nfe.mean if nfe else None,
                    "metric": few.metric,
                    "value": _numbers(value),
                    "reference": _numbers(reference),
                    "worsening": _numbers(worse),
                    "worse_by": share if math.isfinite(share) else None,
                }
            )
    return summary


def advantage(first: pd.DataFrame, second: pd.DataFrame, info: MetricInfo) -> Interval:
    """How much better `first` is than `second` on the trainings, images and seeds that both have; positive is better."""
    return interval(array(gains(first, second, info)))


def gains(first: pd.DataFrame, second: pd.DataFrame, info: MetricInfo) -> pd.DataFrame:
    """The paired differences of `advantage`, images x (training, seed); positive where `first` is better."""
    a, b = aligned(first, second)
    return a - b if info.direction == "higher" else b - a


def _numbers(found: Interval) -> dict[str, float | None]:
    numbers = {"mean": found.mean, "low": found.low, "high": found.high}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
