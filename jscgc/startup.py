"""What a process of ours does before it imports anything large."""

from __future__ import annotations

import atexit
import gc
import os

from jscgc.machine import cores, quota_below_affinity


def collect_seldom() -> None:
    """Have Python look for garbage seldom, and not at its end.

    torch and diffusers are some hundred thousand objects that stay: looking through them again and again costs a second or more
    while they are imported, and two when the process ends.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


def keep_to_quota() -> None:
    """Have torch and NumPy start no more threads than our container may run: of themselves they start one for each core they see.

    Before either is imported; OMP_NUM_THREADS, if it is set, holds.
    """
    if quota_below_affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
