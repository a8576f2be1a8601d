"""The photographs that are received worst: their pictures are kept, so that nobody sees the good ones only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from jscgc.evaluation.headline import Headline
from jscgc.evaluation.jobs import ALL_IMAGES, ORIGINAL, Job, nominal_cbr
from jscgc.evaluation.judges import ranking
from jscgc.method import METHODS
from jscgc.metrics import info

WORST = 5


def judged(methods: Sequence[str]) -> str:
    """Whose worst they are: JSCGC's, else the first method's that samples, else the first's."""
    sampling = (name for name in methods if name in METHODS and METHODS[name].group == "generative")
    return "jscgc" if "jscgc" in methods else next(sampling, methods[0])


def worst(table: pd.DataFrame, place: Headline, method: str) -> list[str]:
    """The WORST photographs of a method's first training at a place, the worst first: by the mean over draws."""
    here = (table["method"] == method) & (table["channel"] == place.channel) & (table["snr_db"] == place.snr_db)
    rows = table[here & (table["cbr"] == nominal_cbr(place.rate)) & ~table["image"].str.startswith(ALL_IMAGES)]
    rows = rows[rows["training"] == rows["training"].min()]
    metric = ranking(rows["metric"].unique())
    if metric is None:
        return []
    means = rows[rows["metric"] == metric].groupby("image")["value"].mean().sort_index()
    ordered = means.sort_values(ascending=info(metric).direction == "higher", kind="stable")
    return [str(image) for image in ordered.index[:WORST]]


def to_show(
    jobs: Sequence[Job], images: Sequence[str], place: Headline, trainings: Mapping[str, Sequence[int]]
) -> list[Job]:
    """Of the jobs of a grid those with pictures of these images at the place that keep none yet: every method's first training,
    first draw, and the originals."""
    first = min(job.seed for job in jobs)

    def wanted(job: Job) -> bool:
        if job.image not in images or job.picture:
            return False
        if job.method == ORIGINAL:
            return True
        here = (job.channel, job.snr_db, job.rate) == (place.channel, place.snr_db, place.rate)
        return job.plain and here and job.seed == first and job.training == trainings[job.method][0]

    return [job for job in jobs if wanted(job)]
