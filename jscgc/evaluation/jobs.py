"""The jobs of the evaluation grid. A job's result depends on the job alone, not on who runs it or when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jscgc.channel.accounting import SOURCE_DIMENSIONS

if TYPE_CHECKING:
    import numpy as np

    from jscgc.systems.base import Control

CANNOT_OPERATE, DECODING_FAILED = "cannot_operate", "decoding_failed"
"""Of separated systems: no file was small enough (there is then no other row), the channel decoder gave up."""
ALL_IMAGES = "*"
"""In the image column of results: the value belongs to the whole set (FID, KID), with set `""` to all photographs pooled.
`*-NAME` is the set without that photograph, from which the report has the spread over photographs (a jackknife). No photograph's
name begins so (see `Protocol`)."""
SIZES = ("file_bits", "budget_bits", "factor")
ORIGINAL = "original"
"""The pseudo-method whose "received" photo is the sent one: the reference of FID and KID."""


@dataclass(frozen=True)
class Job:
    """One transmission of one photo."""

    method: str
    control: Control
    channel: str
    snr_db: float
    rate: int
    image: str
    seed: int
    picture: bool
    """Whether the received photo itself is wanted."""
    dial: tuple[int, ...] = ()
    """Numbers N, rising: the means of the first N of so many posterior samples are scored, and nothing else."""
    steps: int = 0
    """Sampling steps; 0: the setup's."""
    guidance: Any = None
    """Guidance; None: the setup's."""
    information_points: int = 0
    """Above 0, the information that arrived is estimated."""
    training: int = 0
    """Which of several trainings of the method."""
    without: tuple[str, ...] = ()
    """Metrics that are not scored."""
    model: str = ""
    """The model that sends it; empty: the method's general one."""
    received: bool = False
    """Whether somebody else received it: its picture is given, and only scored."""

    @property
    def plain(self) -> bool:
        """Whether it is a method's own transmission: no original, and none of the asides."""
        return self.method != ORIGINAL and (self.control, self.dial, self.steps) == ("none", (), 0)

    @property
    def sender(self) -> str:
        """The name of its model's folder."""
        return self.model or self.method

    @property
    def label(self) -> str:
        """The method as results name it."""
        if self.steps:
            return f"{self.method}_reference"
        return self.method if self.control == "none" else f"{self.method}_{self.control}"


class Place(NamedTuple):
    """Where a picture that somebody else received stands in the grid."""

    method: str
    channel: str
    snr_db: float
    rate: int
    image: str
    seed: int

    @classmethod
    def of(cls, job: Job) -> Place:
        return cls(job.method, job.channel, job.snr_db, job.rate, job.image, job.seed)


@dataclass(frozen=True)
class Picture:
    """Of somebody else's receiver. file: None where nothing could be sent. told: what is said of it, by names of results."""

    file: Path | None
    steps: int
    told: tuple[tuple[str, float], ...]


Pictures = Mapping[Place, Picture]


@dataclass(frozen=True)
class JobResult:
    """Scores by metric name, patch features by set metric, the received photo as PNG, and milliseconds."""

    scores: dict[str, float]
    features: dict[str, np.ndarray] = field(default_factory=dict)
    png: bytes = b""
    steps: int = 0
    encode_ms: float = 0.0
    decode_ms: float = 0.0
    height: int = 0
    width: int = 0
    means: dict[int, tuple[dict[str, float], dict[str, np.ndarray]]] = field(default_factory=dict)
    """Of a dial job: N -> scores and features of the mean of the first N samples."""
    receiver_parameters: int = 0
    """That are read to receive; 0 where nothing is learnt."""
    receiver_gflops: float = 0.0
    """Operations of matrix products and convolutions for this photo at the receiver, in 10^9."""
    warm: bool = True
    """Whether the milliseconds are any photograph's: a worker's first of a kind meets cold caches, and is counted meanwhile."""


def every_job(
    methods: Sequence[str],
    channels: Sequence[str],
    snr_db: Sequence[float],
    rates: Sequence[int],
    images: Sequence[str],
    seeds: Sequence[int],
    pictures: int,
    controls: bool,
    dial: Sequence[int] = (),
    dial_steps: int = 16,
    information_points: int = 0,
    reference_steps: int = 0,
    trainings: Mapping[str, Sequence[int]] | None = None,
    dial_guidance: Any = 1.0,
    conditions: Collection[tuple[str, float, int]] = (),
) -> list[Job]:
    """Every job of the grid, or of its `conditions` (channel, SNR, rate) where there are some; the originals first.

    `dial`: numbers of posterior samples of jscgc (of `dial_steps` and `dial_guidance`) whose mean is scored too, at the first
    channel, the middle SNR, the highest rate and the first seed. `reference_steps`: jscgc with so many steps at that
    condition, all seeds. `information_points`: of the information estimate, at the first seed.

    With `controls`, a generative system named jscgc is also run with the wrong symbols and with none, at the first
    channel, the highest SNR and the highest rate. Pictures are kept of the first `pictures` images, first seed, of each
    method's first training.

    `trainings`: of each method with several, which there are; each runs all of its jobs.
    """
    first = seeds[0]
    kept = {(image, first) for image in images[:pictures]}
    runs = {method: tuple((trainings or {}).get(method, (0,))) for method in methods}

    def shown(method: str, training: int, image: str, seed: int) -> bool:
        return training == runs[method][0] and (image, seed) in kept

    points = {seed: information_points if seed == first else 0 for seed in seeds}
    originals = [Job(ORIGINAL, "none", "", 0.0, 0, image, first, (image, first) in kept) for image in images]
    product = [(channel, snr, rate) for channel in channels for snr in map(float, snr_db) for rate in rates]
    places = [place for place in product if not conditions or place in conditions]
    grid = [
        Job(
            method,
            "none",
            *place,
            image,
            seed,
            shown(method, training, image, seed),
            information_points=points[seed],
            training=training,
        )
        for method, among in runs.items()
        for training in among
        for place in places
        for image in images
        for seed in seeds
    ]
    kinds: tuple[Control, ...] = ("wrong_symbols", "unconditional") if controls else ()
    among = runs.get("jscgc", ())
    rates_at: dict[float, list[int]] = {}
    for channel, snr, rate in places:
        if channel == places[0][0]:
            rates_at.setdefault(snr, []).append(rate)
    best, middle = max(rates_at), sorted(rates_at)[len(rates_at) // 2]
    checks = [
        Job(
            "jscgc",
            kind,
            places[0][0],
            best,
            max(rates_at[best]),
            image,
            seed,
            shown("jscgc", training, image, seed),
            training=training,
        )
        for training in among
        for kind in kinds
        for image in images
        for seed in seeds
    ]
    counts = tuple(sorted({1, *dial})) if dial else ()
    guidance = tuple(dial_guidance) if isinstance(dial_guidance, list) else dial_guidance  # jobs are keys
    aside = partial(Job, "jscgc", "none", places[0][0], middle, max(rates_at[middle]), picture=False)
    asides = [
        aside(image=image, seed=first, dial=counts, steps=dial_steps, guidance=guidance, training=training)
        for training in among
        for image in images
        if counts
    ]
    asides += [
        aside(image=image, seed=seed, steps=reference_steps, training=training)
        for training in among
        for image in images
        for seed in seeds
        if reference_steps
    ]
    return originals + grid + checks + asides


def spared(jobs: Sequence[Job], metrics: Sequence[str], place: tuple[str, float, int]) -> list[Job]:
    """The same jobs; at another channel, SNR and rate than the place, or beyond the first draw, without these metrics."""
    first = min(job.seed for job in jobs)

    def here(job: Job) -> bool:
        return (job.channel, job.snr_db, job.rate) == place and job.seed == first and not job.dial

    return [job if here(job) or not metrics else replace(job, without=tuple(metrics)) for job in jobs]


def nominal_cbr(rate: int) -> float:
    """CBR of an image whose sides are multiples of 16; `cbr_exact` has the padding in it."""
    return rate / SOURCE_DIMENSIONS
