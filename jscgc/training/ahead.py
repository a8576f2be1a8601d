"""Batches drawn ahead by other processes, so that a GPU need not wait for photographs to be cut."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import util

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from jscgc.machine import cores
from jscgc.sockets import roomy

SOCKET = "/pymp-00000000/listener-00000000"
"""By which a process hands over a batch, in the folder for temporary files."""
WORKERS = 8
"""Most processes that draw."""


class _Draws(Dataset[Tensor]):
    """Place in the order -> batch, as torch's loader wants it."""

    def __init__(self, draw: Callable[[int], Tensor], order: Sequence[int]) -> None:
        self._draw, self._order = draw, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> Tensor:
        return self._draw(self._order[place])


class Ahead:
    """number -> `draw(number)`, asked for one after another in their order, from any first one: the same batches as without it.

    Args:
        draw: number -> batch on the CPU, by the number alone.
        order: the numbers that will be asked for, ascending.
        workers: processes; forked, they share what is in memory already.
    """

    def __init__(self, draw: Callable[[int], Tensor], order: Sequence[int], workers: int | None = None) -> None:
        self._draw, self._order = draw, order
        self._workers = workers or max(1, min(WORKERS, cores() - 1))
        self._next = -1
        self._batches: Iterator[Tensor] = iter(())

    def __call__(self, number: int) -> Tensor:
        """The batch of a number; one out of turn starts anew from there."""
        if self._next < 0 or self._next >= len(self._order) or self._order[self._next] != number:
            self._next = bisect_left(self._order, number)
            _lay_sockets()
            loader = DataLoader(
                _Draws(self._draw, self._order),
                batch_size=None,
                sampler=range(self._next, len(self._order)),
                num_workers=self._workers,
                prefetch_factor=4,
                multiprocessing_context="fork",
            )
            self._batches = iter(loader)
        self._next += 1
        return next(self._batches)


def _lay_sockets() -> None:
    """Have processes forked from now on lay their sockets where there is room for their paths: they take the folder that was
    chosen here first."""
    before = tempfile.gettempdir()
    tempfile.tempdir = str(roomy(before, len(SOCKET)))
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = before
