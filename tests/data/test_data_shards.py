"""Photographs in shards: the same bytes whoever reads them, resumed after a kill, and read as the files they stand for."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jscgc.config import ParamsError
from jscgc.data import packing, prepared, readers, splits
from jscgc.data.crops import CropSampler
from jscgc.data.images import PhotoError, open_photo, reduce_shorter, save_png
from jscgc.data.overlap import Fingerprint, compare
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare, read_manifest, split_files, training_photos
from jscgc.data.readers import Readers
from jscgc.data.shards import Packed, packed, read_index, write_index, write_shard
from jscgc.files import read_json, sha256, write_json

SIDE = 20


def picture(path: Path, seed: int, size: tuple[int, int] = (24, 32)) -> Path:
    save_png(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 photographs, one of them unreadable and one there twice: enough for other processes."""
    root = tmp_path_factory.mktemp("photographs")
    for index in range(80):
        picture(root / f"p{index:03d}.png", index, (24 + index % 3, 30 + index % 5))
    (root / "cut.png").write_bytes((root / "p000.png").read_bytes()[:300])
    (root / "twice.png").write_bytes((root / "p001.png").read_bytes())
    picture(root / "test" / "t.png", 1000)
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "SHARD", 30)


def of(folder: Path, **more: Any) -> DataParams:
    given: dict[str, Any] = {"validation_fraction": 0.1, "test_fraction": 0.1, "train_side": SIDE}
    return DataParams(source="folder", train=[str(folder)], **given | more)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "photos"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "SHARD", 30)
        prepare(of(folder), 0, out)
    return out


def test_training_photographs_are_in_shards_and_the_others_are_not(folder: Path, whole: Path) -> None:
    manifest = read_manifest(whole)
    counts = manifest["counts"]
    assert (counts["train"], counts["skipped"], counts["duplicates"]) == (81 - 2 * 8, 1, 1)
    assert {entry["split"] for entry in manifest["photos"]} == {"validation", "test"}
    sizes = [shard["photos"] for shard in manifest["shards"]]
    assert len(sizes) == 3 and sum(30 - size for size in sizes[:2]) == 1, "but for the one that can't be read"
    assert sorted(path.name for path in (whole / "train").iterdir()) == [
        f"{number:05d}.{ending}" for number in range(3) for ending in ("json", "tar")
    ]
    assert manifest["stated"] == {
        "test": "data.test_fraction 0.1",
        "validation": "data.validation_fraction 0.1",
    }
    photos, scenes = training_photos(whole)
    assert len(photos) == counts["train"] == sum(shard["photos"] for shard in manifest["shards"]) == len(scenes)
    for name, place in photos:
        assert isinstance(place, Packed)
        (source,) = folder.rglob(f"{name}.png")
        np.testing.assert_array_equal(place.open(), reduce_shorter(open_photo(source), SIDE))
        assert min(place.open().shape[:2]) == SIDE
    for shard in manifest["shards"]:
        for row in read_index(whole / shard["index"]):
            assert row["sha256"] == sha256(Path(row["origin"])) and row["licence"]
    # Any tar opens them.
    with tarfile.open(whole / manifest["shards"][0]["file"]) as archive:
        member = archive.getmembers()[3]
        content = archive.extractfile(member)
        assert content and np.array(Image.open(content)).shape[2] == 3 and member.mtime == 0


@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_readers_gives_the_same_bytes(
    folder: Path, whole: Path, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WORTH", 8)
    prepare(of(folder), 0, tmp_path / "photos", count)
    assert sha256(tmp_path / "photos") == sha256(whole)
    one = prepare(of(folder, train_side=0), 0, tmp_path / "one")
    assert prepare(of(folder, train_side=0), 0, tmp_path / "many", count) == one
    assert sha256(tmp_path / "many") == sha256(tmp_path / "one")


def test_results_come_in_order_from_processes_of_their_own() -> None:
    with Readers(2) as two:
        assert list(two.map(divmod_by_seven, range(200), "numbers")) == [divmod(n, 7) for n in range(200)]
        pids = set(two.map(process, range(200), "numbers"))
        assert len(pids) == 2 and os.getpid() not in pids
        assert set(two.map(process, range(3), "numbers")) == {os.getpid()}, "too few to be worth it"
    with pytest.raises(ValueError, match="1 or more"):
        Readers(0)


def divmod_by_seven(number: int) -> tuple[int, int]:
    return divmod(number, 7)


def process(number: int) -> int:
    time.sleep(0.002)
    return os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_reader_is_one_clear_line() -> None:
    with pytest.raises(OSError, match=r"was killed .out of memory.*distributed\.readers"), Readers(2) as two:
        list(two.map(die, range(100), "numbers"))


RUN = """
import sys
from pathlib import Path
from jscgc.data import readers, splits
from jscgc.data.params import DataParams
from jscgc.data.prepared import prepare
if __name__ == "__main__":
    splits.SHARD, readers.WORTH = 10, 8
    params = DataParams(source="folder", train=[sys.argv[1]], validation_fraction=.1, test_fraction=.1, train_side=20)
    prepare(params, 0, Path(sys.argv[2]), int(sys.argv[4]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize(("end", "count"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 2)])
def test_a_killed_prepare_goes_on_with_what_is_finished(
    folder: Path, tmp_path: Path, end: signal.Signals, count: int
) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN)

    def start(out: str, work: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, script, folder, tmp_path / out, tmp_path / work, str(count)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    assert start("plain", "unused").wait() == 0
    running = start("out", "work")
    while running.poll() is None and len(list((tmp_path / "work").glob("*.json"))) < 2:
        time.sleep(0.005)
    others = psutil.Process(running.pid).children(recursive=True)
    assert (len(others) >= 2) == (count == 2)
    running.send_signal(end)
    assert running.wait() == -end and not (tmp_path / "out").exists()
    assert not psutil.wait_procs(others, timeout=10)[1], "no reader is left"
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.tar")}
    assert len(finished) >= 2
    assert start("out", "work").wait() == 0
    assert sha256(tmp_path / "out") == sha256(tmp_path / "plain")
    assert all(path.stat().st_mtime_ns == before for path, before in finished.items()), "nothing is made twice"


def test_what_is_finished_is_not_read_again_and_what_is_damaged_is_made_again(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work, out = tmp_path / "work", tmp_path / "photos"
    prepare(of(folder), 0, out, work=work)
    # Links and the same bytes: neither is to be changed through the other.
    shard, other = sorted(work.glob("*.tar"))[:2]
    content = bytearray(shard.read_bytes())
    content[1500] ^= 1
    shard.unlink()
    shard.write_bytes(content)
    other.with_suffix(".json").write_text("{")
    (work / packing.CHECKSUMS).write_text((work / packing.CHECKSUMS).read_text() + '["half a li')
    read: list[Path] = []
    opened, summed = packing.open_in_full, packing.sha256

    def counted(path: Path, *arguments: Any, **more: Any) -> Any:
        read.append(path)
        return opened(path, *arguments, **more)

    def summing(path: Path) -> str:
        assert path.parent == work, "checksums of photographs are known"
        return summed(path)

    monkeypatch.setattr(packing, "open_in_full", counted)
    monkeypatch.setattr(packing, "sha256", summing)
    prepare(of(folder), 0, out, work=work)
    assert sha256(out) == sha256(whole)
    assert caplog.text.count("the shard is damaged; it is made again") == 2
    held_out = {Path(entry["origin"]) for entry in read_manifest(whole)["photos"]}
    assert 0 < len([path for path in read if path not in held_out]) <= 62, "two shards, and the unreadable one"


def test_an_interrupted_prepare_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepared, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(of(folder), 0, tmp_path / "photos")
    assert list(tmp_path.iterdir()) == []


def test_crops_from_shards_are_those_from_files_of_the_same_pixels(whole: Path, tmp_path: Path) -> None:
    photos, scenes = training_photos(whole)
    files = []
    for name, place in photos:
        assert isinstance(place, Packed)
        save_png(place.open(), tmp_path / f"{name}.png")
        files.append((name, tmp_path / f"{name}.png"))
    ours = CropSampler(photos, 16, 0.5, scenes, colour=0.5)
    theirs = CropSampler(files, 16, 0.5, scenes, colour=0.5)
    for step in range(4):
        np.testing.assert_array_equal(ours.crops(20, 1, "train", step), theirs.crops(20, 1, "train", step))
        chosen = [name.rsplit(".", 1)[0] for name in ours.chosen(20, 1, "train", step)]
        assert chosen == [name.rsplit(".", 1)[0] for name in theirs.chosen(20, 1, "train", step)]
    bounded = CropSampler(photos, 16, 0.5, scenes, memory=3 * 20 * 25 * 3, colour=0.5)
    np.testing.assert_array_equal(bounded.crops(20, 1, "train", 0), ours.crops(20, 1, "train", 0))
    assert 0 < len(bounded._decoded) <= 3


def test_a_near_duplicate_of_a_test_photograph_is_in_no_shard(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    test = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((40, 40, 1), np.uint8))
    save_png(test, tmp_path / "test" / "known.png")
    for index in range(4):
        block = rng.integers(0, 256, (8, 8, 3), np.uint8)
        save_png(np.kron(block, np.ones((40, 40, 1), np.uint8)), tmp_path / "train" / f"other{index}.png")
    Image.fromarray(test).resize((200, 200)).save(tmp_path / "train" / "leak.jpg")
    params = of(tmp_path / "train", test=[str(tmp_path / "test")], validation_fraction=0)
    manifest = prepare(params, 0, tmp_path / "photos")
    (entry,) = manifest["near_duplicates"]
    assert entry["dropped"].endswith("leak.jpg")
    assert sorted(name for name, _ in training_photos(tmp_path / "photos")[0]) == [f"other{n}" for n in range(4)]
    with tarfile.open(tmp_path / "photos" / "train" / "00000.tar") as archive:
        assert sorted(archive.getnames()) == [f"other{n}.webp" for n in range(4)]


def test_no_validation_photographs_where_none_are_asked_for(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        manifest = prepare(of(folder, validation_fraction=0), 0, tmp_path / "photos")
    assert manifest["counts"]["validation"] == 0 and split_files(tmp_path / "photos", "validation") == []
    assert "8 of 82 training photographs set aside for test (data.test_fraction 0.1)" in caplog.text
    assert "validation" not in caplog.text
    with pytest.raises(ParamsError, match="in shards"):
        split_files(tmp_path / "photos", "train")


def test_max_photos_reads_no_more_than_it_must(folder: Path, tmp_path: Path) -> None:
    manifest = prepare(of(folder, max_photos=34), 0, tmp_path / "photos", work=tmp_path / "work")
    assert [shard["photos"] for shard in manifest["shards"]] in ([30, 4], [29, 5])
    rows = [row for file in (tmp_path / "work").glob("*.json") for row in read_json(file)["photos"]]
    assert len(rows) == 34


def test_a_damaged_shard_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "photos"
    prepare(of(folder), 0, out)
    shard = out / "train" / "00001.tar"
    photos, _ = training_photos(out)
    _, place = next((name, place) for name, place in photos if isinstance(place, Packed) and place.shard == shard)
    assert isinstance(place, Packed)
    content = bytearray(shard.read_bytes())
    content[place.offset + place.size // 2] ^= 4
    shard.write_bytes(content)
    with pytest.raises(PhotoError, match=rf"00001\.tar: {place.name}: damaged .*run `dvc repro prepare`") as error:
        place.open()
    assert len(str(error.value).splitlines()) == 1
    shard.write_bytes(content[:-512])
    with pytest.raises(ParamsError, match=r"00001\.tar: named in the manifest but of \d+ bytes instead of"):
        training_photos(out)
    shard.unlink()
    with pytest.raises(PhotoError, match="can't be read"):
        place.open()
    with pytest.raises(ParamsError, match="missing; run `dvc repro prepare`"):
        training_photos(out)


@pytest.mark.parametrize("content", [[], {"photos": [{}]}, {"photos": [{"name": "a", "offset": -1}]}])
def test_a_damaged_index_is_named(whole: Path, tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / "00000.json", content)
    with pytest.raises(ParamsError, match=r"00000\.json: not the index of a shard"):
        read_index(tmp_path / "00000.json")
    with pytest.raises(ParamsError, match=r"none\.json: named in the manifest but missing"):
        read_index(tmp_path / "none.json")


@pytest.mark.parametrize("key", ["file", "index"])
def test_a_manifest_of_shards_may_not_point_outside(folder: Path, tmp_path: Path, key: str) -> None:
    manifest = prepare(of(folder), 0, tmp_path / "photos")
    manifest["shards"][0][key] = "../../elsewhere.tar"
    write_json(tmp_path / "photos" / "manifest.json", manifest)
    with pytest.raises(ParamsError, match="points outside the folder"):
        training_photos(tmp_path / "photos")


@given(
    contents=st.lists(st.binary(min_size=0, max_size=2000), max_size=12),
    names=st.lists(st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=120), min_size=12, unique=True),
)
def test_what_is_packed_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], names: list[str]
) -> None:
    """Names of any length in UTF-8, contents of any length, empty too."""
    import hashlib

    root = tmp_path_factory.mktemp("packed")
    photos = [
        ({"name": n, "scene": n, "file": f"{n}.webp", "packed_sha256": hashlib.sha256(c).hexdigest()}, c)
        for n, c in zip(names, contents, strict=False)
    ]
    rows = write_shard(root / "a.tar", photos)
    write_index(root / "a.json", rows)
    assert read_index(root / "a.json") == rows
    assert [place.content() for place in packed(root / "a.tar", rows)] == contents
    with tarfile.open(root / "a.tar") as archive:
        assert archive.getnames() == [row["file"] for row in rows]
    write_shard(root / "b.tar", photos)
    assert sha256(root / "a.tar") == sha256(root / "b.tar")


def test_a_panorama_too_long_for_webp_is_lossless_too(tmp_path: Path) -> None:
    long = np.random.default_rng(0).integers(0, 256, (4, 17000, 3), np.uint8)
    save_png(long, tmp_path / "a" / "long.png")
    picture(tmp_path / "a" / "other.png", 0)
    picture(tmp_path / "t" / "t.png", 1)
    prepare(of(tmp_path / "a", test=[str(tmp_path / "t")], validation_fraction=0), 0, tmp_path / "photos")
    places = dict(training_photos(tmp_path / "photos")[0])
    assert isinstance(places["long"], Packed) and places["long"].name == "long.png"
    np.testing.assert_array_equal(places["long"].open(), long)


def test_many_are_compared_as_few_are() -> None:
    """In blocks: the same pairs as one by one, the first of equal ones."""
    rng = np.random.default_rng(0)
    prints = rng.integers(0, 2**63, (2500, 27, 4), dtype=np.uint64)
    prints[:, 19] = prints[:, 0]  # the whole, as it is
    prints[2400] = prints[3]
    train = [(f"p{n}", Fingerprint(one[:19], one[19:])) for n, one in enumerate(prints)]
    test = [("t3", train[3][1]), ("t7", train[7][1])]
    found = compare(train, test)
    assert [(p.train, p.test, p.distance) for p in found.near] == [("p2400", "t3", 0), ("p3", "t3", 0), ("p7", "t7", 0)]
    alone = [compare([one], test).closest for one in train]
    assert found.closest is not None
    assert found.closest.distance == min(pair.distance for pair in alone if pair is not None)


def test_the_index_is_json_of_a_line_each(whole: Path) -> None:
    text = (whole / "train" / "00000.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 32 and len(json.loads(text)["photos"]) == 30


def test_the_record_of_a_run_says_what_is_in_shards(whole: Path) -> None:
    from pipeline.stage import datasets

    manifest = read_manifest(whole)
    train, validation = datasets(manifest, ("train", "validation"))
    said = json.loads(train["profile"])
    assert said["photographs"] == manifest["counts"]["train"] and said["licences"] == [
        "unknown: a folder of the user's"
    ]
    assert train["digest"] != validation["digest"] and json.loads(validation["profile"])["photographs"] == 8
    others = [shard | {"sha256": "0" * 64} for shard in manifest["shards"]]
    assert datasets(manifest | {"shards": others}, ("train",))[0]["digest"] != train["digest"]
