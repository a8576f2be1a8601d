"""What of the machine is ours: affinity and containers' limits, by one function that all who start workers ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jscgc import machine
from jscgc.cluster import Workers
from jscgc.cluster.session import WORKER_BYTES
from jscgc.machine import cores, memory_bytes

ROOT = Path(__file__).parents[1]
GIB = 2**30
V2 = {"": {"cpu.max": "max 100000"}, "box": {"cpu.max": "200000 100000", "memory.max": f"{4 * GIB}\n"}, "box/job": {}}
V1 = {
    "cpu,cpuacct": {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"},
    "cpu,cpuacct/box": {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "50000"},
    "memory/box/job": {"memory.limit_in_bytes": str(3 * GIB)},
}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the two places that the kernel tells us of groups by, on a machine of eight cores."""

    def make(ours: str, files: dict[str, dict[str, str]]) -> None:
        for folder, contents in files.items():
            (tmp_path / "cgroup" / folder).mkdir(parents=True, exist_ok=True)
            for name, text in contents.items():
                (tmp_path / "cgroup" / folder / name).write_text(text)
        (tmp_path / "ours").write_text(ours)

    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OURS", tmp_path / "ours")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return make


@pytest.mark.parametrize(
    ("ours", "files", "count", "memory"),
    [
        ("0::/box/job\n", V2, 2, 4 * GIB),
        ("0::/\n", {"": {"cpu.max": "350000 100000", "memory.max": str(GIB)}}, 3, GIB),
        ("0::/elsewhere/not/mounted\n", {"": {"cpu.max": "50000 100000"}}, 1, None),
        ("0::/../above\n", {"": {"cpu.max": "max 100000", "memory.max": "max"}}, 8, None),
        ("4:memory:/box/job\n3:cpu,cpuacct:/box\n1:name=systemd:/box\n0::/\n", V1, 3, 3 * GIB),
        ("", {}, 8, None),
        ("nonsense\n", {"": {"cpu.max": "what 0", "memory.max": "x"}}, 8, None),
        ("0::/\n", {"": {"memory.max": str(2**63 - 4096), "cpu.max": "0 0"}}, 8, None),
    ],
)
def test_the_narrowest_of_all_limits_holds(groups, ours: str, files, count: int, memory: int | None) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups(ours, files)
    assert (cores(), memory_bytes()) == (count, min(memory or whole, whole))


def test_without_groups_there_is_the_whole_machine(groups) -> None:
    assert cores() == 8 and memory_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_workers_are_as_many_as_there_is_memory_for() -> None:
    assert Workers().fitting({"CPU": 64.0, "memory": 3.5 * WORKER_BYTES}) == 3
    assert Workers().fitting({"CPU": 64.0, "memory": 1.0}) == 1
    assert Workers(count=9).fitting({"CPU": 64.0, "memory": 1.0}) == 9  # asked for by name


def test_torch_starts_no_more_threads_than_the_quota(groups, monkeypatch: pytest.MonkeyPatch) -> None:
    from jscgc.startup import keep_to_quota

    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    groups("0::/box\n", V2)
    keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "5"
    monkeypatch.delenv("OMP_NUM_THREADS")
    keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "2"
    monkeypatch.delenv("OMP_NUM_THREADS")
    groups("0::/\n", {"": {"cpu.max": "max 100000"}})
    keep_to_quota()
    assert "OMP_NUM_THREADS" not in os.environ  # what sees its affinity needs no help


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_under_taskset_all_who_start_workers_see_one_core(tmp_path: Path) -> None:
    """A local session of Ray, torch, batches drawn ahead, `bench --threads`."""
    code = """
import argparse
import torch
from jscgc.bench.command import add_arguments
from jscgc.cluster import Workers
from jscgc.cluster.session import session
from jscgc.training.ahead import Ahead
parser = argparse.ArgumentParser()
add_arguments(parser)
with session() as resources:
    print(int(resources["CPU"]), Workers().fitting(resources), torch.get_num_threads(), Ahead(print, [])._workers,
          parser.parse_args(["train", "--against", "HEAD"]).threads)
"""
    clean = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n{code}"],
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert done.stdout.split() == ["1"] * 5


def test_nobody_else_counts_cores_or_memory() -> None:
    counts = re.compile(
        r"cpu_count|sched_getaffinity|SC_PHYS_PAGES|SC_NPROCESSORS|virtual_memory|ThreadPoolExecutor\(\)"
    )
    files = [file for folder in ("jscgc", "pipeline") for file in (ROOT / folder).rglob("*.py")]
    assert [file.name for file in files if counts.search(file.read_text())] == ["machine.py"]
