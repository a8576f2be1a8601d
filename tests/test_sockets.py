"""A long TMPDIR: sockets lie somewhere shorter, or it is said in one line before anything is computed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jscgc import sockets
from jscgc.cluster import session
from jscgc.training import ahead

ROOT = Path(__file__).parents[1]
LENGTHS = (66, 90, 200)
"""Bytes of TMPDIR: too many for Ray, for torch's loader, and for any socket."""


def long_folder(tmp_path: Path, length: int) -> Path:
    folder = tmp_path
    while (missing := length - len(os.fsencode(folder))) > 0:
        folder = folder / ("x" * min(100, max(1, missing - 1)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("length", [20, 39, 40, *LENGTHS])
def test_a_short_folder_is_kept_and_a_long_one_replaced(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    folder = Path("/" + "x" * (length - 1))
    for below in (len(session.SOCKET), len(ahead.SOCKET)):
        place = sockets.roomy(folder, below)
        assert place == (folder if length + below <= 107 else Path("/tmp"))
        assert len(os.fsencode(place)) + below <= 107


def test_bytes_count_and_not_letters() -> None:
    assert (
        sockets.roomy("/" + "é" * 25, 70) != Path("/" + "é" * 25) and sockets.roomy("/" + "é" * 18, 70).name[0] == "é"
    )


def test_without_any_place_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "not there"))
    monkeypatch.setattr(sockets, "PLACES", ("/nowhere", "/neither"))
    with pytest.raises(ValueError, match="too long a temporary folder .*set TMPDIR to a shorter one$") as caught:
        sockets.roomy("/" + "x" * 90, 68)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", LENGTHS)
def test_batches_are_drawn_ahead_whatever_tmpdir_is(length: int, tmp_path: Path) -> None:
    code = """
import torch
from jscgc.training.ahead import Ahead
batches = Ahead(lambda number: torch.full((2,), float(number)), [0, 1, 2], workers=1)
print(*(int(batches(number).sum()) for number in range(3)))
"""
    assert run(code, long_folder(tmp_path, length)) == "0 2 4"


def test_a_session_of_ray_starts_whatever_tmpdir_is(tmp_path: Path) -> None:
    """Evaluation, sweep and sharded training all start theirs there."""
    code = """
import ray
from jscgc.cluster.session import session
with session() as resources:
    print(ray.get(ray.remote(lambda: 7).remote()), resources["CPU"] > 0)
"""
    assert run(code, long_folder(tmp_path, LENGTHS[0])) == "7 True"


def run(code: str, folder: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
