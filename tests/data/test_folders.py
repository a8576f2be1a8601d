"""What one command reads all do, and what a folder holds beside it is counted and named."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from jscgc.config import ParamsError
from jscgc.data.folders import find_photos
from jscgc.data.images import open_photo, photo_size

PICTURE = np.full((16, 16, 3), 128, np.uint8)


def test_find_photos(tmp_path: Path) -> None:
    names = ["b.JPG", "a.png", "sub/deep/c.WebP", "sub/d.jpeg", "e.tiff", "f.bmp"]
    for name in [*names, "notes.txt", "x.jpg.part", ".hidden.jpg", ".cache/y.png", "._b.JPG"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_photos([tmp_path, tmp_path / "sub", str(tmp_path)])
    assert found == sorted(tmp_path / name for name in names)


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_find_photos_names_the_wrong_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParamsError, match=str(tmp_path / name)):
        find_photos([tmp_path / name])


def test_a_file_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "file.jpg").touch()
    with pytest.raises(ParamsError, match=r"file\.jpg: a file; name the folder of photographs that it is in$"):
        find_photos([tmp_path / "file.jpg"])


def test_every_format_that_is_read_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = Image.fromarray(PICTURE)
    kinds = ["png", "apng", "avif", "jfif", "gif", "jp2", "j2k", "webp", "tif", "bmp", "ppm", "tga", "qoi", "ico"]
    for kind in kinds:
        picture.save(tmp_path / f"a.{kind}", format={"apng": "PNG", "jfif": "JPEG"}.get(kind))
    for kind in ("heic", "HEIF", "hif"):
        pillow_heif.from_pillow(picture).save(tmp_path / f"h.{kind}", quality=100)
        kinds.append(kind)
    found = find_photos([tmp_path])
    assert len(found) == len(kinds) and not caplog.records
    for path in found:
        assert np.abs(open_photo(path).astype(int) - 128).max() <= 2, path


def test_heic_is_upright(tmp_path: Path) -> None:
    halves = np.zeros((64, 96, 3), np.uint8)
    halves[:, :48] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.register_heif_opener()  # which also lets Pillow write it, as phones do: turned by a property of the file
    Image.fromarray(halves).save(tmp_path / "a.heic", quality=100, exif=exif.tobytes())
    photo = open_photo(tmp_path / "a.heic").astype(int)
    assert photo_size(tmp_path / "a.heic") == (64, 96)
    assert photo.shape == (96, 64, 3)
    assert photo[:44].min() > 240 and photo[52:].max() < 15


def test_what_is_left_out_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    for name in ("notes.txt", "b.mov", "c.cr2", "sub/d", "e.csv", "f.xmp", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_photos([tmp_path]) == [tmp_path / "a.png"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.getMessage() == (
        f"{tmp_path}: left out 6 files whose extension is no photograph's: b.mov, c.cr2, e.csv, f.xmp, notes.txt and 1 more"
    )


def test_names_that_are_not_utf_8_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "grün.png")
    try:
        (tmp_path / os.fsdecode(b"gr\xfcn.png")).touch()
        (tmp_path / os.fsdecode(b"d\xe9cor")).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / os.fsdecode(b"d\xe9cor") / "a.png").touch()
    assert find_photos([tmp_path]) == [tmp_path / "grün.png"]
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(f"{tmp_path}: left out 2 files whose name has to be changed (the name is not UTF-8")
    assert said.endswith(r"d\xe9cor/a.png, gr\xfcn.png")
    with pytest.raises(ParamsError, match=r"d\\xe9cor: the name is not UTF-8") as error:
        find_photos([tmp_path / os.fsdecode(b"d\xe9cor")])
    str(error.value).encode()
