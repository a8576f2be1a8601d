"""Batches drawn ahead by other processes, so that a GPU need not wait for photographs to be cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

WORKERS = 8
"""Most processes that draw."""


class _Steps(Dataset[Tensor]):
    """step -> batch, as torch's loader wants it."""

    def __init__(self, draw: Callable[[int], Tensor], steps: int) -> None:
        self._draw, self._steps = draw, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Tensor:
        return self._draw(step)


class Ahead:
    """step -> `draw(step)`, asked for one step after another from any first one: the same batches as without it.

    Args:
        draw: step -> batch on the CPU, by the step alone.
        steps: none is asked for from here on.
        workers: processes; forked, they share what is in memory already.
    """

    def __init__(self, draw: Callable[[int], Tensor], steps: int, workers: int | None = None) -> None:
        self._draw, self._steps = draw, steps
        self._workers = workers or max(1, min(WORKERS, (os.cpu_count() or 2) - 1))
        self._next = -1
        self._batches: Iterator[Tensor] = iter(())

    def __call__(self, step: int) -> Tensor:
        """The batch of a step; one out of turn starts anew from there."""
        if step != self._next:
            loader = DataLoader(
                _Steps(self._draw, self._steps),
                batch_size=None,
                sampler=range(step, self._steps),
                num_workers=self._workers,
                prefetch_factor=4,
                multiprocessing_context="fork",
            )
            self._batches, self._next = iter(loader), step
        self._next += 1
        return next(self._batches)
