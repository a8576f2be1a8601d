"""A progress bar whose remaining time knows that jobs differ: every kind counts with its own mean time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any

from jscgc import printing


class Eta:
    """Seconds that the rest will take: jobs left of each kind times what those of their kind took, shared by the workers.

    Of a kind that has not been seen the mean of the others is taken, so the estimate is rough until each has been.
    """

    def __init__(self, kinds: Sequence[Hashable]) -> None:
        self._left: dict[Hashable, int] = defaultdict(int)
        self._seconds: dict[Hashable, list[float]] = defaultdict(list)
        for kind in kinds:
            self._left[kind] += 1

    def done(self, kind: Hashable, seconds: float) -> None:
        """A job of that kind took so long."""
        self._left[kind] -= 1
        self._seconds[kind].append(seconds)

    def remaining_s(self, workers: int) -> float | None:
        """Seconds; None before the first job is done."""
        means = {kind: sum(took) / len(took) for kind, took in self._seconds.items()}
        if not means:
            return None
        other = sum(means.values()) / len(means)
        work = sum(left * means.get(kind, other) for kind, left in self._left.items())
        return work / max(1, workers)


class Bar:
    """The bar on stderr: jobs done, workers at work, time passed and left."""

    def __init__(self, title: str, jobs: Sequence[Any], kind: Callable[[Any], Hashable]) -> None:
        self._title, self._kind = title, kind
        self._eta = Eta([kind(job) for job in jobs])
        self._progress = printing.bar("{task.fields[left]}")
        self._task = self._progress.add_task(title, total=len(jobs), left="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def advance(self, job: Any, seconds: float, workers: int) -> None:
        """A job is done; so many workers are at work."""
        self._eta.done(self._kind(job), seconds)
        remaining_s = self._eta.remaining_s(workers)
        left = "" if remaining_s is None else f"about {timedelta(seconds=round(remaining_s))} left"
        many = f"{workers} worker" + ("" if workers == 1 else "s")
        self._progress.update(self._task, advance=1, description=f"{self._title} ({many})", left=left)
