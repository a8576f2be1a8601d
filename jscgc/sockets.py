"""Where libraries may lay their sockets: the kernel takes no longer path for one than 107 bytes, and TMPDIR alone may be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

LONGEST = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path."""
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""Short ones, tried in this order after XDG_RUNTIME_DIR, the user's own."""


def roomy(folder: str | Path, below: int) -> Path:
    """The folder, or where that is too long one in which sockets of paths `below` bytes longer than its own can lie.

    Raises:
        ValueError: there is none; says what to do.
    """
    folder = Path(folder).absolute()
    most = LONGEST - below
    short = [os.environ.get("XDG_RUNTIME_DIR", ""), *PLACES]
    for place in (folder, *(Path(name) for name in short if name)):
        if len(os.fsencode(place)) <= most and (place == folder or os.access(place, os.W_OK | os.X_OK)):
            return place
    raise ValueError(
        f"{folder}: too long a temporary folder for sockets (at most {most} bytes), and none of {', '.join(PLACES)} can be "
        "written; set TMPDIR to a shorter one"
    )
