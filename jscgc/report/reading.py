"""Reading results.csv, and the names under which its methods, channels, rates and metrics are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jscgc import metrics
from jscgc.channel import spec
from jscgc.evaluation.judges import preferred as preferred
from jscgc.method import GROUPS, METHODS
from jscgc.metrics import MetricInfo
from jscgc.metrics.registry import METRICS

COLUMNS = (
    *("method", "training", "channel", "snr_db", "cbr", "steps", "seed"),
    *("set", "image", "metric", "value"),
)
"""training: which of several trainings, from 0. set: of photographs; empty where there is one only, and for values of all sets
together."""
ADDED: dict[str, Any] = {"training": 0, "set": ""}
"""What a file without one of these columns means."""
SET = "*"
"""The `image` of a set metric's rows: one value for all photographs together; `*-NAME` is the value without one of them."""
CANNOT_OPERATE = "cannot_operate"
"""The metric whose mean is the share of photographs that a method could not send at all."""
OURS = "jscgc"
CONTROLS = ("jscgc_wrong_symbols", "jscgc_unconditional")
FEW = ("jscgc", "jscgc_fast")
"""What few steps are taken by."""
REFERENCE = "jscgc_reference"
"""JSCGC with other numbers of steps than it is evaluated with; few steps are compared with the most."""
MEAN_OF = "_mean_of_"
"""Between a method and a number N: the mean of N of its samples was scored."""

ASIDES = {REFERENCE: ", other steps", CONTROLS[0]: ", wrong symbols", CONTROLS[1]: ", no symbols"}
"""What is measured beside the method `OURS` -> what its label says of it."""


def is_aside(method: str) -> bool:
    """Whether it is measured beside the methods without being one: controls, means of several samples, other steps."""
    return method in CONTROLS or MEAN_OF in method or method == REFERENCE


class Condition(NamedTuple):
    """Where one number of the summary was measured."""

    method: str
    channel: str
    snr_db: float
    cbr: float
    steps: int
    metric: str


def load_results(path: Path) -> pd.DataFrame:
    """Read results.csv; names stay text (a photograph may be called `NA`), missing values are NaN.

    Raises:
        ValueError: a column is missing, a number is not one, a row is there twice, or rows are of several protocols.
    """
    names = {"method": str, "channel": str, "set": str, "image": str, "metric": str, "protocol": str}
    try:
        known = {*COLUMNS, *names}
        unread = pd.read_csv(
            path,
            dtype=names,
            keep_default_na=False,
            na_values={"value": ["", "nan", "NaN"]},
            usecols=lambda name: name in known,
        )
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors that name no file
        raise ValueError(f"{path}: not a table of results ({' '.join(str(error).split()):.200})") from None
    return checked(unread, str(path))


def checked(results: pd.DataFrame, name: str = "results") -> pd.DataFrame:
    """The contract's columns with their types; errors as `load_results`."""
    results = results.assign(**{column: value for column, value in ADDED.items() if column not in results.columns})
    if missing := [column for column in COLUMNS if column not in results.columns]:
        raise ValueError(f"{name}: column {', '.join(missing)} missing; expected {', '.join(COLUMNS)}")
    if "protocol" in results.columns and results["protocol"].nunique() > 1:
        protocols = ", ".join(sorted(results["protocol"].astype(str).unique()))
        raise ValueError(
            f"{name}: rows of several protocols ({protocols}) can't be compared; keep them in files of their own"
        )
    results = results[list(COLUMNS)].copy()
    try:
        for column in ("snr_db", "cbr", "value"):
            results[column] = results[column].astype(float) + 0.0  # one zero
        for column in ("training", "steps", "seed"):
            results[column] = results[column].astype(int)
        results["set"] = results["set"].fillna("").astype(str)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: column {column}: {error}") from None
    if not np.isfinite(results[["snr_db", "cbr"]].to_numpy()).all():
        raise ValueError(f"{name}: an snr_db or cbr is not finite")
    doubled = results.duplicated([column for column in COLUMNS if column != "value"])
    if doubled.any():
        row = results[doubled].iloc[0].to_dict()
        raise ValueError(f"{name}: {int(doubled.sum())} rows are there twice, the first: {row}")
    places = results.loc[~_of_set(results), ["image", "set"]].drop_duplicates()
    if (shared := places["image"].duplicated()).any():
        image = places["image"][shared].iloc[0]
        sets = ", ".join(repr(place) for place in sorted(places.loc[places["image"] == image, "set"]))
        raise ValueError(f"{name}: photograph {image} is in several sets ({sets}); rename it in all but one")
    return results


def _of_set(results: pd.DataFrame) -> pd.Series[bool]:
    """Which rows belong to many photographs together."""
    return results["image"].str.startswith(SET)


def pooled(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of all photographs, and the set metrics' rows of all sets together."""
    if "set" not in results:
        return results
    return results[~_of_set(results) | (results["set"] == "")]


def by_set(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Set -> the rows of its photographs and its own set metrics, as if it were alone; empty where there is one set only."""
    names = sorted(results.loc[~_of_set(results), "set"].unique())
    if len(names) < 2:
        return {}
    return {name: results[results["set"] == name].assign(set="") for name in names if name}


def metric_info(metric: str) -> MetricInfo | None:
    """A metric's declaration; None for what is not a registered metric (accounting, or a stranger's column)."""
    return metrics.info(metric) if metric in METRICS else None


def metric_label(metric: str) -> str:
    """For axes and tables."""
    info = metric_info(metric)
    return info.label if info else metric


def short_label(metric: str) -> str:
    """The metric's label where space is short."""
    return metric_label(metric).replace("EfficientNet-", "")


def is_standin(metric: str) -> bool:
    """Whether the metric stands in for better known ones: its scale is its own."""
    info = metric_info(metric)
    return info is not None and info.stand_in


def order_metrics(names: Iterable[str]) -> list[str]:
    """Registered metrics in the registry's order; accounting and strangers are left out."""
    present = set(names)
    return [name for name in METRICS.names if name in present]


def order_methods(names: Iterable[str]) -> list[str]:
    """Generative receivers first, ours before the others, then codecs, separation, strangers, and the controls last."""
    groups = [method.name for group in GROUPS for method in METHODS if method.group == group]
    known = [*groups, *ASIDES]

    def rank(method: str) -> tuple[int, int, str]:
        return (is_aside(method), known.index(method) if method in known else len(known), method)

    return sorted(set(names), key=rank)


def order_channels(names: Iterable[str]) -> list[str]:
    """AWGN first, a channel's variants together, strangers last."""
    return sorted(set(names), key=spec.rank)


def method_label(method: str) -> str:
    """The method's name for people; a stranger's name as it is."""
    if method in ASIDES:
        return METHODS[OURS].label + ASIDES[method]
    return METHODS[method].label if method in METHODS else method


def channel_label(channel: str) -> str:
    """The channel for people, `TDL-C, 300 ns, LMMSE CSI`: what defines it, then what is not default; a stranger as it is."""
    return spec.label(channel)


def rate_of(cbr: float) -> int:
    """Complex symbols per position of the 1/16 grid: CBR = rate / 768."""
    return round(cbr * 768)


def cbr_label(cbr: float) -> str:
    """`8/768`, or the plain number where the ratio is not of that grid."""
    rate = rate_of(cbr)
    return f"{rate}/768" if rate and math.isclose(rate / 768, cbr, rel_tol=1e-3) else f"{cbr:.4g}"


def number(value: float | None) -> str:
    """About three significant digits; a dash for a missing value."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.01 or size == 0 else 5
    return f"{value:.{digits}f}"
