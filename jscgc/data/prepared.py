"""The prepared photographs: what the `prepare` stage writes and every later stage reads.

    out/manifest.json
    out/{train,validation,test}/NAME.png      8-bit RGB

The manifest names every photograph with its checksums, origin and licence, and every file that was left out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from jscgc.config import ParamsError
from jscgc.data.images import open_photo, reduce, save_png
from jscgc.data.params import DataParams
from jscgc.data.photo import SPLITS, Photo, Split
from jscgc.data.progress import progress
from jscgc.data.splits import collect
from jscgc.files import atomic, read_json, sha256, write_json

MANIFEST = "manifest.json"

_NOTES = {"kodak": "Kodak is for testing only: train and validation are the photographs of data.source builtin"}


def prepare(params: DataParams, seed: int, out: Path) -> dict[str, Any]:
    """Write the photographs of a source as PNG files with a manifest; the folder appears whole or not at all.

    Validation and test photographs are reduced to `test_max_side`; training photographs keep their size. The same
    files, parameters and seed give the same bytes.

    Returns:
        The manifest: "source", "note", "photos" [{name, split, scene, file (relative to `out`), width, height (of the
        PNG), sha256 (of the source file), png_sha256, origin, licence}], "skipped" [{file, reason}], "duplicates"
        [{file, same_as}], "near_duplicates" of test photographs, which were left out of the others [{dropped, of, distance}],
        "closest" of what stays and the test photographs {photo, of, distance} or None, "counts" {train, validation, test,
        skipped, duplicates, near_duplicates}, and "dataset_sha256", which stands for names, split, scenes and prepared files.

    Raises:
        ParamsError: see `collect`.
        PhotoError: a photograph became unreadable since it was collected.
    """
    collection = collect(params, seed)
    with atomic(out) as temporary:
        for split in SPLITS:
            (temporary / split).mkdir(parents=True)
        photos = [_write(photo, params, temporary) for photo in progress(collection.photos, "photographs")]
        skipped = sorted(collection.skipped, key=lambda entry: entry["file"])
        duplicates = sorted(collection.duplicates, key=lambda entry: entry["file"])
        near = collection.near_duplicates
        identity = [[entry[key] for key in ("split", "name", "scene", "png_sha256")] for entry in photos]
        counts: dict[str, int] = {split: sum(entry["split"] == split for entry in photos) for split in SPLITS}
        manifest = {
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
        write_json(temporary / MANIFEST, manifest)
    return manifest


def _write(photo: Photo, params: DataParams, folder: Path) -> dict[str, Any]:
    pixels = reduce(open_photo(photo.path), 0 if photo.split == "train" else params.test_max_side)
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
        if not all(isinstance(entry.get(key), str) for key in ("name", "split", "scene", "file")):
            raise ParamsError(f"{path}: an entry lacks name, split, scene or file: {entry!r:.120}")
        # By the text, not by resolving: DVC may link the files themselves to its cache elsewhere.
        file = PurePosixPath(entry["file"])
        if file.is_absolute() or ".." in file.parts or "\\" in entry["file"] or not file.parts:
            raise ParamsError(f"{path}: {entry['file']!r} points outside the folder")
    return manifest


def split_files(folder: Path, split: Split) -> list[tuple[str, Path]]:
    """Name and file of each photograph on one side, sorted by name.

    Raises:
        ParamsError: see `read_manifest`; or the split is unknown, or a file is missing.
    """
    if split not in SPLITS:
        raise ParamsError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    files = [(e["name"], folder / e["file"]) for e in read_manifest(folder)["photos"] if e["split"] == split]
    for _, path in files:
        if not path.is_file():
            raise ParamsError(f"{path}: named in the manifest but missing; run `dvc repro prepare`")
    return sorted(files)


def scenes(folder: Path) -> dict[str, str]:
    """Photograph's name -> its scene, for `CropSampler`; errors as `read_manifest`."""
    return {entry["name"]: entry["scene"] for entry in read_manifest(folder)["photos"]}
