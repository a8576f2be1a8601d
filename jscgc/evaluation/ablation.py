"""Variants of one method beside the one that they vary: means, and differences paired by training, photograph and draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.evaluation.judges import CHOOSING
from jscgc.evaluation.pairing import aligned, array, matrix
from jscgc.evaluation.statistics import interval
from jscgc.evaluation.table import write_csv

METRICS = (*CHOOSING, "information_efficiency")
"""What is told of a variant."""


def compare(variant: str, table: pd.DataFrame, base: pd.DataFrame | None, seconds: float) -> list[dict[str, Any]]:
    """One row per SNR and metric.

    Args:
        table: the variant's rows of results.csv, of one channel and CBR.
        base: those of what it varies; None if this is it.
        seconds: that its training took (of an interrupted one, since it went on).

    Returns:
        variant, snr_db, metric, mean (of a set metric: its value), seconds; of metrics that compare an image with its original
        also difference (to the base), low, high (95% interval, see `statistics`).
    """
    rows = []
    for (snr_db, metric), part in table.groupby(["snr_db", "metric"]):
        if metric not in METRICS:
            continue
        pairs = part[~part["image"].str.startswith("*")]
        mean = interval(array(matrix(pairs if len(pairs) else part[part["image"] == "*"]))).mean
        row: dict[str, Any] = {"variant": variant, "snr_db": snr_db, "metric": metric, "mean": mean}
        row |= {"difference": None, "low": None, "high": None, "seconds": seconds}
        if base is not None and len(pairs):
            other = base[(base["snr_db"] == snr_db) & (base["metric"] == metric)]
            ours, theirs = map(array, aligned(matrix(pairs), matrix(other)))
            if ours.size:
                gain = interval(ours - theirs)
                row |= {"difference": gain.mean, "low": gain.low, "high": gain.high}
        rows.append(row)
    return rows


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """The rows of several variants as one CSV, whole or not at all."""
    write_csv(pd.DataFrame(rows), path)
