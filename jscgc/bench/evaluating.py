"""`jscgc bench evaluate`: a part of the evaluation grid as a bare loop in this process, and on Ray with one worker and more."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from jscgc import cluster
from jscgc.evaluation.identity import Identities, JobKey
from jscgc.evaluation.jobs import Job
from jscgc.evaluation.nodes import Batches, MakeWorker
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.store import ResultStore
from jscgc.evaluation.worker import Setup

LOOP = "loop, no Ray"
POLL_S = 0.02


@dataclass(frozen=True)
class _Meet:
    """Not a job: warm up, then wait until `count` workers have; the number tells one from another."""

    folder: Path
    count: int
    number: int


@dataclass(frozen=True)
class _Make:
    """Makes workers of the evaluation that can meet."""

    make: MakeWorker
    warm: tuple[Job, ...]

    def __call__(self, here: Callable[[Path], Path]) -> _Meeting:
        return _Meeting(self.make(here), self.warm)


class _Meeting:
    def __init__(self, worker: Any, warm: Sequence[Job]) -> None:
        self._worker, self._warm = worker, warm

    def run(self, job: Job | _Meet) -> Any:
        """The result of a job; of a meeting nothing."""
        if isinstance(job, Job):
            return self._worker.run(job)
        for one in self._warm:
            self._worker.run(one)
        (job.folder / str(job.number)).touch()
        while len(list(job.folder.iterdir())) < job.count:
            time.sleep(POLL_S)
        return None


def bench_evaluation(
    setup: Setup, protocol: Protocol, jobs: Sequence[Job], workers: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """Rows of run, workers, jobs, start_s (Ray, models, metrics, a first job of every method), s (from then on, results kept in a
    store), overhead (s over the loop's, of one worker), speed_up (over Ray with one worker); medians of the rounds.

    Args:
        setup, protocol: as an evaluation has them.
        jobs: of the grid.
        workers: numbers of Ray workers to try, of one core each; 1 is always tried.
        rounds: of everything, taking turns.
    """
    jobs = Batches(setup.photos).ordered(jobs)
    make = _Make(MakeWorker.of(setup, 1, jobs), tuple({job.method: job for job in jobs}.values()))
    identities = Identities(protocol, setup.models, setup.device)
    keys = {job: identities.of(job) for job in jobs}
    counts = sorted({1, *workers})
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in (0, *counts)}
    for _ in range(rounds):
        times[0].append(_loop(make, jobs, keys, protocol.hash))
        for count in counts:
            times[count].append(_on_ray(make, jobs, keys, protocol.hash, count))
    for count, runs in times.items():
        spent = [seconds for _, seconds in runs]
        yield {
            "run": f"Ray, {count} worker{'s' * (count > 1)}" if count else LOOP,
            "workers": count or 1,
            "jobs": len(jobs),
            "start_s": median(start for start, _ in runs),
            "s": median(spent),
            "overhead": _ratio(spent, [s for _, s in times[0]]) - 1 if count == 1 else None,
            "speed_up": _ratio([s for _, s in times[1]], spent) if count > 1 else None,
        }


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return median(one / other for one, other in zip(above, below, strict=True))


def _loop(make: _Make, jobs: Sequence[Job], keys: dict[Job, JobKey], protocol: str) -> tuple[float, float]:
    """Seconds until the first job, and of all jobs."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        store, begin = ResultStore(Path(folder)), time.perf_counter()
        worker = make(lambda path: path)  # sets the number of threads
        worker.run(_Meet(_empty(folder), 1, 0))
        start = time.perf_counter()
        for job in jobs:
            store.save(keys[job], job, worker.run(job), protocol)
        end = time.perf_counter()
    torch.set_num_threads(threads)
    return start - begin, end - start


def _on_ray(
    make: _Make, jobs: Sequence[Job], keys: dict[Job, JobKey], protocol: str, count: int
) -> tuple[float, float]:
    """The same with so many workers."""
    with tempfile.TemporaryDirectory() as folder:
        store, begin = ResultStore(Path(folder)), time.perf_counter()
        meet = [_Meet(_empty(folder), count, number) for number in range(count)]
        start, met = begin, 0
        todo: list[_Meet | Job] = [*meet, *jobs]
        for job, result in cluster.run_jobs(make, todo, cluster.Workers(count), "bench"):
            if isinstance(job, _Meet):
                met += 1
                start = time.perf_counter() if met == count else start
            else:
                store.save(keys[job], job, result, protocol)
            end = time.perf_counter()
    return start - begin, end - start


def _empty(folder: str) -> Path:
    meeting = Path(folder) / "meeting"
    os.makedirs(meeting, exist_ok=True)
    return meeting
