"""The grid on workers of any machine: in which order, what they need of the driver's, and that they run the same code."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jscgc.data.images import photo_size
from jscgc.evaluation.identity import code_digest, entries, packages
from jscgc.evaluation.jobs import ORIGINAL, Job
from jscgc.evaluation.worker import Setup, Worker
from jscgc.files import read_json
from jscgc.method import METHODS


class Batches:
    """Jobs of one method and one image size in a row: a worker then keeps its model, and a GPU the kernels that it has chosen
    for these shapes and the memory that it has laid out for them. Large images first, so that no worker is left with one. Within
    a size jobs of one photo, SNR and rate in a row, which share what is sent."""

    def __init__(self, photos: Sequence[tuple[str, Path]]) -> None:
        self._sizes = {name: photo_size(path) for name, path in photos}

    def ordered(self, jobs: Iterable[Job]) -> list[Job]:
        """The same jobs; methods, and trainings of them, in the order in which they first occur."""
        jobs = list(jobs)
        runs = list(dict.fromkeys((job.method, job.training) for job in jobs))
        methods = list(dict.fromkeys(method for method, _ in runs))
        images = list(self._sizes)

        def place(job: Job) -> tuple[float, ...]:
            run = runs.index((job.method, job.training))
            size = (-side for side in self._sizes[job.image])
            return methods.index(job.method), run, *size, images.index(job.image), job.snr_db, job.rate

        return sorted(jobs, key=place)

    def kind(self, job: Job) -> Hashable:
        """Jobs of which this is equal take about the same time."""
        return (job.label, job.dial, job.steps, job.information_points, self._sizes[job.image])


def needed(setup: Setup, jobs: Iterable[Job]) -> Iterator[Path]:
    """Files and folders that jobs read: photographs, models, what these share, the VAE."""
    yield from (path for _, path in setup.photos)
    runs = {(job.training, job.method, job.sender) for job in jobs if not job.received}
    learned = [(setup.folder(at), name) for at, method, name in runs if method != ORIGINAL and METHODS[method].network]
    yield from (given.file for given in setup.received.values() if given.file)
    for models in {models for models, _ in learned}:
        if (models / "vae").is_dir():
            yield models / "vae"
    for models, name in learned:
        yield models / name
        for part in read_json(models / name / "model.json").get("shared", {}).values():
            if not (models / name / part["model"]).is_dir():  # within, it comes along
                yield models / part["model"]


@dataclass(frozen=True)
class MakeWorker:
    """Makes a node's worker; code, packages: digest of the sources that the jobs run, and versions, the driver's."""

    setup: Setup
    threads: int
    run: tuple[str, ...]
    code: str
    packages: dict[str, str]

    @classmethod
    def of(cls, setup: Setup, threads: int, jobs: Iterable[Job]) -> MakeWorker:
        kinds = {(ORIGINAL if job.received else job.method, job.channel, job.training, job.sender) for job in jobs}
        ran = [
            entries(method, channel, setup.metrics or (), setup.folder(training) / sender, setup.sample)
            for method, channel, training, sender in kinds
        ]
        run = tuple(sorted(set().union(*ran)))
        return cls(setup, threads, run, code_digest(run), packages(run))

    def __call__(self, here: Callable[[Path], Path]) -> Worker:
        """The worker, on files of this node.

        Raises:
            ValueError: this node has other code or packages; its results would pass for the driver's.
        """
        photos = tuple((name, here(path)) for name, path in self.setup.photos)
        further = tuple(here(models) for models in self.setup.further)
        received = {
            place: replace(given, file=given.file and here(given.file)) for place, given in self.setup.received.items()
        }
        setup = replace(self.setup, models=here(self.setup.models), photos=photos, further=further, received=received)
        if setup != self.setup:
            self._check()
        return Worker(setup, self.threads)

    def _check(self) -> None:
        code, installed = code_digest(self.run), packages(self.run)
        other = sorted(name for name in self.packages if installed.get(name) != self.packages[name])
        if code != self.code or other:
            what = ", ".join(f"{name} {installed.get(name) or 'missing'}, not {self.packages[name]}" for name in other)
            raise ValueError(
                f"node {socket.gethostname()} has not what the driver has ({what or 'other sources of jscgc'}); "
                "bring its checkout to the same commit and run `make install` there"
            )
