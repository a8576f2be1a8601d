"""One evaluation: plan the grid, run it on Ray, write table and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc import cluster
from jscgc.channel.spec import file_name
from jscgc.config import EvaluateParams, SampleParams
from jscgc.evaluation.grid import Setup, Worker, nominal_cbr, plan
from jscgc.evaluation.results import ALL_IMAGES, tabulate, write_csv, write_pictures

PICTURES = 6
"""Photographs whose received pictures are kept."""


@dataclass(frozen=True)
class Evaluation:
    """table: results.csv; timing: medians per method and size."""

    table: pd.DataFrame
    timing: list[dict[str, Any]]

    def _means(self) -> pd.Series:
        keys = ["method", "channel", "snr_db", "cbr", "metric"]
        means: pd.Series = self._whole().groupby(keys)["value"].mean()
        return means

    def _whole(self) -> pd.DataFrame:
        """Without the rows of set metrics that leave a photograph out."""
        return self.table[~self.table["image"].str.startswith(f"{ALL_IMAGES}-")]

    def curves(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Means over SNR as (SNR in dB, scalars): one curve per metric, method, channel and rate."""
        means = self._means().reset_index()
        for snr_db, part in means.groupby("snr_db"):
            rates = (part["cbr"] * 768).round().astype(int).astype(str)
            names = part["metric"] + "/" + part["method"] + "/" + part["channel"].map(file_name) + "/" + rates + "_768"
            yield round(float(str(snr_db))), dict(zip(names, part["value"], strict=True))

    def headline(self, channel: str, rate: int) -> dict[str, float]:
        """Means at one channel and rate over all SNRs, by `method.metric`: what `dvc metrics show` lists."""
        table = self._whole()
        chosen = table[(table["channel"] == channel) & (abs(table["cbr"] - nominal_cbr(rate)) < 1e-9)]
        means = chosen.groupby(["method", "metric"])["value"].mean().reset_index()
        return dict(zip(means["method"] + "." + means["metric"], means["value"].astype(float), strict=True))


def evaluate(
    models: Path,
    photos: Sequence[tuple[str, Path]],
    params: EvaluateParams,
    sample: SampleParams,
    *,
    seed: int,
    device: str,
    out: Path,
    pictures: Path | None = None,
    max_side: int = 0,
    controls: bool = False,
) -> Evaluation:
    """Run the grid and write `out` (and `pictures`); the same seed gives the same table, whatever the number of workers.

    Args:
        models: folder of trained models.
        photos: name and path of each; names are distinct.
        seed: draws use seed, seed + 1, ... (params.seeds of them).
        max_side: photos are reduced to this longer side, 0 to keep their size.
        controls: also run jscgc with wrong symbols and with none (see `plan`).
    """
    from jscgc.training.loop import resolve_device

    setup = Setup(
        models.absolute(),
        tuple((name, path.absolute()) for name, path in photos),
        max_side,
        sample,
        params.patch,
        resolve_device(device).type,
    )
    jobs = plan(
        params.methods,
        params.channels,
        params.snr_db,
        params.rates,
        [name for name, _ in photos],
        range(seed, seed + params.seeds),
        PICTURES if pictures else 0,
        controls,
        params.dial,
        params.dial_steps,
        params.information_points,
        params.reference_steps,
    )
    done = list(cluster.run_jobs(partial(Worker, setup), jobs, params.workers, "evaluate"))
    results = tabulate(done)
    write_csv(results.table, out)
    if pictures:
        write_pictures(done, pictures)
    return Evaluation(results.table, results.timing)
