"""`jscgc evaluate --report` and `jscgc report`: a report of one's own evaluation, and again from its folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from jscgc.cli import main


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    """A report of two photographs and two tiny methods."""
    place = tmp_path_factory.mktemp("work")
    (place / "photos").mkdir()
    for seed, name in enumerate("ab"):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR).save(place / "photos" / f"{name}.png")
    arguments = ["--images", str(place / "photos"), "--models", str(models), "--store", str(place / "store")]
    grid = ["--methods", "jscgc", "mambajscc_psnr", "--snr-db", "0", "5", "--cbr", "4/768", "--draws", "1"]
    settings = ["--metrics", "psnr", "ms_ssim", "--workers", "1", "--pictures", "1"]
    assert main(["evaluate", *arguments, *grid, *settings, "--report", str(place / "report")]) == 0
    return place / "report"


def test_an_evaluation_ends_in_a_whole_report(folder):
    found = {path.name for path in folder.iterdir()}
    assert found >= {"results.csv", "results.protocol.json", "timing.json", "index.html", "report.pdf", "summary.json"}
    assert found >= {"figures", "tables", "pictures", "grid.png", "paired.csv", "bd_rate.csv"}
    pictures = {photo.name: {p.stem for p in photo.iterdir()} for photo in (folder / "pictures").iterdir()}
    grid = {f"{method}_awgn_{snr_db}dB_4" for method in ("jscgc", "mambajscc_psnr") for snr_db in (0, 5)}
    assert pictures["a.png"] == {"original", *grid}  # of one photograph, as asked
    worst = {name for name in grid if "_5dB_" in name}
    assert pictures["b.png"] == {"original", *worst}  # as one that is received worst
    assert "data:image/webp;base64," in (folder / "index.html").read_text()


def test_the_report_is_remade_from_its_folder_with_notes(folder, capsys):
    before = (folder / "index.html").read_bytes()
    assert main(["report", str(folder), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files[0] == str(folder / "index.html") and (folder / "index.html").read_bytes() == before
    assert main(["report", str(folder), "--note", "Only <two> photographs.", "--title", "mine"]) == 0
    page = (folder / "index.html").read_text()
    assert "Only &lt;two&gt; photographs." in page and "mine" in page


@pytest.mark.parametrize("arguments", [["report", "nowhere"], ["report", ".", "--params", "nowhere.yaml"]])
def test_what_is_missing_is_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and ("nowhere" in error or "results.csv" in error)
    assert not list(tmp_path.iterdir())


def test_pictures_without_a_report_are_refused(tmp_path, capsys):
    assert main(["evaluate", "--images", str(tmp_path), "--pictures", "3"]) == 1
    assert "name its folder with --report DIR" in capsys.readouterr().err


def test_two_places_for_the_table_are_refused(tmp_path, capsys):
    assert main(["evaluate", "--images", str(tmp_path), "--report", "r", "--out", "x.csv"]) == 1
    assert "leave out --out" in capsys.readouterr().err
