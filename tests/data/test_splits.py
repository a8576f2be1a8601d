"""The split: by photograph, never the same content twice, deterministic, stable when photographs are added."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jscgc.config import ParamsError
from jscgc.data import builtin, prepared, splits
from jscgc.data.builtin import builtin_photos
from jscgc.data.images import open_photo, save_png
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo
from jscgc.data.prepared import prepare, read_manifest, split_files, training_photos
from jscgc.data.splits import collect
from jscgc.files import read_json, sha256, write_json


def picture(path: Path, seed: int, size: tuple[int, int] = (6, 8)) -> Path:
    save_png(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), path)
    return path


def folder(root: Path, count: int, first: int = 0) -> str:
    for index in range(count):
        picture(root / f"p{first + index:03d}.png", first + index)
    return str(root)


def from_folders(train: str | list[str], **more: Any) -> DataParams:
    return DataParams(source="folder", train=[train] if isinstance(train, str) else train, **more)


def sides(photos: list[Photo]) -> dict[str, str]:
    return {photo.source.rsplit("/", 1)[1]: photo.split for photo in photos}


def test_builtin_photographs_are_located_without_heavy_imports() -> None:
    photos = {photo.name: photo for photo in builtin_photos()}
    assert len(photos) == 11 and all(photo.path.is_file() and photo.licence for photo in photos.values())
    assert {n for n, p in photos.items() if p.split == "test"} == {"coffee", "chelsea", "rocket"}
    assert {n for n, p in photos.items() if p.split == "validation"} == {"flower"}
    assert {photos[f"motorcycle_{side}"].scene for side in ("left", "right")} == {"motorcycle"}
    by_scene: dict[str, set[str]] = {}
    for photo in photos.values():
        by_scene.setdefault(photo.scene, set()).add(photo.split)
        assert min(open_photo(photo.path).shape[:2]) >= 300 and "site-packages" not in photo.source
    assert len(by_scene) == 10 and all(len(on) == 1 for on in by_scene.values())


def test_importing_the_package_is_cheap() -> None:
    import subprocess

    code = "import sys, jscgc.data; print({'torch', 'skimage', 'sklearn', 'requests', 'pooch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_a_missing_builtin_photograph_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(ParamsError, match="data.source builtin: astronaut.png is not in the installed scikit-image"):
        builtin_photos()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool")
    folder(root, 24)
    return root


@pytest.fixture
def hashed_once(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perceptual hashes of the pool, however often its pictures are copied: they are most of the time."""
    known = {path.read_bytes(): splits.read_fingerprint(path) for path in pool.iterdir()}
    monkeypatch.setattr(splits, "read_fingerprint", lambda path: known[path.read_bytes()])


@pytest.mark.usefixtures("hashed_once")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.sets(st.integers(0, 23), min_size=3),
    added=st.integers(0, 23),
    seed=st.integers(0, 99),
    fractions=st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.39)),
)
def test_set_aside_properties(
    pool: Path, tmp_path_factory: pytest.TempPathFactory, members: set[int], added: int, seed: int,
    fractions: tuple[float, float],
) -> None:  # fmt: skip
    root = tmp_path_factory.mktemp("drawn")

    def drawn(chosen: set[int], where: str) -> dict[str, str]:
        for index in chosen:
            (root / where).mkdir(exist_ok=True)
            shutil.copy(pool / f"p{index:03d}.png", root / where)
        params = from_folders(str(root / where), validation_fraction=fractions[0], test_fraction=fractions[1])
        return sides(collect(params, seed).photos)

    before = drawn(members, "one")
    assert len(before) == len(members)
    count = Counter(before.values())
    assert all(count[split] >= 1 for split in SPLITS)
    expected = max(1, round(len(members) * fractions[1]))
    assert count["test"] == min(expected, len(members) - 2)
    # The same files elsewhere: the same split.
    assert drawn(members, "two") == before
    # One more photograph: at most one other crosses each border, none between validation and test.
    after = drawn(members | {added}, "two")
    moved = [(before[name], after[name]) for name in before if before[name] != after[name]]
    assert len(moved) <= 2 and not {("test", "validation"), ("validation", "test")} & set(moved)


@pytest.mark.usefixtures("hashed_once")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.tuples(st.sampled_from(["train", "validation", "test"]), st.integers(0, 9)), max_size=20),
    seed=st.integers(0, 9),
)
def test_sides_share_no_content(
    pool: Path, tmp_path_factory: pytest.TempPathFactory, contents: list[tuple[str, int]], seed: int
) -> None:
    root = tmp_path_factory.mktemp("given")
    for side, own in zip(SPLITS, (20, 21, 22), strict=True):
        (root / side).mkdir()
        shutil.copy(pool / f"p{own:03d}.png", root / side / "own.png")
    for number, (side, content) in enumerate(contents):
        shutil.copy(pool / f"p{content:03d}.png", root / side / f"x{number}.png")
    result = collect(DataParams(source="folder", **{side: [str(root / side)] for side in SPLITS}), seed)
    checksums = [photo.sha256 for photo in result.photos]
    assert len(set(checksums)) == len(checksums) == 3 + len({content for _, content in contents})
    assert len(result.photos) + len(result.duplicates) == 3 + len(contents)
    assert len({photo.name.casefold() for photo in result.photos}) == len(result.photos)
    wanted = {sha256(root / "test" / f"x{n}.png") for n, (side, _) in enumerate(contents) if side == "test"}
    assert wanted <= {photo.sha256 for photo in result.photos if photo.split == "test"}


def test_only_the_missing_side_is_set_aside(tmp_path: Path) -> None:
    train, test = folder(tmp_path / "train", 10), folder(tmp_path / "test", 3, first=50)
    result = collect(from_folders(train, test=[test], validation_fraction=0.3), 0)
    assert Counter(photo.split for photo in result.photos) == {"train": 7, "validation": 3, "test": 3}
    assert {p.path.parent.name for p in result.photos if p.split == "test"} == {"test"}


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_photographs(tmp_path: Path, count: int) -> None:
    with pytest.raises(ParamsError, match="at least 3"):
        collect(from_folders(folder(tmp_path / "few", count)), 0)


def test_fractions_that_leave_nothing_to_train_on(tmp_path: Path) -> None:
    params = from_folders(folder(tmp_path / "a", 5), validation_fraction=0.5, test_fraction=0.5)
    with pytest.raises(ParamsError, match="must be below 1"):
        collect(params, 0)


def test_no_training_folder() -> None:
    with pytest.raises(ParamsError, match=r"data\.train: name at least one folder"):
        collect(DataParams(source="folder"), 0)


def test_the_same_folder_on_two_sides_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", 4)
    with pytest.raises(ParamsError, match="no photograph is left for train .0 unreadable, 4 duplicates"):
        collect(from_folders(root, test=[root], validation=[folder(tmp_path / "v", 2, first=20)]), 0)


def test_a_folder_named_twice_is_no_duplicate(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", 4)
    result = collect(from_folders([root, root + "/"]), 0)
    assert len(result.photos) == 4 and result.duplicates == []


def test_names_are_unique_and_safe(tmp_path: Path) -> None:
    stems = ["one/x", "two/x", "two/X", "one/my photo; rm -rf", "one/..hidden..", "one/é" + "ü" * 80, "one/-", "two/y"]
    for seed, stem in enumerate(stems):
        picture(tmp_path / f"{stem}.png", seed)
    picture(tmp_path / "two/y.PNG", 99)
    photos = collect(from_folders([str(tmp_path / "one"), str(tmp_path / "two")]), 0).photos
    names = [photo.name for photo in photos]
    # "..hidden..png" is a hidden file.
    assert len(names) == len(stems) and len({name.casefold() for name in names}) == len(names)
    assert all(len(f"{name}.png".encode()) < 220 and "/" not in name and not name.startswith(".") for name in names)
    assert {"photo", "my_photo_rm_-rf"} <= set(names)
    assert all(photo.scene == photo.name for photo in photos)
    assert sum(name.startswith("x-") for name in names) == 2 and sum(name.startswith("X-") for name in names) == 1


def test_max_photos_bounds_every_side_and_keeps_the_borders(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", 20)
    everything = collect(from_folders(root, test_fraction=0.3), 1).photos
    few = collect(from_folders(root, test_fraction=0.3, max_photos=2), 1).photos
    assert Counter(photo.split for photo in few) == {"train": 2, "validation": 2, "test": 2}
    assert sides(few).items() <= sides(everything).items()
    small = collect(DataParams(source="builtin", max_photos=1), 0).photos
    assert Counter(photo.split for photo in small) == {"train": 1, "validation": 1, "test": 1}


def test_unreadable_files_are_listed_skipped_and_counted(tmp_path: Path) -> None:
    root = Path(folder(tmp_path / "a", 6))
    whole = (root / "p000.png").read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("empty1.jpg", "empty2.jpg"):
        (root / name).touch()
    (root / "text.webp").write_text("no photograph")
    manifest = prepare(from_folders(str(root)), 0, tmp_path / "out")
    assert manifest["counts"]["skipped"] == 4 and manifest["counts"]["duplicates"] == 0
    assert sum(manifest["counts"][split] for split in SPLITS) == 6
    reasons = {entry["file"].removeprefix(f"{root}/"): entry["reason"] for entry in manifest["skipped"]}
    assert reasons["empty1.jpg"] == reasons["empty2.jpg"] == "empty file"
    assert "unreadable" in reasons["cut.png"] and "not an image" in reasons["text.webp"]


def test_only_unreadable_test_photographs(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.png").write_bytes(b"x")
    with pytest.raises(ParamsError, match="no photograph is left for test .1 unreadable"):
        collect(from_folders(folder(tmp_path / "a", 4), test=[str(tmp_path / "t")]), 0)


def test_folders_have_no_effect_on_other_sources(caplog: pytest.LogCaptureFixture) -> None:
    collect(DataParams(source="builtin", test=["/nowhere"]), 0)
    assert "have no effect with data.source: builtin" in caplog.text


def test_manifest_of_a_prepared_folder(tmp_path: Path) -> None:
    root = Path(folder(tmp_path / "a", 5))
    picture(root / "wide.png", 7, (10, 40))
    picture(tmp_path / "t" / "tall.png", 8, (40, 10))
    shutil.copy(root / "p001.png", root / "sub.png")
    shutil.copy(root / "wide.png", tmp_path / "t" / "again.png")
    out = tmp_path / "out"
    manifest = prepare(from_folders(str(root), test=[str(tmp_path / "t")], test_max_side=20), 0, out)
    assert manifest == read_manifest(out) == read_json(out / "manifest.json")
    assert manifest["duplicates"] == [
        {"file": f"{root}/sub.png", "same_as": f"{root}/p001.png"},
        {"file": f"{root}/wide.png", "same_as": f"{tmp_path}/t/again.png"},
    ]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert written == {entry["file"] for entry in manifest["photos"]}
    for entry in manifest["photos"]:
        pixels, source = open_photo(out / entry["file"]), open_photo(Path(entry["origin"]))
        assert sha256(out / entry["file"]) == entry["png_sha256"] and sha256(Path(entry["origin"])) == entry["sha256"]
        assert pixels.shape == (entry["height"], entry["width"], 3) and entry["licence"]
        if entry["split"] == "test":
            assert max(pixels.shape) == 20
        else:
            np.testing.assert_array_equal(pixels, source)
    assert [name for name, _ in split_files(out, "test")] == ["again", "tall"]
    assert len(split_files(out, "train")) == manifest["counts"]["train"]
    photos, scenes = training_photos(out)
    assert photos == split_files(out, "train")
    assert scenes == {entry["name"]: entry["name"] for entry in manifest["photos"]}


def test_prepare_is_deterministic_and_replaces_the_folder(tmp_path: Path) -> None:
    params = from_folders(folder(tmp_path / "a", 6))
    first = prepare(params, 0, tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "stale.png").touch()
    assert prepare(params, 0, tmp_path / "y") == first
    assert sha256(tmp_path / "x") == sha256(tmp_path / "y")
    assert prepare(params, 1, tmp_path / "z")["dataset_sha256"] != first["dataset_sha256"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x", "y", "z"]


def test_an_interrupted_prepare_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = from_folders(folder(tmp_path / "a", 6))
    prepare(params, 0, tmp_path / "out")
    before = sha256(tmp_path / "out")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepared, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(params, 1, tmp_path / "out")
    assert sha256(tmp_path / "out") == before and sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]


@pytest.mark.parametrize("file", ["../a/p000.png", "/etc/passwd", "test/../../a.png", "..\\a.png", "", "."])
def test_a_manifest_may_not_point_outside(tmp_path: Path, file: str) -> None:
    manifest = prepare(from_folders(folder(tmp_path / "a", 4)), 0, tmp_path / "out")
    manifest["photos"][0]["file"] = file
    write_json(tmp_path / "out" / "manifest.json", manifest)
    with pytest.raises(ParamsError, match="outside the folder"):
        split_files(tmp_path / "out", "test")


def test_damaged_prepared_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file; run `dvc repro prepare`"):
        split_files(tmp_path, "test")
    for content in ([], {}, {"photos": [1]}, {"photos": [{"name": "a"}]}):
        write_json(tmp_path / "manifest.json", content)
        with pytest.raises(ParamsError, match="manifest.json: "):
            split_files(tmp_path, "test")
    out = tmp_path / "out"
    prepare(from_folders(folder(tmp_path / "a", 4)), 0, out)
    with pytest.raises(ParamsError, match="no split 'tests'"):
        split_files(out, "tests")  # type: ignore[arg-type]
    split_files(out, "test")[0][1].unlink()
    with pytest.raises(ParamsError, match="missing"):
        split_files(out, "test")


def test_many_photographs_show_progress_on_stderr_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "a", 51)
    prepare(from_folders(root, max_photos=3), 0, tmp_path / "out")
    captured = capsys.readouterr()
    assert captured.out == "" and "checksums" in captured.err
