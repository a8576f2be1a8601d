"""Where things are written is looked at before the work, and nothing there is lost without a word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.cli import main
from jscgc.files import check_file, check_folder

ROOT = Path(__file__).parents[1]
FILES = [
    ("jscgc", "evaluate", "--images", "none", "--out"),
    ("jscgc", "bench", "published", "--images", "none", "--out"),
    ("pipeline.ablations", "--out"),
]
FOLDERS = [
    ("jscgc", "evaluate", "--images", "none", "--report"),
    ("jscgc", "evaluate", "--images", "none", "--export"),
    ("jscgc", "evaluate", "--images", "none", "--store"),
    ("jscgc", "transmit", "none.png", "--out"),
    ("jscgc", "sweep", "none.yaml", "--out"),
    ("pipeline.trainings", "jscgc", "--out"),
]
TABLE = "method,training,channel,snr_db,cbr,steps,seed,set,image,metric,value\n"
READ_ONLY = Path("/proc/1")
"""Where nobody can write, root neither, whatever the modes say."""


def said(command: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that can only fail; its other arguments are wrong, too, but that takes longer to find."""
    program, *arguments = command
    if program == "jscgc":
        assert main([*arguments, str(place)]) == 1
        error = capsys.readouterr().err
    else:
        run = [sys.executable, "-m", program, *arguments, str(place)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        error = done.stderr
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("command", FILES, ids=" ".join)
def test_a_file_that_cannot_be_written_is_told_before_anything_else(command, tmp_path, capsys):
    assert f"{tmp_path} is a folder; name a file" in said(command, tmp_path, capsys)
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "x.csv"
    assert f"{tmp_path / 'file'} is no folder" in said(command, below, capsys)
    if READ_ONLY.is_dir():
        assert f"nothing can be written into {READ_ONLY}" in said(command, READ_ONLY / "x" / "y.csv", capsys)


@pytest.mark.parametrize("command", FOLDERS, ids=" ".join)
def test_a_folder_that_cannot_be_written_is_told_before_anything_else(command, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'} is no folder" in said(command, tmp_path / "file", capsys)
    if READ_ONLY.is_dir():
        assert f"nothing can be written into {READ_ONLY}" in said(command, READ_ONLY / "x", capsys)


def test_looking_leaves_nothing(tmp_path):
    check_file(tmp_path / "a" / "b.csv")
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path)
    assert not list(tmp_path.iterdir())


def evaluate(*more: str) -> list[str]:
    return ["evaluate", "--images", "none", *more]


@pytest.mark.parametrize("command", FILES, ids=" ".join)
def test_only_a_table_of_ours_is_replaced_by_one(command, tmp_path, capsys):
    notes = tmp_path / "notes.csv"
    notes.write_text("method,remark\njscgc,good\n")
    assert f"{notes} is there and no table of ours; name another file" in said(command, notes, capsys)
    assert notes.read_text() == "method,remark\njscgc,good\n"


def test_a_table_of_results_is_replaced(tmp_path, capsys):
    (tmp_path / "r.csv").write_text(TABLE)
    assert main(evaluate("--out", str(tmp_path / "r.csv"))) == 1
    assert "none: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pictures", "figures", "tables", "report.pdf"])
def test_a_report_replaces_nothing_of_the_user_s(name, tmp_path, capsys):
    mine = tmp_path / name / "mine.png" if "." not in name else tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert main(evaluate("--report", str(tmp_path))) == 1
    assert f"{tmp_path / name} is there and of no report; name another folder" in capsys.readouterr().err
    if name != "pictures":
        (tmp_path / "results.csv").write_text(TABLE)
        assert main(["report", str(tmp_path)]) == 1
        assert f"{tmp_path / name} is there and of no report" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_an_export_replaces_an_export_and_nothing_else(tmp_path, capsys):
    from jscgc.evaluation.received import write

    folder = tmp_path / "theirs"
    write([], folder)
    assert main(evaluate("--export", str(folder))) == 1
    assert "none: no such folder" in capsys.readouterr().err
    (folder / "mine.png").write_text("mine")
    assert main(evaluate("--export", str(folder))) == 1
    assert f"{folder}: not empty and no earlier export" in capsys.readouterr().err
    (folder / "received.csv").write_text("file,snr_db,k\nmine.png,0,3\n")  # somebody's own, for --received
    assert main(evaluate("--export", str(folder))) == 1
    assert f"{folder}: not empty and no earlier export" in capsys.readouterr().err
    assert (folder / "mine.png").read_text() == "mine"


def photo(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_transmissions_keep_out_of_each_other_s_way(models, tmp_path, capsys):
    """Of photographs of one stem, seeds, methods, settings; the same one again has the same files."""
    first, out = photo(tmp_path / "plain.png", 0), tmp_path / "out"
    (tmp_path / "other").mkdir()
    common = ["--models", str(models), "--device", "cpu", "--cbr", "4/768", "--json", "--out", str(out)]

    def send(path: Path, *more: str) -> dict[str, str]:
        before = {file: file.read_bytes() for file in out.glob("*")}
        method = [] if "--method" in more else ["--method", "mambajscc_psnr"]
        assert main(["transmit", str(path), *common, *method, *more]) == 0
        files: dict[str, str] = json.loads(capsys.readouterr().out)["files"]
        kept = {file: content for file, content in before.items() if str(file) not in files.values()}
        assert all(file.read_bytes() == content for file, content in kept.items())
        return files

    names = [
        send(first),
        send(photo(tmp_path / "plain.jpg", 0)),
        send(photo(tmp_path / "other" / "plain.png", 1)),
        send(first, "--seed", "1"),
        send(first, "--method", "jscgc", "--steps", "1"),
        send(first, "--method", "jscgc", "--steps", "2"),
        send(first, "--max-side", "64"),
    ]
    written = [name for files in names for name in files.values()]
    assert len(set(written)) == len(written) == len(list(out.iterdir()))
    assert Path(names[0]["metrics"]).name == "plain_awgn_5dB_4-768.json"
    assert Path(names[1]["metrics"]).name == "plain_awgn_5dB_4-768_2.json"
    assert Path(names[3]["metrics"]).name == "plain_awgn_5dB_4-768_seed1.json"
    assert send(first) == names[0] and send(tmp_path / "plain.jpg", "--cbr", "1/192") == names[1]


def test_a_transmission_leaves_what_is_not_its_own(models, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    for name, content in ((".json", "mine, and no JSON"), ("_2.json", "[]")):
        (out / f"plain_awgn_5dB_4-768{name}").write_text(content)
    common = ["--models", str(models), "--device", "cpu", "--cbr", "4/768", "--method", "mambajscc_psnr"]
    assert main(["transmit", str(photo(tmp_path / "plain.png", 0)), *common, "--out", str(out)]) == 0
    assert f"metrics: {out / 'plain_awgn_5dB_4-768_3.json'}" in capsys.readouterr().out
    assert (out / "plain_awgn_5dB_4-768.json").read_text() == "mine, and no JSON"
