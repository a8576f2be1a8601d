"""Near-duplicates are found, whatever was done to the photograph; different photographs are not taken for one."""

from __future__ import annotations

import io
import json
import logging
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from jscgc.cli import main
from jscgc.data.builtin import builtin_photos
from jscgc.data.images import PhotoError, open_photo, save_png
from jscgc.data.overlap import NEAR, Fingerprint, Pair, compare, fingerprint, read_fingerprint
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare, split_files

PHOTOS = {photo.name: photo for photo in builtin_photos()}
NAMES = sorted(PHOTOS)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return {name: Image.fromarray(open_photo(photo.path)) for name, photo in PHOTOS.items()}


@pytest.fixture(scope="module")
def prints() -> dict[str, Fingerprint]:
    return {name: read_fingerprint(photo.path) for name, photo in PHOTOS.items()}


def apart(one: Fingerprint, other: Fingerprint) -> int:
    found = compare([("a", one)], [("b", other)])
    (pair,) = found.near or [found.closest]
    assert pair is not None and (pair.train, pair.test) == ("a", "b")
    return pair.distance


def changed(picture: Image.Image) -> Fingerprint:
    return fingerprint(np.array(picture.convert("RGB")))


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def gamma(picture: Image.Image, power: float) -> Image.Image:
    return picture.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


EDITS = {
    "jpeg30": lambda picture: as_jpeg(picture, 30),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.7),
    "lighter tones": lambda picture: gamma(picture, 0.6),
    "darker tones": lambda picture: gamma(picture, 1.6),
    "grey": lambda picture: picture.convert("L"),
    "less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.6),
    "small and poor": lambda picture: as_jpeg(picture.reduce(4), 20),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_photograph_is_found(pictures, prints, edit):
    assert {name: d for name in NAMES if (d := apart(changed(edit(pictures[name])), prints[name])) > NEAR} == {}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), factor=st.floats(0.2, 2), stretch=st.floats(0.9, 1.1))
def test_a_resized_photograph_is_found(pictures, prints, name, factor, stretch):
    width, height = pictures[name].size
    size = (round(width * factor), round(height * factor * stretch))
    assert apart(changed(pictures[name].resize(size)), prints[name]) <= NEAR // 2


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), side=st.floats(0.95, 1), left=st.floats(0, 1), top=st.floats(0, 1))
def test_a_cropped_photograph_is_found(pictures, prints, name, side, left, top):
    width, height = pictures[name].size
    x, y = left * width * (1 - side), top * height * (1 - side)
    crop = changed(pictures[name].crop((round(x), round(y), round(x + width * side), round(y + height * side))))
    # Whichever of the two was trained on.
    assert apart(crop, prints[name]) == apart(prints[name], crop) <= NEAR


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    turn=st.sampled_from([None, *Image.Transpose]),
    edit=st.sampled_from([lambda picture: picture, *EDITS.values()]),
)
def test_a_mirrored_or_turned_photograph_is_found(pictures, prints, name, turn, edit):
    picture = edit(pictures[name]).convert("RGB")
    assert apart(changed(picture if turn is None else picture.transpose(turn)), prints[name]) <= NEAR


def test_all_at_once(pictures, prints):
    for name in NAMES:
        width, height = pictures[name].size
        picture = pictures[name].crop((width // 40, height // 40, width - width // 40, height - height // 40))
        picture = as_jpeg(gamma(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).reduce(2), 0.8), 40)
        assert apart(changed(picture), prints[name]) <= NEAR


def test_different_photographs_are_not_near(prints):
    pairs = [pair for pair in combinations(NAMES, 2) if len({PHOTOS[name].scene for name in pair}) == 2]
    assert min(apart(prints[one], prints[other]) for one, other in pairs) > NEAR + 20


def drawing(seed: int) -> Fingerprint:
    """A few flat shapes on white."""
    rng = np.random.default_rng(seed)
    pixels = np.full((240, 300, 3), 255, np.uint8)
    for _ in range(3):
        (top, left), (height, width) = rng.integers(20, 140, 2), rng.integers(30, 90, 2)
        pixels[top : top + height, left : left + width] = rng.integers(0, 200, 3)
    return fingerprint(pixels)


def test_drawings_on_white_are_not_near():
    drawings = [drawing(seed) for seed in range(12)]
    assert min(apart(one, other) for one, other in combinations(drawings, 2)) > NEAR


def test_the_negative_of_a_photograph_does_not_wrap_around(pictures, prints):
    negative = changed(pictures["coffee"].point(lambda level: 255 - level))
    assert apart(negative, prints["coffee"]) > NEAR


def test_a_distance_is_hamming_and_symmetric(prints):
    for one, other in permutations(NAMES[:4], 2):
        a, b = prints[one], prints[other]
        slow = min(
            sum(int(x ^ y).bit_count() for x, y in zip(frame, turn, strict=True))
            for frames, turns in ((a.frames, b.turns), (b.frames, a.turns))
            for frame in frames
            for turn in turns
        )
        assert apart(a, b) == apart(b, a) == slow
        assert apart(a, a) == 0 and a.frames.shape == (19, 4) and a.turns.shape == (8, 4)


def test_the_pairs_and_the_closest_of_the_others(pictures, prints):
    half = changed(pictures["coffee"].reduce(2))
    train = [(name, prints[name]) for name in ("china", "coffee")] + [("half", half)]
    found = compare(train, [(name, prints[name]) for name in ("rocket", "coffee")])
    assert found.near == [Pair(0, "coffee", "coffee"), Pair(apart(half, prints["coffee"]), "half", "coffee")]
    others = [
        (a, b) for a, _ in train for b in ("rocket", "coffee") if (a, b) not in {(p.train, p.test) for p in found.near}
    ]
    by_name = dict(train) | {"rocket": prints["rocket"]}
    assert found.closest == min(Pair(apart(by_name[a], by_name[b]), a, b) for a, b in others)
    assert compare(train[1:], train[1:2]).closest is None


def test_a_jpeg_is_read_at_a_fraction_of_its_size(tmp_path, pictures):
    large = pictures["china"].resize((2560, 1708))
    large.save(tmp_path / "large.jpg", quality=90)
    assert open_photo(tmp_path / "large.jpg", least=256).shape == (427, 640, 3)
    assert open_photo(tmp_path / "large.jpg").shape == (1708, 2560, 3)
    assert apart(read_fingerprint(tmp_path / "large.jpg"), changed(large)) <= 8
    # A photograph that stands on its side is turned, small too.
    exif = Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "turned.jpg", quality=90, exif=exif)
    assert open_photo(tmp_path / "turned.jpg", least=256).shape == (640, 427, 3)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "large.jpg").read_bytes()[:5000])
    with pytest.raises(PhotoError, match="cut.jpg: unreadable"):
        read_fingerprint(tmp_path / "cut.jpg")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_tiny_pictures_have_a_fingerprint(size):
    tiny = fingerprint(np.full((*size, 3), 7, np.uint8))
    assert apart(tiny, tiny) == 0


@pytest.fixture
def folders(tmp_path, pictures):
    """Training: astronaut, china, flower; test: coffee, rocket."""
    for side, names in (("train", ("astronaut", "china", "flower")), ("test", ("coffee", "rocket"))):
        (tmp_path / side).mkdir()
        for name in names:
            pictures[name].reduce(2).save(tmp_path / side / f"{name}.png")
    return tmp_path


def leak(folders: Path, pictures: dict[str, Image.Image], name: str = "leak.jpg") -> Path:
    path = folders / "train" / name
    pictures["coffee"].transpose(Image.Transpose.FLIP_LEFT_RIGHT).reduce(3).save(path, quality=60)
    return path


def overlap(folders: Path, *more: str) -> int:
    return main(["overlap", "--train", str(folders / "train"), "--test", str(folders / "test"), *more])


def test_the_command_says_that_there_is_none(folders, capsys):
    assert overlap(folders) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.count("\n") == 1
    assert said.out.startswith("no near-duplicate among 3 training and 2 test photographs (closest: ")
    assert overlap(folders, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    closest = document.pop("closest")
    assert document == {"train": 3, "test": 2, "limit": NEAR, "near_duplicates": []}
    assert f"closest: {closest['train']} / {closest['test']} at distance {closest['distance']}" in said.out


def test_the_command_names_each_and_fails(folders, pictures, capsys):
    path = leak(folders, pictures)
    assert overlap(folders) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{path} / {folders / 'test' / 'coffee.png'} at distance ") and said.out.count("\n") == 1
    assert said.err.startswith("jscgc: 1 near-duplicate of test photographs among 4 training and 2 test photographs")
    assert said.err.count("\n") == 1 and said.err.endswith("leave it out of training\n")
    assert overlap(folders, "--json") == 1
    (pair,) = json.loads(capsys.readouterr().out)["near_duplicates"]
    assert (pair["train"], pair["test"]) == (str(path), str(folders / "test" / "coffee.png"))
    assert f"distance {pair['distance']}\n" in said.out


def test_the_command_skips_what_it_cannot_read(folders, capsys, caplog):
    (folders / "test" / "broken.png").write_bytes(b"no picture")
    assert overlap(folders) == 0
    assert "3 training and 2 test photographs" in capsys.readouterr().out
    assert "skipped: " in caplog.text and "broken.png: not an image" in caplog.text
    for path in (folders / "test").iterdir():
        path.write_bytes(b"no picture")
    assert overlap(folders) == 1
    assert capsys.readouterr().err.endswith(f"jscgc: {folders / 'test'}: no readable photograph here\n")
    assert main(["overlap", "--train", str(folders / "none"), "--test", str(folders)]) == 1
    assert "none: no such folder of photographs" in capsys.readouterr().err


@pytest.mark.parametrize("side", ["train", "validation"])
def test_prepare_leaves_a_near_duplicate_out_and_names_it(folders, pictures, caplog, side):
    given: dict[str, list[str]] = {"train": [str(folders / "train")], "test": [str(folders / "test")]}
    given["validation"] = [str(folders / "validation")]
    (folders / "validation").mkdir()
    pictures["motorcycle_left"].reduce(2).save(folders / "validation" / "motorcycle.png")
    path = leak(folders, pictures)
    path = path.rename(folders / side / path.name)
    with caplog.at_level(logging.WARNING):
        manifest = prepare(DataParams(source="folder", **given), 0, folders / "out")
    (entry,) = manifest["near_duplicates"]
    assert entry == {"dropped": str(path), "of": f"{folders}/test/coffee.png", "distance": entry["distance"]}
    assert 0 <= entry["distance"] <= NEAR
    assert f"{path}: near-duplicate of the test photograph {folders}/test/coffee.png, left out" in caplog.text
    assert manifest["counts"] == {
        "train": 3, "validation": 1, "test": 2, "skipped": 0, "duplicates": 0, "near_duplicates": 1,
    }  # fmt: skip
    assert all(entry["name"] != "leak" for entry in manifest["photos"])
    assert [name for name, _ in split_files(folders / "out", "test")] == ["coffee", "rocket"]
    assert manifest["closest"].keys() == {"photo", "of", "distance"} and manifest["closest"]["distance"] > NEAR


def test_prepare_says_where_nothing_is_left(folders, pictures):
    for path in (folders / "train").iterdir():
        path.unlink()
    leak(folders, pictures)
    save_png(np.array(pictures["coffee"].reduce(2)), folders / "train" / "again.png")
    pictures["china"].save(folders / "train" / "china.png")
    params = DataParams(
        source="folder", train=[str(folders / "train")], test=[str(folders / "test")], validation_fraction=0.34
    )
    with pytest.raises(ValueError, match="no photograph is left for (train|validation) .*near-duplicates of test"):
        prepare(params, 3, folders / "out")


def test_no_builtin_photograph_is_left_out(tmp_path):
    manifest = prepare(DataParams(source="builtin", test_max_side=64), 0, tmp_path / "out")
    assert manifest["near_duplicates"] == [] and len(manifest["photos"]) == 11
    assert manifest["closest"]["distance"] > NEAR + 20
