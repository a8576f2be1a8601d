"""From photographs to shards: reduced side by side, written in one order, and what is finished is found again.

    work/checksums.jsonl        [path, bytes, time of change, SHA-256] of each file that was read through
    work/KEY.tar, KEY.json, KEY.npy    a shard, its index with what was skipped, and its photographs' fingerprints

KEY is made of the checksums, names and so on of the photographs that the shard is of: whatever else has changed, it is the same
shard. The JSON is written last; a shard whose archive is not what it says is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jscgc.config import digest
from jscgc.data.images import PhotoError, open_in_full, reduce_shorter, to_lossless
from jscgc.data.overlap import SIDE, Fingerprint, fingerprint, join, parts
from jscgc.data.photo import Photo
from jscgc.data.readers import Readers
from jscgc.data.shards import Row, packed, write_shard
from jscgc.files import atomic, read_json, sha256, write_json

log = logging.getLogger(__name__)
CHECKSUMS = "checksums.jsonl"


@dataclass(frozen=True)
class Looked:
    """What became of a photograph. reason: why it can't be read; empty if it can. colour: what was done to its colours; empty:
    nothing. content: of its file in a shard, of width x height pixels."""

    reason: str = ""
    colour: str = ""
    content: bytes = b""
    width: int = 0
    height: int = 0
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class Shard:
    """Finished, in the folder for work.

    names: of its photographs. fingerprints: of each. skipped: {"file", "reason"}. colours: as of `Collection`.
    """

    archive: Path
    names: list[str]
    skipped: list[dict[str, str]]
    colours: list[str]
    fingerprints: list[Fingerprint]


def look(photo: Photo) -> Looked:
    """Whether a photograph can be read."""
    try:
        colour = open_in_full(photo.path, rotation=photo.rotation).colour
    except PhotoError as error:
        return Looked(_reason(photo, error))
    return Looked(colour=str(colour) if colour.said else "")


def reduced(photo: Photo, side: int) -> Looked:
    """The same, with what is kept of it in a shard."""
    try:
        # Twice the pixels that are wanted lose nothing that can be seen (Pillow's `reducing_gap`).
        opened = open_in_full(photo.path, max(2 * side, 2 * SIDE), photo.rotation)
    except PhotoError as error:
        return Looked(_reason(photo, error))
    small = reduce_shorter(opened.pixels, side)
    height, width = small.shape[:2]
    said = str(opened.colour) if opened.colour.said else ""
    return Looked("", said, to_lossless(small), width, height, fingerprint(opened.pixels))


def _reason(photo: Photo, error: PhotoError) -> str:
    return str(error).removeprefix(f"{photo.path}: ")


def checksum(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, or nothing and why it can't be read."""
    try:
        # Empty files are all equal; each is unreadable, none is a duplicate.
        return ("", "empty file") if path.stat().st_size == 0 else (sha256(path), "")
    except OSError as error:
        return "", error.strerror or type(error).__name__


def checksums(photos: Sequence[Photo], readers: Readers, work: Path | None) -> list[tuple[str, str]]:
    """`checksum` of each photograph's file; with a folder for work those that were found before are not read again."""
    if work is None:
        return list(readers.map(checksum, [photo.path for photo in photos], "checksums"))
    work.mkdir(parents=True, exist_ok=True)
    known, stamps = _known(work / CHECKSUMS), [_stamp(photo.path) for photo in photos]
    new = [index for index, stamp in enumerate(stamps) if stamp not in known]
    found = [(known.get(stamp, ""), "") for stamp in stamps]
    with (work / CHECKSUMS).open("a", encoding="utf-8") as stream:
        stream.write("\n")  # what a process that was killed wrote of its last line stays by itself
        for index, result in zip(
            new, readers.map(checksum, [photos[index].path for index in new], "checksums"), strict=True
        ):
            found[index] = result
            if result[0]:
                stream.write(json.dumps([*stamps[index], result[0]]) + "\n")
    return found


_Stamp = tuple[str, int, int]


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return (os.fsdecode(path), -1, -1)
    return (os.fsdecode(path), status.st_size, status.st_mtime_ns)


def _known(path: Path) -> dict[_Stamp, str]:
    known: dict[_Stamp, str] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                file, size, time, total = json.loads(line)
                known[file, size, time] = total
            except (ValueError, TypeError):
                continue  # the last one of a process that was killed
    return known


def pack(photos: Sequence[Photo], side: int, readers: Readers, work: Path, what: str) -> Shard:
    """A shard of what of these can be read, or the one of them that is finished; `what` stands beside the progress bar."""
    described = [[p.sha256, p.name, p.scene, p.source, p.licence, p.rotation] for p in photos]
    archive = work / f"{digest(side, described)}.tar"
    notes, prints = archive.with_suffix(".json"), archive.with_suffix(".npy")
    if not _whole(archive, notes, prints):
        skipped: list[dict[str, str]] = []
        colours: list[str] = []
        fingerprints: list[Fingerprint] = []

        def readable() -> Any:
            found = readers.map(partial(reduced, side=side), photos, what)
            for photo, looked in zip(photos, found, strict=True):
                if looked.reason:
                    skipped.append({"file": photo.source, "reason": looked.reason})
                    continue
                if looked.colour:
                    colours.append(f"{photo.source} {looked.colour}")
                assert looked.fingerprint is not None
                fingerprints.append(looked.fingerprint)
                yield _row(photo, looked), looked.content

        rows = write_shard(archive, readable())
        with atomic(prints) as temporary, temporary.open("wb") as stream:
            np.save(stream, join(fingerprints), allow_pickle=False)
        sums = {file.name: sha256(file) for file in (archive, prints)}
        write_json(notes, {"photos": rows, "skipped": skipped, "colours": colours, "sha256": sums})
    noted, stored = read_json(notes), np.load(prints, allow_pickle=False)
    names = [row["name"] for row in noted["photos"]]
    return Shard(archive, names, noted["skipped"], noted["colours"], parts(stored))


def _whole(archive: Path, notes: Path, prints: Path) -> bool:
    if not notes.exists():
        return False
    try:
        if all(sha256(file) == read_json(notes)["sha256"][file.name] for file in (archive, prints)):
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    log.warning("%s: the shard is damaged; it is made again", archive)
    return False


def _row(photo: Photo, looked: Looked) -> Row:
    ending = "webp" if looked.content[:4] == b"RIFF" else "png"
    return {
        "name": photo.name,
        "scene": photo.scene,
        "file": f"{photo.name}.{ending}",
        "width": looked.width,
        "height": looked.height,
        "sha256": photo.sha256,
        "packed_sha256": hashlib.sha256(looked.content).hexdigest(),
        "origin": photo.source,
        "licence": photo.licence,
    }


def place(shard: Shard, wanted: set[str], out: Path) -> list[Row]:
    """The archive of a finished shard at `out`, with the photographs of these names only; returns the rows of its index."""
    kept = [row for row in read_json(shard.archive.with_suffix(".json"))["photos"] if row["name"] in wanted]
    if len(kept) < len(shard.names):
        return write_shard(out, zip(kept, (one.content() for one in packed(shard.archive, kept)), strict=True))
    try:
        os.link(shard.archive, out)
    except OSError:  # another file system, or one without links
        shutil.copyfile(shard.archive, out)
    return kept
