"""The prepared photographs: what the `prepare` stage writes and every later stage reads.

    out/manifest.json
    out/{train,validation,test}/NAME.png      8-bit RGB
    out/train/00000.{tar,json}                instead of the training photographs' PNGs, with data.train_side: see `shards`

The manifest names every photograph with its checksums, origin and licence, and every file that was left out; of shards it names
those, and their indexes name the photographs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from jscgc.config import ParamsError
from jscgc.data import packing
from jscgc.data.images import open_in_full, reduce, save_png
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo, Split
from jscgc.data.readers import Readers
from jscgc.data.shards import Packed, packed, read_index, write_index
from jscgc.data.splits import Collection, collect
from jscgc.files import atomic, read_json, sha256, write_json

MANIFEST = "manifest.json"

_NOTES = {"kodak": "Kodak is for testing only: train and validation are the photographs of data.source builtin"}


def prepare(params: DataParams, seed: int, out: Path, readers: int = 1, work: Path | None = None) -> dict[str, Any]:
    """Write the photographs of a source, as PNG files or in shards, with a manifest; the folder appears whole or not at all.

    Validation and test photographs are reduced to `test_max_side`; training photographs keep their size, or are reduced to
    `train_side`. The same files, parameters and seed give the same bytes, whatever the number of readers and interruptions.

    Args:
        readers: processes that read photographs; see `Readers`.
        work: a folder for what is finished, where a call that was interrupted goes on (shards only); None: a temporary one.

    Returns:
        The manifest: "source", "note", "photos" [{name, split, scene, file (relative to `out`), width, height (of the
        PNG), sha256 (of the source file), png_sha256, origin, licence}], "skipped" [{file, reason}], "duplicates"
        [{file, same_as}], "near_duplicates" of test photographs, which were left out of the others [{dropped, of, distance}],
        "closest" of what stays and the test photographs {photo, of, distance} or None, "counts" {train, validation, test,
        skipped, duplicates, near_duplicates}, and "dataset_sha256", which stands for names, split, scenes and prepared files.
        With `train_side` no training photographs in "photos" but "train_side" and "shards" [{file, index, photos (how many),
        bytes, sha256, index_sha256, licences}]. With either that or a list "stated", by what the others were chosen; with a
        list "missing" {count, first}, those that are not there.

    Raises:
        ParamsError: see `collect`.
        PhotoError: a photograph became unreadable since it was collected.
        OSError: no room, or a process that read was killed.
    """
    with ExitStack() as held:
        pool = held.enter_context(Readers(readers))
        if not params.train_side:
            work = None
        elif work is None:
            out.parent.mkdir(parents=True, exist_ok=True)
            work = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)))
        collection = collect(params, seed, pool, work)
        with atomic(out) as temporary:
            for split in SPLITS:
                (temporary / split).mkdir(parents=True)
            manifest = _manifest(params, collection, temporary, pool)
            write_json(temporary / MANIFEST, manifest)
    return manifest


def _manifest(params: DataParams, collection: Collection, folder: Path, readers: Readers) -> dict[str, Any]:
    single = [photo for photo in collection.photos if photo.split != "train" or not params.train_side]
    write = partial(_write, params=params, folder=folder)
    photos = list(readers.map(write, single, "photographs"))
    shards = _shards(collection, folder)
    skipped = sorted(collection.skipped, key=lambda entry: entry["file"])
    duplicates = sorted(collection.duplicates, key=lambda entry: entry["file"])
    near = collection.near_duplicates
    identity = [[entry[key] for key in ("split", "name", "scene", "png_sha256")] for entry in photos]
    identity += [[shard["sha256"], shard["index_sha256"]] for shard in shards]
    counts: dict[str, int] = {split: sum(photo.split == split for photo in collection.photos) for split in SPLITS}
    manifest: dict[str, Any] = {
        "source": params.source,
        "note": _NOTES.get(params.source, ""),
        "photos": photos,
        "skipped": skipped,
        "duplicates": duplicates,
        "near_duplicates": near,
        "closest": collection.closest,
        "counts": counts | {"skipped": len(skipped), "duplicates": len(duplicates), "near_duplicates": len(near)},
        "dataset_sha256": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
    }
    if params.train_side or params.list_file:
        manifest["stated"] = collection.stated
    if params.list_file:
        manifest["missing"] = collection.missing
    return manifest | ({"train_side": params.train_side, "shards": shards} if params.train_side else {})


def _shards(collection: Collection, folder: Path) -> list[dict[str, Any]]:
    wanted = {photo.name for photo in collection.photos if photo.split == "train"} if collection.shards else set()
    entries: list[dict[str, Any]] = []
    for shard in collection.shards:
        if wanted.isdisjoint(shard.names):
            continue
        file, index = (folder / "train" / f"{len(entries):05d}.{ending}" for ending in ("tar", "json"))
        rows = packing.place(shard, wanted, file)
        write_index(index, rows)
        entries.append(
            {
                "file": f"train/{file.name}",
                "index": f"train/{index.name}",
                "photos": len(rows),
                "bytes": file.stat().st_size,
                "sha256": sha256(file),
                "index_sha256": sha256(index),
                "licences": sorted({row["licence"] for row in rows}),
            }
        )
    return entries


def _write(photo: Photo, params: DataParams, folder: Path) -> dict[str, Any]:
    opened = open_in_full(photo.path, rotation=photo.rotation)
    pixels = reduce(opened.pixels, 0 if photo.split == "train" else params.test_max_side)
    file = f"{photo.split}/{photo.name}.png"
    save_png(pixels, folder / file)
    return {
        "name": photo.name,
        "split": photo.split,
        "scene": photo.scene,
        "file": file,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "sha256": photo.sha256,
        "png_sha256": sha256(folder / file),
        "origin": photo.source,
        "licence": photo.licence,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder.

    Raises:
        ParamsError: there is none, it is not a manifest, or an entry points outside the folder.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ParamsError(f"{path}: no such file; run `dvc repro prepare` first")
    content = read_json(path)
    manifest: dict[str, Any] = content if isinstance(content, dict) else {}
    photos = manifest.get("photos")
    if not isinstance(photos, list) or not all(isinstance(entry, dict) for entry in photos):
        raise ParamsError(f"{path}: not a manifest of photographs")
    for entry in photos:
        _check(path, entry, ("name", "split", "scene"), "file")
    shards = manifest.get("shards", [])
    if not isinstance(shards, list) or not all(isinstance(entry, dict) for entry in shards):
        raise ParamsError(f"{path}: not a manifest of shards")
    for entry in shards:
        _check(path, entry, (), "file", "index")
        if type(entry.get("bytes")) is not int:
            raise ParamsError(f"{path}: {entry['file']} lacks bytes")
    return manifest


def _check(path: Path, entry: Mapping[str, Any], words: tuple[str, ...], *files: str) -> None:
    if not all(isinstance(entry.get(key), str) for key in (*words, *files)):
        raise ParamsError(f"{path}: an entry lacks {', '.join(words + files[:-1])} or {files[-1]}: {entry!r:.120}")
    for key in files:
        # By the text, not by resolving: DVC may link the files themselves to its cache elsewhere.
        file = PurePosixPath(entry[key])
        if file.is_absolute() or ".." in file.parts or "\\" in entry[key] or not file.parts:
            raise ParamsError(f"{path}: {entry[key]!r} points outside the folder")


def split_files(folder: Path, split: Split) -> list[tuple[str, Path]]:
    """Name and file of each photograph on one side, sorted by name.

    Raises:
        ParamsError: see `read_manifest`; or the split is unknown, a file is missing, or these are in shards.
    """
    manifest = read_manifest(folder)
    if split == "train" and "shards" in manifest:
        raise ParamsError(f"{folder}: the training photographs are in shards; `training_photos` reads them")
    return _files(folder, manifest, split)


def _files(folder: Path, manifest: Mapping[str, Any], split: Split) -> list[tuple[str, Path]]:
    if split not in SPLITS:
        raise ParamsError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    files = [(e["name"], folder / e["file"]) for e in manifest["photos"] if e["split"] == split]
    for _, path in files:
        if not path.is_file():
            raise ParamsError(f"{path}: named in the manifest but missing; run `dvc repro prepare`")
    return sorted(files)


def training_photos(folder: Path) -> tuple[list[tuple[str, Path | Packed]], dict[str, str]]:
    """Name and place of each training photograph, file or in a shard, and name -> scene: what `CropSampler` takes.

    Raises:
        ParamsError: see `read_manifest`; or a file is missing or a shard cut short.
    """
    manifest = read_manifest(folder)
    if "shards" not in manifest:
        return [*_files(folder, manifest, "train")], {e["name"]: e["scene"] for e in manifest["photos"]}
    photos: list[tuple[str, Path | Packed]] = []
    scenes: dict[str, str] = {}
    for entry in manifest["shards"]:
        shard = folder / entry["file"]
        size = shard.stat().st_size if shard.is_file() else -1
        if size != entry["bytes"]:
            what = "missing" if size < 0 else f"of {size} bytes instead of {entry['bytes']}"
            raise ParamsError(f"{shard}: named in the manifest but {what}; run `dvc repro prepare`")
        rows = read_index(folder / entry["index"])
        photos += zip((row["name"] for row in rows), packed(shard, rows), strict=True)
        scenes |= {row["name"]: row["scene"] for row in rows}
    return photos, scenes
