"""Pictures that another method received: scored as ours are, and ours written and read back are the same table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_photos import save_photo

from jscgc.cli import main
from jscgc.data.images import open_photo
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.received import read
from jscgc.report.pictures import find_photos

Command = Callable[..., list[str]]


@pytest.fixture
def command(photos, models, tmp_path) -> Command:
    def make(*more: str, out: str) -> list[str]:
        places = ["--images", str(tmp_path / "photos"), "--models", str(models), "--out", str(tmp_path / out)]
        fixed = ["--draws", "2", "--cbr", "2/768", "4/768", "--snr-db", "0", "10", "--steps", "1"]
        metrics = ["--metrics", "psnr", "feature_distance_efficientnet_lite0", "fid_efficientnet_lite0"]
        common = ["--store", str(tmp_path / "store"), "--device", "cpu", "--workers", "1"]
        return ["evaluate", *places, *common, *fixed, *metrics, *more]

    return make


def test_ours_written_and_read_back_are_the_identical_table(command, tmp_path):
    """Of a generative receiver, of a codec, and of one that can't send everything everywhere."""
    methods = ["--methods", "jscgc", "mambajscc_psnr", "jpeg_capacity"]
    assert main(command(*methods, "--export", str(tmp_path / "ours"), out="first.csv")) == 0
    first = pd.read_csv(tmp_path / "first.csv")
    assert (first[first["metric"] == "cannot_operate"]["value"] > 0).any()
    assert main(command("--received", str(tmp_path / "ours"), out="again.csv")) == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()


def place(folder: Path, rows: list[dict[str, str]], *columns: str) -> None:
    with (folder / "received.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def theirs(photos, tmp_path) -> Path:
    """Somebody's: the photographs themselves, darker, called as the photographs are; file, snr_db and k and no more."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    rows = []
    for path in sorted((tmp_path / "photos").iterdir()):
        with Image.open(path) as photo:
            photo.convert("RGB").point(lambda v: v * 3 // 4).save(folder / f"{path.stem}.png")
            rows.append({"file": f"{path.stem}.png", "snr_db": "10", "k": str(photo.width * photo.height // 128)})
    place(folder, rows)
    return folder


def test_somebody_s_pictures_stand_beside_ours(command, theirs, tmp_path):
    report = ["--report", str(tmp_path / "report")]
    arguments = command("--methods", "mambajscc_psnr", "--received", str(theirs), out="unused.csv")
    at = arguments.index("--out")
    assert main([*arguments[:at], *arguments[at + 2 :], *report]) == 0
    table = pd.read_csv(tmp_path / "report" / "results.csv")
    own = table[table["method"] == "theirs"]
    assert set(own["snr_db"]) == {10.0} and set(own["cbr"]) == {2 / 768} and set(own["seed"]) == {0}
    assert set(own["metric"]) >= {"psnr", "fid_efficientnet_lite0", "cbr_exact"}
    exact = own[own["metric"] == "cbr_exact"]["value"]
    assert ((exact > 1.9 / 768) & (exact < 2.1 / 768)).all()
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "theirs" in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"snr_db": "7"}, "line 2: snr_db 7.0 is not measured here; measured are 0.0, 10.0"),
        ({"snr_db": "ten"}, "line 2: snr_db must be a number, got 'ten'"),
        ({"k": "0"}, "line 2: k must be at least 1, got 0"),
        ({"k": "999999"}, "line 2: k 999999 is more than the highest CBR"),
        ({"file": "nothing.png"}, "'nothing.png' is no photograph of --images; name it in column `image`"),
        ({"channel": "rayleigh_fast"}, "line 2: channel rayleigh_fast is not measured here"),
        ({"seed": "9"}, "line 2: seed 9 is not measured here"),
        ({"method": "a/b"}, "line 2: method 'a/b': letters, digits"),
        ({"method": "original"}, "line 2: no method can be called original"),
        ({"method": "jscgc_reference"}, "line 2: no method can be called jscgc_reference"),
        ({"method": "theirs_mean_of_4"}, "line 2: no method can be called theirs_mean_of_4"),
        ({"colour": "red"}, "unknown column 'colour'"),
    ],
)
def test_a_line_that_does_not_fit_is_named(command, theirs, tmp_path, capsys, change, said):
    with (theirs / "received.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0] |= change
    place(theirs, rows, *dict.fromkeys([*rows[-1], *change]))
    assert main(command("--received", str(theirs), out="x.csv")) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error and "received.csv" in error
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(("one", "other"), [("a:b", "a--b"), ("Ours", "ours"), ("x=1", "x-1"), ("a+", "aplus")])
def test_methods_whose_files_would_have_one_name_are_named(command, theirs, tmp_path, capsys, one, other):
    with (theirs / "received.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    place(theirs, [rows[0] | {"method": one}, rows[1] | {"method": other}])
    assert main(command("--received", str(theirs), out="x.csv")) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"methods {one} and {other} would have the same file names" in error


def test_pictures_of_another_size_twice_or_without_a_table_are_one_line(command, theirs, tmp_path, capsys):
    def last(*more: str) -> str:
        assert main(command(*more, "--received", str(theirs), out="x.csv")) == 1
        return capsys.readouterr().err.splitlines()[-1]

    picture = next(theirs.glob("*.png"))
    with Image.open(picture) as image:
        image.resize((20, 20)).save(picture)
    assert "has 20x20 pixels" in last()
    (theirs / "received.csv").write_text("file,snr_db\n")
    assert "no column k" in last()
    (theirs / "received.csv").write_text("file,snr_db,k\n")
    assert "no pictures are listed" in last()
    (theirs / "received.csv").unlink()
    assert "received.csv: no such file" in last()


def test_photographs_in_sub_folders_have_pictures_everywhere(command, photos, models, tmp_path, jobs_run):
    """In the report and among those that are exported, which are read again."""
    names = ["a.png", "one/b.png", "two/b.png", f"deep/{'long' * 62}.png"]
    for seed, name in enumerate(names[1:], start=2):
        save_photo(tmp_path / "photos" / name, seed)
    (tmp_path / "photos/b.png").unlink()
    report, export = tmp_path / "report", tmp_path / "export"
    arguments = command(
        "--methods", "mambajscc_psnr", "--report", str(report), "--export", str(export), out="unused.csv"
    )
    at = arguments.index("--out")
    assert main([*arguments[:at], *arguments[at + 2 :]]) == 0
    table = pd.read_csv(report / "results.csv")
    found = {photo.name: photo for photo in find_photos(report / "pictures", table)}
    assert sorted(found) == sorted(names)
    for name, photo in found.items():
        np.testing.assert_array_equal(open_photo(photo.original), open_photo(tmp_path / "photos" / name))
        assert photo.original.parent.parent == report / "pictures"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert all(f"{name}: original" in page for name in names)

    own = [shot for shot in csv.DictReader((export / "received.csv").open(newline="")) if shot["file"]]
    assert {row["image"] for row in own} == set(names) and all((export / row["file"]).is_file() for row in own)
    again = read(export, Protocol.read(report / "results.protocol.json"), [(n, tmp_path / "photos" / n) for n in names])
    assert {place.image for place in again} == set(names) and len(again) == len(own)


def test_a_picture_in_a_sub_folder_is_that_of_the_photograph_there(command, photos, tmp_path, jobs_run):
    for seed, name in enumerate(("one/c.png", "two/c.png"), start=2):
        save_photo(tmp_path / "photos" / name, seed)
    folder = tmp_path / "theirs"
    rows = []
    for name in ("one/c", "two/c"):
        (folder / name).parent.mkdir(parents=True)
        with Image.open(tmp_path / "photos" / f"{name}.png") as photo:
            photo.save(folder / f"{name}.bmp")
        rows.append({"file": f"{name}.bmp", "snr_db": "10", "k": "40"})
    place(folder, rows)
    assert main(command("--received", str(folder), out="x.csv")) == 0
    table = pd.read_csv(tmp_path / "x.csv")
    assert set(table[table["metric"] == "psnr"]["image"]) == {"one/c.png", "two/c.png"}
    assert (table[table["metric"] == "psnr"]["value"] > 90).all()


def test_a_table_that_is_not_utf_8_is_one_line(command, theirs, tmp_path, capsys):
    content = (theirs / "received.csv").read_bytes()
    (theirs / "received.csv").write_bytes(content.replace(b"a.png", b"\xe4.png"))
    assert main(command("--received", str(theirs), out="x.csv")) == 1
    assert "received.csv: its text is not UTF-8; save it as that" in capsys.readouterr().err.splitlines()[-1]
