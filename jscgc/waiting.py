"""That something is at work: what, and for how long, in one line on a terminal's stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
"""Seconds after which one wonders."""
ERASED = "\r\x1b[K"


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say `what` and the seconds passed until the block ends, and then take it back; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done, start = threading.Event(), time.monotonic()

    def say() -> None:
        wait = PATIENCE_S
        while not done.wait(wait):
            wait = 1.0
            print(f"{ERASED}{what} ({time.monotonic() - start:.0f} s)", end="", file=sys.stderr, flush=True)

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    try:
        yield
    finally:
        done.set()
        saying.join()
        print(ERASED, end="", file=sys.stderr, flush=True)
