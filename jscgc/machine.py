"""How much of this machine is ours: its cores and memory, less what affinity and containers keep from us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OURS = Path("/proc/self/cgroup")
"""Which groups we are in: a line `number:controllers:/path` of each, no controllers where all are in one (version 2)."""


def cores() -> int:
    """Cores that this process may compute on at once: by its affinity (`taskset`, Slurm) and its container's quota."""
    return max(1, min([_affine(), *(int(quota) for quota in _quotas())]))


def memory_bytes() -> int:
    """Memory that this process may have: the machine's, or its container's."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_memory_limits()])


def quota_below_affinity() -> bool:
    """Whether only the container's quota holds us back, of which libraries that count cores by affinity know nothing."""
    return cores() < _affine()


def _affine() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Cores that each group around us may use."""
    for folder in _groups("cpu"):
        quota, period = [*_numbers(folder / "cpu.max"), 0, 0][:2]
        if not period:  # version 1
            quota, period = (next(_numbers(folder / f"cpu.cfs_{what}_us"), 0) for what in ("quota", "period"))
        if quota > 0 and period > 0:
            yield quota / period


def _memory_limits() -> Iterator[int]:
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            yield from (limit for limit in _numbers(folder / name) if limit > 0)


def _groups(controller: str) -> Iterator[Path]:
    """Folders of our group and of all around it; a container sees its own as the topmost."""
    try:
        lines = OURS.read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controller in controllers.split(",") or not controllers:
            top = CGROUPS / controllers if controllers else CGROUPS
            group = top / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder == top or top in folder.parents)


def _numbers(file: Path) -> Iterator[int]:
    """The whole numbers in a file, up to the first word that is none (`max`); of one that is not there, none."""
    try:
        words = file.read_text().split()
    except OSError:
        return
    for word in words:
        if not word.lstrip("-").isdigit():
            return
        yield int(word)
