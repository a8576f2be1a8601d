"""Independent jobs on a pool of Ray actors: results as they come, dead workers replaced, deadly jobs found out."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from jscgc.cluster.progress import Bar
from jscgc.cluster.session import memory_for, session
from jscgc.cluster.sharing import Sharing
from jscgc.startup import collect_seldom

log = logging.getLogger(__name__)
DEATHS = 3
"""Workers that one job may take with it, or that may die before any job, until we give up."""
WAIT_S = 30.0
"""Seconds without a worker after which the cluster is said to have no room."""

JobT = TypeVar("JobT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)
J = TypeVar("J")
R = TypeVar("R")


class Runner(Protocol[JobT, ResultT]):
    """A worker: jobs in, results out, one at a time."""

    def run(self, job: JobT, /) -> ResultT: ...


MakeRunner = Callable[[Callable[[Path], Path]], Runner[J, R]]
"""Called once in every actor with a function that tells where on its node a shared file lies."""


class WorkersDied(ChildProcessError):
    """Worker after worker ended without a word (killed, out of memory, crashed)."""


@dataclass(frozen=True)
class Workers:
    """count: actors, 0 for as many as there is room for. cpus: cores of each. gpus: a GPU for each (1), a share of one, none (0).

    Raises:
        ValueError: more than one GPU; a worker computes on one.
    """

    count: int = 0
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.gpus <= 1:
            raise ValueError(f"GPUs of a worker: a share from 0 to 1, got {self.gpus:g}")

    def fitting(self, resources: dict[str, float]) -> int:
        """Actors to start.

        Raises:
            ValueError: there is room for none now, and no number was named that could make a cluster grow.
        """
        if self.count:
            return self.count
        room = int(resources.get("CPU", 0.0) // self.cpus)
        if self.gpus:
            # 1e-6: seven shares of 0.14 are not 0.98 in floating point.
            room = min(room, int(resources.get("GPU", 0.0) / self.gpus + 1e-6))
        if room < 1:
            has = f"{resources.get('CPU', 0.0):g} CPUs and {resources.get('GPU', 0.0):g} GPUs"
            raise ValueError(
                f"Ray has {has} now, a worker needs {self.cpus} and {self.gpus:g}; "
                "ask for less, or name the number of workers for a cluster that grows on demand"
            )
        return min(room, memory_for(resources))


def run_jobs(
    make_runner: MakeRunner[J, R],
    jobs: Sequence[J],
    workers: Workers,
    title: str,
    *,
    files: Iterable[Path] = (),
    kind: Callable[[J], Hashable] = type,
) -> Iterator[tuple[J, R]]:
    """Run jobs on a pool of actors; yields (job, result) as results come, each job exactly once.

    Args:
        make_runner: what it closes over travels to the actors.
        jobs: independent of each other; they are started in this order.
        title: shown beside the progress bar.
        files: absolute paths of files and folders that workers on other nodes need too.
        kind: jobs of one kind take about the same time.

    A job whose worker or node dies is run again by another worker.

    Raises:
        WorkersDied: one job has ended `DEATHS` workers, or so many died one after another before doing anything.
        Exception: what a job raised.
    """
    if not jobs:
        return
    with session(workers.count * workers.cpus) as resources, Bar(title, jobs, kind) as bar:
        pool = _Pool(make_runner, Sharing.of(files), workers, min(workers.fitting(resources), len(jobs)))
        try:
            for job, result, seconds in pool.run(jobs):
                bar.advance(job, seconds, pool.at_work)
                yield job, result
        finally:
            pool.close()


class _Pool(Generic[J, R]):
    """Actors, and what each is at: getting ready (None) or the number of a job."""

    def __init__(self, make_runner: MakeRunner[J, R], sharing: Sharing, workers: Workers, count: int) -> None:
        import ray

        self._actor: Any = ray.remote(num_cpus=workers.cpus, num_gpus=workers.gpus)(_Actor)
        self._arguments = ray.put(make_runner), sharing
        self._at: dict[Any, tuple[Any, int | None]] = {}
        self._needs = f"{workers.cpus} CPUs and {workers.gpus:g} GPUs"
        self._ready = 0
        self._stillborn = 0
        for _ in range(count):
            self._start()

    @property
    def at_work(self) -> int:
        """Actors that run jobs now."""
        return max(1, self._ready)

    def _start(self) -> None:
        # An actor is not restarted by Ray: its next life would begin with the job that ended this one.
        actor = self._actor.remote(*self._arguments)
        self._at[actor.ready.remote()] = actor, None

    def run(self, jobs: Sequence[J]) -> Iterator[tuple[J, R, float]]:
        """Job, result and seconds, as they come."""
        import ray
        from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayTaskError

        waiting = deque(range(len(jobs)))
        deaths = [0] * len(jobs)
        left = len(jobs)
        while left:
            ready, _ = ray.wait(list(self._at), num_returns=1, timeout=WAIT_S)
            if not ready:
                if not self._ready:
                    log.warning("no worker yet: waiting until Ray has %s free", self._needs)
                continue
            actor, number = self._at.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except (RayActorError, OutOfMemoryError, ObjectLostError) as error:
                self._died(error, number, jobs, deaths, waiting)
                continue
            except RayTaskError as error:
                # The job's own error without Ray's transcript of the worker's stack, which is in the log for whoever wants it.
                log.debug("%s", error)
                raise error.cause from None
            if number is None:
                self._ready += 1
            else:
                left -= 1
                self._stillborn = 0
                yield jobs[number], *answer
            if waiting:
                following = waiting.popleft()
                self._at[actor.run.remote(jobs[following])] = actor, following
            else:
                # With its handle it goes, and makes room for the successor of one that dies.
                self._ready -= 1

    def _died(
        self, error: Exception, number: int | None, jobs: Sequence[J], deaths: list[int], waiting: deque[int]
    ) -> None:
        lines = str(error).strip().splitlines()
        # If it could not even be made (jscgc missing on its node), the last line says why; else the first.
        reason = lines[-1 if "creation task" in lines[0] else 0]
        if number is None:
            self._stillborn += 1
            if self._stillborn >= DEATHS:
                raise WorkersDied(f"{DEATHS} workers died before their first job; the last: {reason}")
            what = "before it was ready"
        else:
            self._ready -= 1
            deaths[number] += 1
            what = f"at {jobs[number]}"
            if deaths[number] >= DEATHS:
                raise WorkersDied(f"{DEATHS} workers died {what}; other results are kept. The last: {reason}")
            waiting.appendleft(number)
        log.warning("a worker died %s, another takes over (%s)", what, reason)
        self._start()

    def close(self) -> None:
        """End the actors, whatever they are at."""
        import ray

        for actor, _ in self._at.values():
            ray.kill(actor)


class _Actor:
    """A runner inside a Ray actor, made with its first job."""

    def __init__(self, make_runner: MakeRunner[Any, Any], sharing: Sharing) -> None:
        collect_seldom()
        self._make, self._sharing = make_runner, sharing
        self._runner: Runner[Any, Any] | None = None

    def ready(self) -> None:
        """Answers once the actor lives."""

    def run(self, job: Any) -> tuple[Any, float]:
        """The result and how many seconds it took."""
        if self._runner is None:
            self._runner = self._make(self._sharing.here)
        start = time.perf_counter()
        return self._runner.run(job), time.perf_counter() - start
