"""A home that can't be written, as of services and in containers, and commands that are typed elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    return folder


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """With a home in which nothing can be made, not even by root, and no other place for caches."""
    caches = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "JSCGC_FILES", "MLFLOW_TRACKING_URI", "RAY_AUTH_TOKEN")
    kept = {key: value for key, value in os.environ.items() if key not in caches}
    environment = kept | {"HOME": "/proc/nobody", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_commands_need_no_home(photos: Path, tmp_path: Path) -> None:
    """Files of codecs are not remembered there, and Ray keeps its token in memory."""
    sent = run(
        "-m", "jscgc.cli", "transmit", photos / "noise.png", "--method", "klt", "hevc_capacity", "--cbr", "32/768", "--json",
        "--out", tmp_path / "out", cwd=tmp_path,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert {row["method"] for row in json.loads(sent.stdout)["results"]} == {"klt", "hevc_capacity"}
    scored = run(
        "-m", "jscgc.cli", "evaluate", "--images", photos, "--methods", "klt", "--snr-db", "5", "--draws", "1", "--metrics",
        "psnr", "--workers", "1", "--out", tmp_path / "results.csv", cwd=tmp_path,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert "noise.png" in (tmp_path / "results.csv").read_text() and "Traceback" not in scored.stderr


def test_a_stage_needs_no_home(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from jscgc import tracking\n"
        "with tracking.stage_run('homeless', params={}, tags={}, root=Path()) as run: run.log(0, {'loss': 1.0})\n"
    )
    project = tmp_path / "100%41 mine"  # whose database needs a link of a plain name
    project.mkdir()
    done = run("-c", code, cwd=project)
    assert done.returncode == 0 and "tracking:" not in done.stderr, done.stderr
    assert (project / ".jscgc/mlflow.db").exists() and not any((project / ".jscgc/spool").iterdir())


@pytest.mark.skipif(not (ROOT / ".venv/.complete").exists(), reason="make would install first")
def test_make_may_be_called_from_elsewhere(tmp_path: Path) -> None:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    }
    for target, said in (("help", "reproduce"), ("profile", "usage: python -m pipeline.profile NAME")):
        command = ["make", "-C", str(ROOT), "--old-file", ".venv/.complete", target]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert said in done.stdout + done.stderr, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
