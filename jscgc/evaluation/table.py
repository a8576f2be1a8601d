"""From job results to the tidy table of results.csv, and its pictures."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from jscgc import printing
from jscgc.channel.spec import file_name
from jscgc.evaluation.jobs import ALL_IMAGES, CANNOT_OPERATE, ORIGINAL, Job, JobResult, nominal_cbr
from jscgc.files import atomic, component
from jscgc.metrics import Jackknifed, SetMetric, set_metric
from jscgc.metrics.distances import Against, recomputed

log = logging.getLogger(__name__)
COLUMNS = ["method", "training", "channel", "snr_db", "cbr", "steps", "seed", "set", "image", "metric", "value"]
"""training: 0, 1, ... of a method with several. set: of photographs, `""` where there is one only."""
SEVERAL = 19
"""Set metrics' values beyond which a bar is shown: of Inception's on a whole collection each takes seconds."""


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
    rows += _set_rows(references, groups, sets)
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:-1], ignore_index=True)
    timing = [
        {
            "method": label,
            "steps": steps,
            "height": height,
            "width": width,
            "encode_ms_median": median(result.encode_ms for result in _timed(spent)),
            "decode_ms_median": median(result.decode_ms for result in _timed(spent)),
            "receiver_parameters": max(result.receiver_parameters for result in spent),
            "receiver_gflops": max(result.receiver_gflops for result in spent),
        }
        for (label, steps, height, width), spent in sorted(times.items())
    ]
    return Results(table, timing)


def _timed(spent: list[JobResult]) -> list[JobResult]:
    """Those that nothing was counted in meanwhile, if there are any."""
    return [result for result in spent if result.warm] or spent


def _set_rows(
    references: Mapping[str, Mapping[str, np.ndarray]],
    groups: Mapping[tuple[Any, ...], Mapping[str, Mapping[str, np.ndarray]]],
    sets: Mapping[str, str],
) -> Iterator[tuple[Any, ...]]:
    """Of each condition and set metric: the value of all photographs and, where there are several sets, of each; and the same
    without each photograph, where enough patches are left."""
    named = sorted(set(sets.values()) - {""})
    todo: list[tuple[str, str, Sequence[str], Against, tuple[Any, ...], Mapping[str, np.ndarray]]] = []
    for name, every in references.items():
        for one in ("", *(named if len(named) > 1 else ())):
            reference = {image: cut for image, cut in every.items() if one in ("", sets.get(image))}
            if sum(map(len, reference.values())) < 2:
                log.warning("%s needs at least two patches and the photos have one; it is left out", name)
                continue
            against = _against(set_metric(name), list(reference.values()))
            # Where a photograph could not be sent, no distance of the others stands for all.
            sent = [(condition, parts.get(name, {})) for condition, parts in groups.items()]
            todo += [(name, one, list(reference), against, *of) for of in sent if reference.keys() <= of[1].keys()]
    for name, one, images, against, condition, received in printing.track(todo, "set metrics", SEVERAL):
        distances = against([received[image] for image in images])
        yield *condition, one, ALL_IMAGES, name, distances.whole
        for image, value in zip(images, distances.without, strict=True):
            if not math.isnan(value):
                yield *condition, one, f"{ALL_IMAGES}-{image}", name, value


def _against(metric: SetMetric, reference: Sequence[np.ndarray]) -> Against:
    if isinstance(metric, Jackknifed):
        return metric.against(reference)
    return recomputed(metric.distance, reference)


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

    IMAGE is `files.component` of the photograph's name, METHOD and CHANNEL are `channel.spec.file_name` of the job's.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        for job, result in done:
            if result.png:
                link = f"{file_name(job.channel)}_{job.snr_db:g}dB_{job.rate}"
                name = "original" if job.method == ORIGINAL else f"{file_name(job.label)}_{link}"
                picture = temporary / component(job.image) / f"{name}.png"
                picture.parent.mkdir(exist_ok=True)
                picture.write_bytes(result.png)
