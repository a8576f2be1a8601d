"""Parallel jobs on a pool of Ray actors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from jscgc.cluster.session import session

JobT = TypeVar("JobT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class Runner(Protocol[JobT, ResultT]):
    """A worker: jobs in, results out, one at a time."""

    def run(self, job: JobT, /) -> ResultT: ...


def run_jobs(
    make_runner: Callable[[], Runner[JobT, ResultT]], jobs: Sequence[JobT], workers: int, title: str
) -> Iterator[tuple[JobT, ResultT]]:
    """Run jobs on a pool of actors; yields (job, result) in the order of `jobs`.

    Args:
        make_runner: called once in every actor; what it closes over travels to it.
        jobs: independent of each other.
        workers: actors, 0 for one per core.
        title: shown beside the progress bar.

    A worker that dies is restarted and its jobs are run again, twice at most. An exception in a job is raised here.
    """
    import ray
    from ray.util import ActorPool
    from rich.console import Console
    from rich.progress import Progress

    with session(workers) as resources:
        count = min(workers or int(resources.get("CPU", 1)), max(1, len(jobs)))
        gpus = resources.get("GPU", 0.0) / count
        actor = ray.remote(max_restarts=2, max_task_retries=2, num_cpus=1, num_gpus=min(1.0, gpus))(_Actor)
        pool = ActorPool([actor.remote(make_runner) for _ in range(count)])
        done: Any = pool.map(lambda a, job: a.run.remote(job), list(jobs))
        console = Console(file=sys.stderr)
        with Progress(*Progress.get_default_columns(), console=console, refresh_per_second=1) as progress:
            bar = progress.add_task(f"{title} ({count} workers)", total=len(jobs))
            for job, result in zip(jobs, done, strict=True):
                progress.advance(bar)
                yield job, result


class _Actor:
    """A runner inside a Ray actor."""

    def __init__(self, make_runner: Callable[[], Runner[Any, Any]]) -> None:
        self._runner = make_runner()

    def run(self, job: Any) -> Any:
        return self._runner.run(job)
