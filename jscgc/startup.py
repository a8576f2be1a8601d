"""What a process of ours does before it imports anything large."""

from __future__ import annotations

import atexit
import gc


def collect_seldom() -> None:
    """Have Python look for garbage seldom, and not at its end.

    torch and diffusers are some hundred thousand objects that stay: looking through them again and again costs a second or more
    while they are imported, and two when the process ends.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
