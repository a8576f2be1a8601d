"""Processes that read photographs side by side; what comes of it is the same for any number of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import TypeVar

from jscgc.data.progress import progress
from jscgc.signals import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH = 64
"""Fewer photographs are read in this process: starting others takes longer."""
AT_ONCE = 8
"""Photographs that a process is given at once."""
AHEAD = 2048
"""Most results that may wait to be taken."""


class Readers:
    """`count` processes, started when there is enough for them to do and ended with the block.

    They are started afresh (not forked: this process may have threads), so a script that is the main module needs its usual
    `if __name__ == "__main__"`, and what they are given must be importable functions. 1: none, all is done in this process.
    """

    def __init__(self, count: int = 1) -> None:
        """Args:
        count: of processes.

        Raises:
            ValueError: fewer than one.
        """
        if count < 1:
            raise ValueError(f"{count} processes can't read photographs; give 1 or more")
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
        """`function` of each item, in their order; `what` stands beside the progress bar.

        Raises:
            OSError: a process was killed.
        """
        results = map(function, items) if self._alone(items) else self._apart(function, items)
        for _, result in zip(progress(items, what), results, strict=True):
            yield result

    def _alone(self, items: Sequence[Item]) -> bool:
        return self._count == 1 or len(items) < WORTH

    def _apart(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin, (os.getpid(),))
        try:
            for start in range(0, len(items), AHEAD):
                yield from self._pool.map(function, items[start : start + AHEAD], chunksize=AT_ONCE)
        except BrokenProcessPool:
            raise OSError(
                "a process that reads photographs was killed (out of memory?); start again, with fewer if need be "
                "(distributed.readers)"
            ) from None


def _begin(parent: int) -> None:
    # Ctrl-C reaches every process of the terminal; this one ends when the one that gives it work is through.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
