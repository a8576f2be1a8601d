"""The few numbers that a run is known by: where the report's first table looks, four metrics of every method.

The place is the first channel (AWGN if there), the middle SNR and the middle CBR (the upper one of two), as in the report;
there is a metric for each thing a receiver can get wrong. The first of them that a protocol has ranks models. It is a distance
of deep features: it can always run, sees what PSNR does not, and has a value per photograph, which a Fréchet distance has not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.channel.spec import file_name, rank
from jscgc.evaluation.jobs import CANNOT_OPERATE
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.table import ALL_IMAGES
from jscgc.files import atomic, write_json
from jscgc.method import METHODS

HEADLINE = (
    "feature_distance_efficientnet_lite0",
    "semantic_cosine_efficientnet_lite0",
    "fid_efficientnet_lite0",
    "psnr",
)


@dataclass(frozen=True)
class Headline:
    """methods: method -> metric -> mean over photographs and draws; one that could not send every photograph is left out."""

    channel: str
    snr_db: float
    rate: int
    methods: Mapping[str, Mapping[str, float]]

    @property
    def _folder(self) -> str:
        """The place as a name of a folder, `awgn_5dB_8_768`."""
        return f"{file_name(self.channel)}_{self.snr_db:g}dB_{self.rate}_{SOURCE_DIMENSIONS}"

    def scalars(self) -> dict[str, float]:
        """The values by METRIC/METHOD/CHANNEL/RATE/SNR: the points of `Evaluation.curves` at this place."""
        place = f"{file_name(self.channel)}/{self.rate}_{SOURCE_DIMENSIONS}/{self.snr_db:g}dB"
        return {
            f"{metric}/{method}/{place}": value
            for method, values in self.methods.items()
            for metric, value in values.items()
        }

    def write(self, out: Path) -> None:
        """OUT/PLACE/METHOD.json with the metrics of each method, for `dvc metrics`: whole or not at all."""
        with atomic(out) as temporary:
            for method, values in self.methods.items():
                write_json(temporary / self._folder / f"{method}.json", dict(values))

    def ranked_by(self, method: str) -> str | None:
        """The metric that ranks models of a method; None if it has none here."""
        return next((name for name in HEADLINE if name in self.methods.get(method, {})), None)


def headline(table: pd.DataFrame, protocol: Protocol) -> Headline:
    """The headline of results (the columns of results.csv) that were measured by a protocol."""
    channel = min(protocol.channels, key=rank)
    snr_db, rate = _middle(protocol.snr_db), _middle(protocol.rates)
    means = by_snr(table)
    here = means[(means["channel"] == channel) & (means["snr_db"] == snr_db) & (means["cbr"] == _cbr(rate))]
    rows = here.set_index("method")[list(HEADLINE)].to_dict("index")
    methods = {
        method: {name: float(value) for name, value in rows[method].items() if math.isfinite(value)}
        for method in METHODS.names
        if method in rows
    }
    return Headline(channel, snr_db, rate, {method: values for method, values in methods.items() if values})


def by_snr(table: pd.DataFrame) -> pd.DataFrame:
    """Means over photographs and draws, for `dvc plots`: channel, cbr (as `8/768`), snr_db, method, and a column per metric.

    Where a method could not send every photograph it has no row; a metric that was not measured is NaN.
    """
    place = ["channel", "cbr", "snr_db", "method"]
    whole = table[table["method"].isin(METHODS.names) & ~table["image"].str.startswith(f"{ALL_IMAGES}-")]
    means = whole.pivot_table(values="value", index=place, columns="metric", aggfunc="mean")
    if CANNOT_OPERATE in means:
        means = means[~(means[CANNOT_OPERATE] > 0)]
    means = means.reindex(columns=list(HEADLINE)).dropna(how="all").reset_index()
    means["cbr"] = [_cbr(round(cbr * SOURCE_DIMENSIONS)) for cbr in means["cbr"]]
    return means.rename_axis(columns=None)


def _cbr(rate: int) -> str:
    return f"{rate}/{SOURCE_DIMENSIONS}"


def _middle(values: list[Any]) -> Any:
    ordered = sorted(set(values))
    return ordered[len(ordered) // 2]
