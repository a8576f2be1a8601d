"""Jobs of the grid and the worker that runs one. A job's result depends on the job alone, not on who runs it or when."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.classical.codecs import CannotOperate
from jscgc.config import SampleParams
from jscgc.data import open_photo, reduce, to_photo, to_png, to_tensor
from jscgc.metrics import PairMetric, SetMetric, available, pair_metric, set_metric
from jscgc.metrics import info as metric_info
from jscgc.metrics.patches import patches
from jscgc.systems.base import Control, LatentSystem, Link, SeparatedSystem, transmit
from jscgc.systems.store import load_system

log = logging.getLogger(__name__)
CANNOT_OPERATE, DECODING_FAILED = "cannot_operate", "decoding_failed"
"""Of separated systems: no file was small enough (there is then no other row), the channel decoder gave up."""
SIZES = ("file_bits", "budget_bits")
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
    guidance: float | None = None
    """Guidance; None: the setup's."""
    information_points: int = 0
    """Above 0, the information that arrived is estimated."""

    @property
    def label(self) -> str:
        """The method as results name it."""
        if self.steps:
            return f"{self.method}_reference"
        return self.method if self.control == "none" else f"{self.method}_{self.control}"


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


@dataclass(frozen=True)
class Setup:
    """What every worker knows: where models and photos are, and how to sample and score."""

    models: Path
    photos: tuple[tuple[str, Path], ...]
    max_side: int
    sample: SampleParams
    patch: int
    device: str
    metrics: tuple[str, ...] | None = None
    """Names of the metrics to score with; None: all that can run here."""


def set_names() -> list[str]:
    """Set metrics that can run here."""
    return [name for name, missing in available().items() if missing is None and metric_info(name).scope == "set"]


def pair_names() -> list[str]:
    """Pair metrics that can run here."""
    return [name for name, missing in available().items() if missing is None and metric_info(name).scope == "pair"]


def score(metrics: Sequence[PairMetric], photo: Tensor, received: Tensor) -> dict[str, float]:
    """Values by metric name of one received photo; float [3,H,W] in [0,1] twice.

    A metric that cannot look at a photo this small is left out, with a warning.
    """
    scores: dict[str, float] = {}
    for metric in metrics:
        try:
            scores[metric.info.name] = float(metric(photo[None], received[None])[0])
        except ValueError as error:
            log.warning("%s is left out: %s", metric.info.name, error)
    return scores


class Worker:
    """Holds models, photos and metrics, and runs jobs one by one."""

    def __init__(self, setup: Setup, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._setup = setup
        self._systems: dict[str, LatentSystem | SeparatedSystem] = {}
        self._photos: dict[str, Tensor] = {}

    @cached_property
    def _pairs(self) -> list[PairMetric]:
        return [pair_metric(name, self._setup.device) for name in self._wanted("pair")]

    @cached_property
    def _sets(self) -> list[SetMetric]:
        return [set_metric(name, self._setup.device) for name in self._wanted("set")]

    def _wanted(self, scope: Literal["pair", "set"]) -> list[str]:
        asked = self._setup.metrics
        if asked is None:
            return pair_names() if scope == "pair" else set_names()
        return [name for name in asked if metric_info(name).scope == scope]

    def system(self, name: str) -> LatentSystem | SeparatedSystem:
        """A system, loaded at first use."""
        if name not in self._systems:
            if self._setup.device == "cuda":
                # Jobs come method by method; a GPU may have no room for two large generators.
                self._systems.clear()
            self._systems[name] = load_system(name, self._setup.models, self._setup.device)
        return self._systems[name]

    def photo(self, name: str) -> Tensor:
        """A photo as float [3,H,W]."""
        if name not in self._photos:
            self._photos[name] = to_tensor(reduce(open_photo(dict(self._setup.photos)[name]), self._setup.max_side))
        return self._photos[name].to(self._setup.device)

    def _other(self, name: str) -> Tensor:
        """The next photo of the list, enlarged or reduced to this one's size: what `wrong_symbols` sends."""
        names = [n for n, _ in self._setup.photos]
        height, width = self.photo(name).shape[-2:]
        following = names[(names.index(name) + 1) % len(names)]
        if following == name:
            return self.photo(name).flip(-1).flip(-2)
        resized = Image.fromarray(to_photo(self.photo(following))).resize((width, height), Image.Resampling.LANCZOS)
        return to_tensor(np.asarray(resized)).to(self._setup.device)

    def _sample(self, job: Job) -> SampleParams:
        changes = {"steps": job.steps or None, "guidance": job.guidance}
        return self._setup.sample.model_copy(update={k: v for k, v in changes.items() if v is not None})

    def _features(self, photo: Tensor) -> dict[str, np.ndarray]:
        cut = patches([photo], self._setup.patch)
        return {metric.info.name: metric.features(cut) for metric in self._sets}

    def run(self, job: Job) -> JobResult:
        """Transmit, score, describe patches."""
        photo = self.photo(job.image)
        height, width = photo.shape[-2:]
        if job.method == ORIGINAL:
            return JobResult({}, self._features(photo), _png(photo) if job.picture else b"", height=height, width=width)
        system = self.system(job.method)
        try:
            reception = transmit(
                system,
                photo,
                Link(job.channel, job.snr_db, job.rate),
                sample=self._sample(job),
                seed=job.seed,
                key=job.image,
                control=job.control,
                samples=max(job.dial, default=1),
                information_points=job.information_points,
                other=self._other(job.image) if job.control == "wrong_symbols" else None,
            )
        except CannotOperate as error:
            log.info("%s", error)
            return JobResult({CANNOT_OPERATE: 1.0}, height=height, width=width)
        if job.dial:
            means = {count: reception.samples[:count].mean(0) for count in job.dial}
            spent = reception.nfe // len(reception.samples)
            scored = {
                count: (score(self._pairs, photo, mean) | {"nfe": float(count * spent)}, self._features(mean))
                for count, mean in means.items()
            }
            return JobResult({}, means=scored, steps=reception.steps, height=height, width=width)
        received = reception.photo
        scores = score(self._pairs, photo, received)
        scores |= {"cbr_exact": reception.bandwidth.cbr, "nfe": float(reception.nfe)}
        if isinstance(system, SeparatedSystem):
            scores |= {CANNOT_OPERATE: 0.0, DECODING_FAILED: float(reception.failed)}
            scores |= {key: float(value) for key, value in reception.details.items() if key in SIZES}
        features = self._features(received)
        if features:
            scores["patches"] = float(min(map(len, features.values())))
        if rate := reception.information:
            scores |= {"information_bits": rate.bits, "capacity_bits": rate.capacity_bits}
            scores |= {"information_bits_per_use": rate.bits_per_use, "information_efficiency": rate.efficiency}
        return JobResult(
            scores,
            features,
            _png(received) if job.picture else b"",
            reception.steps,
            reception.encode_ms,
            reception.decode_ms,
            height,
            width,
        )


def _png(photo: Tensor) -> bytes:
    return to_png(to_photo(photo.cpu()))


def plan(
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
) -> list[Job]:
    """Every job of the grid, the originals first.

    `dial`: numbers of posterior samples of jscgc (of `dial_steps`, without guidance) whose mean is scored too, at the first
    channel, the middle SNR, the highest rate and the first seed. `reference_steps`: jscgc with so many steps at that
    condition, all seeds. `information_points`: of the information estimate, at the first seed.

    With `controls`, a generative system named jscgc is also run with the wrong symbols and with none, at the first
    channel, the highest SNR and the highest rate. Pictures are kept of the first `pictures` images, first seed.
    """
    shown = set(images[:pictures])
    originals = [Job(ORIGINAL, "none", "", 0.0, 0, image, seeds[0], image in shown) for image in images]
    grid = [
        Job(
            method,
            "none",
            channel,
            float(snr),
            rate,
            image,
            seed,
            image in shown and seed == seeds[0],
            information_points=information_points if seed == seeds[0] else 0,
        )
        for method in methods
        for channel in channels
        for snr in snr_db
        for rate in rates
        for image in images
        for seed in seeds
    ]
    kinds: tuple[Control, ...] = ("wrong_symbols", "unconditional") if controls and "jscgc" in methods else ()
    checks = [
        Job(
            "jscgc", kind, channels[0], float(max(snr_db)), max(rates), image, seed, image in shown and seed == seeds[0]
        )
        for kind in kinds
        for image in images
        for seed in seeds
    ]
    middle = float(sorted(snr_db)[len(snr_db) // 2])
    counts = tuple(sorted({1, *dial})) if dial and "jscgc" in methods else ()
    asides = [
        Job(
            "jscgc",
            "none",
            channels[0],
            middle,
            max(rates),
            image,
            seeds[0],
            False,
            dial=counts,
            steps=dial_steps,
            guidance=1.0,
        )
        for image in images
        if counts
    ]
    asides += [
        Job("jscgc", "none", channels[0], middle, max(rates), image, seed, False, steps=reference_steps)
        for image in images
        for seed in seeds
        if reference_steps and "jscgc" in methods
    ]
    return originals + grid + checks + asides


def nominal_cbr(rate: int) -> float:
    """CBR of an image whose sides are multiples of 16; `cbr_exact` has the padding in it."""
    return rate / SOURCE_DIMENSIONS
