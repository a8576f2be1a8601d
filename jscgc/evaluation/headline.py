"""The few numbers that a run is known by: where the report's first table looks, the judges' metrics of every method.

The place is the report's (see `channel.central`); there is a metric for each thing a receiver can get wrong. Models are
ranked by another, on a network that judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.channel.spec import file_name
from jscgc.evaluation.jobs import CANNOT_OPERATE
from jscgc.evaluation.judges import CHOOSING, HEADLINE
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.table import whole
from jscgc.files import atomic, write_json
from jscgc.method import METHODS

_TOLD = (*HEADLINE, CHOOSING[0])


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
            f"{metric}/{file_name(method)}/{place}": value
            for method, values in self.methods.items()
            for metric, value in values.items()
        }

    def write(self, out: Path) -> None:
        """OUT/PLACE/METHOD.json with the metrics of each method, for `dvc metrics`: whole or not at all."""
        with atomic(out) as temporary:
            for method, values in self.methods.items():
                write_json(temporary / self._folder / f"{file_name(method)}.json", dict(values))

    def ranked_by(self, method: str) -> str | None:
        """The metric that ranks models of a method; None if it has none here."""
        return next((name for name in CHOOSING if name in self.methods.get(method, {})), None)


def headline(table: pd.DataFrame, protocol: Protocol) -> Headline:
    """The headline of results (the columns of results.csv) that were measured by a protocol."""
    channel, snr_db, rate = protocol.headline_place
    means = by_snr(table)
    here = means[(means["channel"] == channel) & (means["snr_db"] == snr_db) & (means["cbr"] == _cbr(rate))]
    rows = here.set_index("method")[list(_TOLD)].to_dict("index")
    methods = {
        method: {str(name): float(value) for name, value in rows[method].items() if math.isfinite(value)}
        for method in METHODS.names
        if method in rows
    }
    return Headline(channel, snr_db, rate, {method: values for method, values in methods.items() if values})


def by_snr(table: pd.DataFrame) -> pd.DataFrame:
    """Means over photographs and draws, for `dvc plots`: channel, cbr (as `8/768`), snr_db, method, and a column per metric.

    Where a method could not send every photograph it has no row; a metric that was not measured is NaN.
    """
    place = ["channel", "cbr", "snr_db", "method"]
    rows = whole(table)
    rows = rows[rows["method"].isin(METHODS.names)]
    means = rows.pivot_table(values="value", index=place, columns="metric", aggfunc="mean")
    if CANNOT_OPERATE in means:
        means = means[~(means[CANNOT_OPERATE] > 0)]
    means = means.reindex(columns=list(_TOLD)).dropna(how="all").reset_index()
    means["cbr"] = [_cbr(round(cbr * SOURCE_DIMENSIONS)) for cbr in means["cbr"]]
    return means.rename_axis(columns=None)


def _cbr(rate: int) -> str:
    return f"{rate}/{SOURCE_DIMENSIONS}"
