"""Where a reader of a grid of links looks first. No torch here: the report reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from jscgc.channel.spec import rank

Size = TypeVar("Size", int, float)


def central(places: Collection[tuple[str, float, Size]]) -> tuple[str, float, Size]:
    """Of channels, SNRs in dB and rates (or CBRs) the one where a reader looks first.

    It is the first channel (AWGN if there), the middle rate of those that are there at most SNRs, and the middle SNR, the upper
    one of two each.
    """
    channel = min((channel for channel, _, _ in places), key=rank)
    here = {(snr_db, size) for at, snr_db, size in places if at == channel}
    times = Counter(size for _, size in here)
    size = middle(size for size, count in times.items() if count == max(times.values()))
    return channel, middle(snr_db for snr_db, at in here if at == size), size


def middle(values: Iterable[Any]) -> Any:
    """The middle of the sorted values, the upper one of two."""
    ordered = sorted(set(values))
    return ordered[len(ordered) // 2]
