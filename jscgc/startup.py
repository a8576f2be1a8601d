"""What a process of ours does before it imports anything large."""

from __future__ import annotations

import atexit
import gc
import io
import sys


def collect_seldom() -> None:
    """Have Python look for garbage seldom, and not at its end.

    torch and diffusers are some hundred thousand objects that stay: looking through them again and again costs a second or more
    while they are imported, and two when the process ends.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


def print_any_name() -> None:
    """Let stdout take what its encoding has no letters for, as stderr does: a file name need not be text.

    Printing it would else end a command whose work is done.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
