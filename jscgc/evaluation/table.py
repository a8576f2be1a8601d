"""From job results to the tidy table of results.csv, and its pictures."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from jscgc.channel.spec import file_name
from jscgc.evaluation.jobs import CANNOT_OPERATE, ORIGINAL, Job, JobResult, nominal_cbr
from jscgc.files import atomic
from jscgc.metrics import set_metric

log = logging.getLogger(__name__)
COLUMNS = ["method", "training", "channel", "snr_db", "cbr", "steps", "seed", "set", "image", "metric", "value"]
"""training: 0, 1, ... of a method with several. set: of photographs, `""` where there is one only."""
ALL_IMAGES = "*"
"""In the image column: the value belongs to the whole set (FID, KID), with set `""` to all photographs pooled. `*-NAME` is the
set without that photograph, from which the report has the spread over photographs (a jackknife)."""


@dataclass(frozen=True)
class Results:
    """table: the columns COLUMNS, sorted. timing: per method and image size, medians in milliseconds (not reproducible), and
    what the receiver reads and computes (at the highest rate)."""

    table: pd.DataFrame
    timing: list[dict[str, Any]]


def tabulate(done: Iterable[tuple[Job, JobResult]], sets: Mapping[str, str] | None = None) -> Results:
    """Collect the rows of all jobs; set metrics are computed here, per condition and seed over all images.

    Args:
        sets: image -> the set that it belongs to; of several, set metrics have a value each beside that of all.
    """
    pairs, sets = list(done), sets or {}
    references: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    groups: dict[tuple[Any, ...], dict[str, dict[str, np.ndarray]]] = defaultdict(lambda: defaultdict(dict))
    rows: list[tuple[Any, ...]] = []
    times: dict[tuple[Any, ...], list[JobResult]] = defaultdict(list)
    for job, result in sorted(pairs, key=lambda pair: pair[0].image):
        if job.method == ORIGINAL:
            for name, features in result.features.items():
                references[name][job.image] = features
            continue
        link = (job.channel, job.snr_db, nominal_cbr(job.rate), result.steps, job.seed)
        scored = {job.label: (result.scores, result.features)} if not job.dial else {}
        scored |= {f"{job.method}_mean_of_{count}": mean for count, mean in result.means.items()}
        for label, (scores, cuts) in scored.items():
            condition = (label, job.training, *link)
            rows += [(*condition, sets.get(job.image, ""), job.image, name, value) for name, value in scores.items()]
            for name, cut in cuts.items():
                groups[condition][name][job.image] = cut
        if job.dial or result.scores.get(CANNOT_OPERATE):
            continue
        times[job.label, result.steps, result.height, result.width].append(result)
    named = sorted(set(sets.values()) - {""})
    for name, every in references.items():
        distance = set_metric(name).distance
        for one in ("", *(named if len(named) > 1 else ())):
            reference = {image: cut for image, cut in every.items() if one in ("", sets.get(image))}
            if sum(map(len, reference.values())) < 2:
                log.warning("%s needs at least two patches and the photos have one; it is left out", name)
                continue
            for condition, parts in groups.items():
                received = {image: cut for image, cut in parts[name].items() if image in reference}
                if received.keys() != reference.keys():
                    continue  # a photograph that could not be sent: no distance of the others stands for all
                values = _set_values(reference, received, distance)
                rows += [(*condition, one, image, name, value) for image, value in values]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:-1], ignore_index=True)
    timing = [
        {
            "method": label,
            "steps": steps,
            "height": height,
            "width": width,
            "encode_ms_median": median(result.encode_ms for result in spent),
            "decode_ms_median": median(result.decode_ms for result in spent),
            "receiver_parameters": max(result.receiver_parameters for result in spent),
            "receiver_gflops": max(result.receiver_gflops for result in spent),
        }
        for (label, steps, height, width), spent in sorted(times.items())
    ]
    return Results(table, timing)


def _set_values(
    reference: Mapping[str, np.ndarray], received: Mapping[str, np.ndarray], distance: Callable[..., float]
) -> Iterator[tuple[str, float]]:
    """(ALL_IMAGES, distance of all patches), and the same without each photograph where enough patches are left."""

    def value(without: str = "") -> float | None:
        sides = [[part for image, part in side.items() if image != without] for side in (reference, received)]
        if any(sum(map(len, side)) < 2 for side in sides):
            return None
        first, second = (np.concatenate(side) for side in sides)
        return distance(first, second)

    for without in ("", *received):
        measured = value(without)
        if measured is not None:
            yield f"{ALL_IMAGES}-{without}" if without else ALL_IMAGES, measured


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of set metrics that are of less than all photographs."""
    part = (table["image"] == ALL_IMAGES) & (table["set"] != "")
    return table[~part & ~table["image"].str.startswith(f"{ALL_IMAGES}-")]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all; numbers with as many digits as identify them."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_pictures(done: Iterable[tuple[Job, JobResult]], folder: Path) -> None:
    """folder/IMAGE/original.png and folder/IMAGE/METHOD_CHANNEL_SNRdB_RATE.png for every job that kept its picture.

    CHANNEL is `channel.spec.file_name` of the job's.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        for job, result in done:
            if result.png:
                link = f"{file_name(job.channel)}_{job.snr_db:g}dB_{job.rate}"
                name = "original" if job.method == ORIGINAL else f"{job.label}_{link}"
                (temporary / job.image).mkdir(exist_ok=True)
                (temporary / job.image / f"{name}.png").write_bytes(result.png)
