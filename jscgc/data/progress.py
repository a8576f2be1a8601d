"""A progress bar on stderr for work on many files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from jscgc.printing import track

Item = TypeVar("Item")

SILENT_UP_TO = 50
"""Fewer items are done before a bar is of use."""


def progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Iterate with a bar on stderr if there are many items; stdout stays free for results."""
    yield from track(items, what, SILENT_UP_TO)
