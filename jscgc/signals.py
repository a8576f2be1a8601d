"""Signals that end a process of ours: each as Ctrl-C does, with its line, its status and nothing left running.

SIGTERM is what cluster managers, containers and `kill` send, SIGHUP what a terminal that is closed does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PR_SET_PDEATHSIG = 1
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def end_as_interrupted() -> None:
    """Have all of them raise KeyboardInterrupt. One that is ignored, as below nohup, stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Have them wait until the block is done: it starts what must be whole to be ended again. Their handlers are then those of
    before, whatever the block has set. In another thread than the main one this does nothing: there are no handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    came: list[tuple[int, Any]] = []
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda *received: came.append(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number, frame in came[:1]:
        handler = before[number]
        assert callable(handler)
        handler(number, frame)


def end_with_parent(parent: int | None = None) -> None:
    """Have this process terminated when its parent ends: killing dvc, or a stage, leaves no orphan that writes on.

    Args:
        parent: the number of the process that should be it: if that has ended before this call, this process ends now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
