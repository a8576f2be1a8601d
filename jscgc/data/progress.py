"""A progress bar on stderr for work on many files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

SILENT_UP_TO = 50
"""Fewer items are done before a bar is of use."""


def progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Iterate with a bar on stderr if there are many items; stdout stays free for results."""
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, console=Console(stderr=True), disable=len(items) <= SILENT_UP_TO)
