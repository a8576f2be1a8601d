"""A list of photographs: by ids or paths, with rotation, split and licence, and what of it is wrong."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jscgc.config import ParamsError
from jscgc.data.images import open_photo, save_png
from jscgc.data.listing import choose
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo
from jscgc.data.prepared import prepare, read_manifest, training_photos
from jscgc.data.shards import Packed, read_index
from jscgc.data.splits import collect

LICENCE = "https://creativecommons.org/licenses/by/2.0/"
OPEN_IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation\n"
)
"""The head of `train-images-boxable-with-rotation.csv` and of the other files of its kind."""


def row(name: str, subset: str = "train", rotation: str = "0.0") -> str:
    return f'{name},{subset},https://a/b.jpg,https://a/b,{LICENCE},https://a,"One, of many","Title ""x""",1,m==,,{rotation}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ids as of Open Images, some below another folder."""
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)
        save_png(pixels, tmp_path / "photos" / ("deep/" * (index > 5)) / f"{index:016x}.png")
    return tmp_path / "photos"


def ids(*numbers: int) -> list[str]:
    return [f"{number:016x}" for number in numbers]


def of(folder: Path, content: str, name: str = "list.csv", **more: Any) -> DataParams:
    file = folder.parent / name
    file.write_text(content, encoding="utf-8")
    return DataParams(source="folder", train=[str(folder)], list_file=str(file), **more)


def sides(params: DataParams) -> dict[str, list[str]]:
    photos = collect(params, 0).photos
    return {split: sorted(photo.name for photo in photos if photo.split == split) for split in SPLITS}


def test_open_images_own_csv_says_rotation_split_and_licence(folder: Path, tmp_path: Path) -> None:
    zero, one, two, six, seven = ids(0, 1, 2, 6, 7)
    content = OPEN_IMAGES + row(zero, rotation="90.0") + row(one, rotation="nan") + row(two, rotation="")
    content += row(six, "validation", "270.0") + row(seven, "test", "180.0")
    out = tmp_path / "out"
    manifest = prepare(of(folder, content), 0, out)
    assert manifest["counts"]["train"] == 3 and manifest["counts"]["validation"] == manifest["counts"]["test"] == 1
    assert manifest["stated"] == {"validation": "data.list_file", "test": "data.list_file"}
    assert manifest["missing"] == {"count": 0, "first": []}
    for entry in manifest["photos"]:
        turns = {zero: 1, six: 3, seven: 2}.get(entry["name"], 0)
        # np.rot90 turns counterclockwise, as Open Images means it.
        np.testing.assert_array_equal(
            open_photo(out / entry["file"]), np.rot90(open_photo(Path(entry["origin"])), turns)
        )
        assert entry["licence"] == LICENCE
    packed = prepare(of(folder, content, train_side=16), 0, tmp_path / "packed")
    (shard,) = packed["shards"]
    assert shard["licences"] == [LICENCE]
    shapes = {r["name"]: (r["height"], r["width"]) for r in read_index(tmp_path / "packed" / shard["index"])}
    assert shapes == {zero: (24, 16), one: (16, 24), two: (16, 24)}
    assert all(isinstance(place, Packed) for _, place in training_photos(tmp_path / "packed")[0])


def test_a_rotation_stands_in_place_of_what_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    pixels = {}
    for seed, name in enumerate(("said", "unsaid", "other", "more")):
        pixels[name] = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels[name]).save(tmp_path / "photos" / f"{name}.png", exif=exif)
    content = "id,rotation,split\nsaid,0,train\nunsaid,nan,train\nother,90,test\nmore,0,validation\n"
    prepare(of(tmp_path / "photos", content), 0, tmp_path / "out")
    assert open_photo(tmp_path / "out" / "train" / "said.png").shape == (20, 30, 3)
    assert open_photo(tmp_path / "out" / "train" / "unsaid.png").shape == (30, 20, 3)
    np.testing.assert_array_equal(open_photo(tmp_path / "out" / "test" / "other.png"), np.rot90(pixels["other"]))


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(ids(0, 1, 2, 3, 6)),
        "\n".join(f"train/{name}" for name in ids(0, 1, 2, 3, 6)),
        "\n".join([*(f"{name}.png" for name in ids(0, 1, 2, 3)), f"deep/{ids(6)[0]}.png", ""]),
        "\ufeffImage_ID\n" + "\r\n".join(["", *ids(0, 1, 2, 3), f"deep/{ids(6)[0]}"]),
        "colour\tPATH\n" + "\n".join(f"red\t{name}" for name in ids(0, 1, 2, 3, 6)),
    ],
    ids=["ids", "as the downloader takes them", "paths", "a header, a mark, other line ends", "tabs"],
)
def test_ids_and_paths_in_every_form(folder: Path, content: str) -> None:
    found = sides(of(folder, content, test_fraction=0.2, validation_fraction=0.2))
    assert sorted(name for names in found.values() for name in names) == ids(0, 1, 2, 3, 6)
    assert [len(found[split]) for split in SPLITS] == [3, 1, 1], "no splits in the list: fractions, as without one"


def test_the_list_is_of_the_training_folders_only(folder: Path, tmp_path: Path) -> None:
    save_png(np.zeros((8, 8, 3), np.uint8), tmp_path / "test" / "t.png")
    params = of(folder, "\n".join(ids(0, 1, 2)), "few.csv", test=[str(tmp_path / "test")], validation_fraction=0)
    assert sides(params) == {"train": ids(0, 1, 2), "validation": [], "test": ["t"]}
    both = of(folder, "id,split\n" + "".join(f"{n},train\n" for n in ids(0, 1)), test=[str(tmp_path / "test")])
    assert sides(both) == {"train": ids(0, 1), "validation": [], "test": ["t"]}, "no silent tenth"
    assert collect(both, 0).stated == {"validation": "data.list_file", "test": "data.list_file and data.test"}
    assert collect(params, 0).stated == {"validation": "none (data.validation_fraction 0)", "test": "data.test"}


def test_a_list_with_splits_must_say_what_is_tested_on(folder: Path) -> None:
    with pytest.raises(ParamsError, match="no photograph is left for test"):
        collect(of(folder, "id,split\n" + "".join(f"{n},train\n" for n in ids(0, 1))), 0)


def test_what_is_not_there_is_counted_and_named_in_one_line(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = of(folder, "\n".join(ids(0, 1, 2, *range(100, 107))))
    with caplog.at_level(logging.INFO):
        manifest = prepare(params, 0, tmp_path / "out")
    first = ", ".join(ids(*range(100, 105)))
    assert f"list.csv: 7 photographs are in no folder of data.train: {first} and 2 more" in caplog.text
    assert "list.csv: 3 photographs of data.train, 5 others are not in it" in caplog.text
    assert manifest["missing"] == {"count": 7, "first": ids(*range(100, 105))}
    assert read_manifest(tmp_path / "out") == manifest


def test_an_unreadable_photograph_of_the_list_is_in_the_manifest(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture")
    params = of(folder, "\n".join([*ids(0, 1, 2), "broken"]), train_side=16, validation_fraction=0)
    manifest = prepare(params, 0, tmp_path / "out")
    (entry,) = manifest["skipped"]
    assert entry["file"].endswith("broken.jpg") and "not an image" in entry["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "none of its 0 photographs"),
        ("nothing\n", r"none of its 1 photographs is in the folders of data.train .nothing"),
        ("name,rotation\nx,0\n", "line 1: several columns and no name of one that holds ids or paths"),
        ("id,rotation\n{0},45\n", "line 2: rotation '45' is none of 0, 90, 180, 270"),
        ("id,rotation\n{0},left\n", "line 2: rotation 'left'"),
        ("id,split\n{0},train\n{1},dev\n", "line 3: split 'dev' is none of train, validation, test"),
        ("id,split\n{0}\n", "line 2: split '' is none of"),
        ("id,rotation\n,0\n", "line 2: no id or path"),
        ("id,rotation\n{0},0\n{0},0\n{0},90\n", "line 4: .* is there twice, and line 2 says something else of it"),
        ("same\n", r"line 1: same stands for .*/a/same.png and .*/b/same.png; list their relative paths"),
        ("\0\udc80", "can't be read as a list|none of its 1"),
    ],
)
def test_a_wrong_list_is_one_line_that_says_where(folder: Path, content: str, said: str) -> None:
    for place in ("a", "b"):
        save_png(np.zeros((8, 8, 3), np.uint8), folder / place / "same.png")
    file = folder.parent / "list.csv"
    file.write_bytes(content.format(*ids(0, 1)).encode("utf-8", "surrogateescape"))
    with pytest.raises(ParamsError, match=said) as error:
        collect(DataParams(source="folder", train=[str(folder)], list_file=str(file)), 0)
    assert len(str(error.value).splitlines()) == 1 and "list.csv" in str(error.value)


def test_a_list_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    for file, said in (("none.csv", "no such file"), ("photos", "can't be read as a list")):
        params = DataParams(source="folder", train=[str(folder)], list_file=str(tmp_path / file))
        with pytest.raises(ParamsError, match=said):
            collect(params, 0)


def test_a_list_has_no_effect_on_other_sources(caplog: pytest.LogCaptureFixture) -> None:
    collect(DataParams(source="builtin", list_file="/nowhere"), 0)
    assert "data.list_file have no effect with data.source: builtin" in caplog.text


@given(
    picked=st.sets(st.integers(0, 30), min_size=1),
    order=st.randoms(use_true_random=False),
    suffix=st.sampled_from(["", ".jpg"]),
    rotations=st.lists(st.sampled_from(["", "nan", "0", "90.0", "180", "270"]), min_size=31, max_size=31),
)
def test_any_choice_in_any_order_is_the_same_choice(
    tmp_path_factory: pytest.TempPathFactory, picked: set[int], order: Any, suffix: str, rotations: list[str]
) -> None:
    photos = [Photo(f"x{n % 3}/{n:04d}.jpg", Path(f"/p/{n}"), "", "train", f"p/{n}", "unknown") for n in range(30)]
    lines = [f"x{n % 3}/{n:04d}{suffix},{rotations[n]}" for n in picked]
    order.shuffle(lines)
    file = tmp_path_factory.mktemp("lists") / "list.csv"
    file.write_text("path,rotation\n" + "\n".join(lines))
    if picked == {30}:
        with pytest.raises(ParamsError, match="none of its 1"):
            choose(file, photos)
        return
    chosen = choose(file, photos)
    there = sorted(picked - {30})
    assert [photo.source for photo in chosen.photos] == [f"p/{n}" for n in there]
    expected = [None if rotations[n] in ("", "nan") else int(float(rotations[n])) for n in there]
    assert [photo.rotation for photo in chosen.photos] == expected
    assert chosen.missing == (30 in picked) and chosen.unlisted == 30 - len(there) and not chosen.splits
