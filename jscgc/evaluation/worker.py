"""The worker that runs a job: transmit, score, describe patches."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jscgc.data.images import open_photo, reduce, to_photo, to_png, to_tensor
from jscgc.errors import CannotOperate
from jscgc.evaluation.jobs import (
    CANNOT_OPERATE,
    DECODING_FAILED,
    ORIGINAL,
    SIZES,
    Job,
    JobResult,
    Picture,
    Pictures,
    Place,
)
from jscgc.evaluation.memory import Encoder
from jscgc.flow.params import SampleParams
from jscgc.memory import Memory
from jscgc.metrics import PairMetric, SetMetric, pair_metric, set_metric
from jscgc.metrics import info as metric_info
from jscgc.metrics.patches import patches
from jscgc.metrics.registry import pair_names, set_names
from jscgc.metrics.scoring import score
from jscgc.precision import Precision
from jscgc.systems.base import Link, Reception, SeparatedSystem, System
from jscgc.systems.cost import Cost, counted
from jscgc.systems.load import load_system
from jscgc.systems.transmit import transmit

log = logging.getLogger(__name__)
PHOTOS_BYTES = 2**29
"""Of photographs that a worker keeps: a hundred of 768x512."""


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
    further: tuple[Path, ...] = ()
    """Folders of models of further trainings, the first of them training 1."""
    precision: Precision = "float32"
    """That the systems compute in; metrics see photographs of single precision."""
    received: Pictures = field(default_factory=dict)
    """What others received, which is only scored."""

    def folder(self, training: int) -> Path:
        """The models of a training."""
        return (self.models, *self.further)[training]


class Worker:
    """Holds models, photos and metrics, and runs jobs one by one."""

    def __init__(self, setup: Setup, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._setup = setup
        self._systems: dict[tuple[str, int], System | SeparatedSystem] = {}
        self._photos: Memory[Tensor] = Memory(PHOTOS_BYTES, lambda photo: photo.nbytes)
        self._encode = Encoder()
        self._costs: dict[Hashable, Cost] = {}

    @cached_property
    def _pairs(self) -> dict[str, PairMetric]:
        return {name: pair_metric(name, self._setup.device) for name in self._wanted("pair")}

    def _scorers(self, job: Job) -> list[PairMetric]:
        return [metric for name, metric in self._pairs.items() if name not in job.without]

    @cached_property
    def _sets(self) -> list[SetMetric]:
        return [set_metric(name, self._setup.device) for name in self._wanted("set")]

    def _wanted(self, scope: Literal["pair", "set"]) -> list[str]:
        asked = self._setup.metrics
        if asked is None:
            return pair_names() if scope == "pair" else set_names()
        return [name for name in asked if metric_info(name).scope == scope]

    def system(self, name: str, training: int = 0) -> System | SeparatedSystem:
        """A training of a system, loaded at first use."""
        key = name, training
        if key not in self._systems:
            if self._setup.device == "cuda":
                # Jobs come method by method; a GPU may have no room for two large generators.
                self._systems.clear()
            setup = self._setup
            self._systems[key] = load_system(name, setup.folder(training), setup.device, setup.precision)
        return self._systems[key]

    def photo(self, name: str) -> Tensor:
        """A photo as float [3,H,W]."""

        def opened() -> Tensor:
            path = dict(self._setup.photos)[name]
            return to_tensor(reduce(open_photo(path), self._setup.max_side)).to(self._setup.device)

        return self._photos.get(name, opened)

    def _other(self, name: str) -> Tensor:
        """The next photo of the list, enlarged or reduced to this one's size: what `wrong_symbols` sends."""
        names = [n for n, _ in self._setup.photos]
        following = names[(names.index(name) + 1) % len(names)]
        if following == name:
            return self.photo(name).flip(-1).flip(-2)
        height, width = self.photo(name).shape[-2:]

        def resized() -> Tensor:
            photo = Image.fromarray(to_photo(self.photo(following).cpu()))
            return to_tensor(np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS))).to(self._setup.device)

        return self._photos.get((following, height, width), resized)

    def _sample(self, job: Job) -> SampleParams:
        changes = {"steps": job.steps or None, "guidance": job.guidance}
        return self._setup.sample.model_copy(update={k: v for k, v in changes.items() if v is not None})

    def _features(self, photo: Tensor) -> dict[str, np.ndarray]:
        cut = patches([photo], self._setup.patch)
        return {metric.info.name: metric.features(cut) for metric in self._sets}

    def _mean_of(
        self, job: Job, reception: Reception, count: int, photo: Tensor
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scores and features of the mean of the first `count` samples."""
        first = replace(reception, samples=reception.samples[:count])
        scores = score(self._scorers(job), photo, first.mean)
        scores["nfe"] = float(count * (reception.nfe // len(reception.samples)))
        if count > 1 and (ratio := first.spread_over_error(photo)) is not None:
            scores["spread_over_error"] = ratio
        return scores, self._features(first.mean)

    def run(self, job: Job) -> JobResult:
        """Transmit, score, describe patches."""
        photo = self.photo(job.image)
        height, width = photo.shape[-2:]
        if job.method == ORIGINAL:
            return JobResult({}, self._features(photo), _png(photo) if job.picture else b"", height=height, width=width)
        if job.received:
            return self._score_picture(job, photo, self._setup.received[Place.of(job)])
        system = self.system(job.sender, job.training)
        try:
            with self._counting(job, system, photo) as (cost, known):
                reception = self._transmit(job, system, photo)
        except CannotOperate as error:
            log.info("%s", error)
            return JobResult({CANNOT_OPERATE: 1.0}, height=height, width=width)
        if job.dial:
            scored = {count: self._mean_of(job, reception, count, photo) for count in job.dial}
            return JobResult({}, means=scored, steps=reception.steps, height=height, width=width)
        received = reception.photo
        scores = score(self._scorers(job), photo, received)
        scores |= {"cbr_exact": reception.bandwidth.cbr, "nfe": float(reception.nfe)}
        if isinstance(system, SeparatedSystem):
            scores |= {CANNOT_OPERATE: 0.0, DECODING_FAILED: float(reception.failed)}
            scores |= {key: float(value) for key, value in reception.details.items() if key in SIZES}
        features, patched = self._described(received)
        scores |= patched
        if rate := reception.information:
            scores |= rate.scores()
        return JobResult(
            scores,
            features,
            _png(received) if job.picture else b"",
            reception.steps,
            reception.encode_ms,
            reception.decode_ms,
            height,
            width,
            receiver_parameters=cost.parameters,
            receiver_gflops=cost.flops / 1e9,
            warm=known,
        )

    def _described(self, received: Tensor) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Features of the patches, and how many there are."""
        features = self._features(received)
        return features, {"patches": float(min(map(len, features.values())))} if features else {}

    def _score_picture(self, job: Job, photo: Tensor, given: Picture) -> JobResult:
        height, width = photo.shape[-2:]
        if given.file is None:
            return JobResult(dict(given.told), height=height, width=width)
        received = to_tensor(open_photo(given.file)).to(photo)
        features, patched = self._described(received)
        scores = score(self._scorers(job), photo, received) | dict(given.told) | patched
        png = _png(received) if job.picture else b""
        return JobResult(scores, features, png, given.steps, height=height, width=width)

    def _transmit(self, job: Job, system: System | SeparatedSystem, photo: Tensor) -> Reception:
        points = job.information_points
        return transmit(
            system,
            photo,
            Link(job.channel, job.snr_db, job.rate),
            sample=self._sample(job),
            seed=job.seed,
            key=job.image,
            control=job.control,
            samples=max(job.dial, default=1),
            information_points=points,
            other=self._other(job.image) if job.control == "wrong_symbols" or points else None,
            encode=self._encode,
        )

    @contextmanager
    def _counting(self, job: Job, system: System | SeparatedSystem, photo: Tensor) -> Iterator[tuple[Cost, bool]]:
        """What receiving this photo costs, and whether that was known: it is counted while the first one of its size is received,
        which takes longer then."""
        like = (job.method, job.training, job.label, job.steps, job.guidance, job.rate, photo.shape[-2:])
        if isinstance(system, SeparatedSystem) or job.dial:
            yield Cost(), True
        elif like in self._costs:
            yield self._costs[like], True
        else:
            with counted(system) as cost:
                yield cost, False
            self._costs[like] = cost


def _png(photo: Tensor) -> bytes:
    return to_png(to_photo(photo.cpu()))
