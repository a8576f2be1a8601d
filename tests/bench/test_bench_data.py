"""`jscgc bench data`: every part has its row; what is projected is said to be, and is the measured rate times a number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jscgc.bench.data import bench_data
from jscgc.cli import main
from jscgc.data.images import save_png
from jscgc.files import SHIPPED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for index in range(70):
        low = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
        save_png(np.kron(low, np.ones((8, 8, 1), np.uint8)), root / f"{index}.png")
    return root


def rows_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[dict], dict]:
    assert main(["bench", "data", "--json", *arguments]) == 0
    content = json.loads(capsys.readouterr().out)
    return content["rows"], content


def test_every_part_is_measured_and_projected_from_that(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--images", str(folder), "--count", "66", "--side", "32", "--readers", "1", "2"]
    rows, content = rows_of(capsys, *arguments, "--vae", str(SHIPPED / "vae"), "--project", "5000")
    parts = [(row["part"], row["setting"]) for row in rows]
    assert parts[:4] == [
        (part, setting) for setting in ("1 reader", "2 readers") for part in ("checksums", "reduce, hash, pack")
    ]
    assert [part for part, _ in parts[4:]] == [
        "near-duplicates", *["encode", "decode"] * 3, "crops of 32 pixels", "latents",
    ]  # fmt: skip
    for row in rows:
        assert row["per_second"] > 0
        assert row["projected_hours"] == pytest.approx(5000 / row["per_second"] / 3600)
        if row["kb_each"] is not None:
            assert row["projected_gb"] == pytest.approx(5000 * row["kb_each"] / 1e6)
        assert (row["cpu_ms_each"] is None) == (row["setting"] == "2 readers")
        # Lossless is lossless.
        assert (row["psnr_db"] is not None) == (row["part"] == "decode" and row["setting"].startswith("JPEG"))
    sizes = {row["setting"]: row["kb_each"] for row in rows if row["part"] == "encode"}
    packed = {row["kb_each"] for row in rows if row["part"] == "reduce, hash, pack"}
    assert len(packed) == 1 and packed.pop() >= sizes["WebP, lossless (ours)"]
    latents = rows[-1]
    assert latents["kb_each"] == 4 * 4 * 4 * 2 / 1e3 and "not run" in content["projected"]


def test_without_a_vae_or_a_number_there_is_nothing_of_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--images", str(folder), "--side", "32", "--readers", "1"]
    rows, content = rows_of(capsys, *arguments, "--vae", str(tmp_path / "none"))
    assert "latents" not in {row["part"] for row in rows} and "is not there" in content["latents"]
    assert not any(key.startswith("projected") for row in rows for key in row) and "projected" not in content
    assert rows[0]["count"] == 70


def test_too_few_photographs_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "data", "--images", str(folder), "--count", "9"]) == 1
    assert "9 photographs are too few to measure on; give 64 or more" in capsys.readouterr().err
    with pytest.raises(ValueError, match="too few"):
        list(bench_data([], 32, 32, [1], None, "cpu", 0))
