"""Time and memory of functions, compared fairly: in the same run, taking turns."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

Work = Callable[[], object]
ATTEMPTS = 3
"""What a run frees but malloc keeps in a gap of its heap counts as if in use: no attempt is too low, some are too high."""


@dataclass(frozen=True)
class Measured:
    """ms: median milliseconds. peak_mb: most memory above what was held before, None where it can't be told. ratio: median
    over the rounds of this one's time by the first one's in the same round."""

    ms: float
    peak_mb: float | None
    ratio: float


def seconds(work: Work) -> float:
    """One run; on a GPU until its work is done."""
    _synchronise()
    start = time.perf_counter()
    work()
    _synchronise()
    return time.perf_counter() - start


def compare(works: Mapping[str, Work], rounds: int) -> dict[str, Measured]:
    """Run all works in turn, `rounds` times after one to warm up.

    Whatever else slows the machine down meets neighbours in time alike, so the ratios are medians of pairs.
    """
    peaks = {name: peak_mb(work) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    first = times[next(iter(works))]
    return {
        name: Measured(
            1000 * median(spent), peaks[name], median(taken / base for taken, base in zip(spent, first, strict=True))
        )
        for name, spent in times.items()
    }


def peak_mb(work: Work) -> float | None:
    """Most memory in MB (10^6 bytes) that one run needs above what the process holds before."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        work()
        _synchronise()
        return float(torch.cuda.max_memory_allocated() - held) / 1e6
    try:
        return min(_resident_peak_mb(work) for _ in range(ATTEMPTS))
    except OSError:
        work()
        return None


def _resident_peak_mb(work: Work) -> float:
    with suppress(OSError, AttributeError):
        # Memory that malloc keeps after it was freed would be used again unseen.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (man 5 proc)
    held = _status("VmRSS")
    work()
    return (_status("VmHWM") - held) * 1024 / 1e6


def _status(key: str) -> int:
    """A line of /proc/self/status in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}")


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
