"""Shards: files of some thousand reduced photographs each, as a few hundred are handled where half a million are not.

    00000.tar     the photographs, lossless WebP of 8-bit RGB, one file each, in no order that says anything
    00000.json    {"photos": [{name, scene, file, offset, bytes, width, height, sha256, packed_sha256, origin, licence}]}

A tar archive, because every tool opens it, and an index beside it, because tar has none: a photograph is read by one `pread` of
its own bytes, from any process, with no lock and nothing unpacked, and its checksum is compared each time. What is in a shard
follows from the photographs alone: no times, no owners.

Lossless WebP at its quickest, because nothing is lost and it is smaller and quicker than PNG. 4124 openly licensed photographs at
256 pixels have 91 KB each, 120 as PNG (`jscgc bench data`; docs/training.md has the table). JPEG of quality 95 would need 43% of
the bytes, and cost 45.7 dB of PSNR on average: an error that every VAE's latent would have in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jscgc.config import ParamsError
from jscgc.data.images import PhotoError, Pixels, read_photo
from jscgc.files import atomic, plain, read_json

SHARD = 2048
"""Photographs of a shard, at most: 190 MB at 256 pixels."""
_BLOCK = 512
"""Of a tar archive, bytes."""

Row = dict[str, Any]
"""What the index says of a photograph."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A photograph in a shard. name: of its file there. offset, size: of that file, bytes. sha256: its checksum."""

    shard: Path
    name: str
    offset: int
    size: int
    sha256: bytes

    def content(self) -> bytes:
        """The photograph's own file.

        Raises:
            PhotoError: it is not what it was when the shard was written.
        """
        where = f"{plain(self.shard)}: {self.name}"
        try:
            descriptor = os.open(self.shard, os.O_RDONLY)
            try:
                content = os.pread(descriptor, self.size, self.offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PhotoError(f"{where}: can't be read ({error.strerror})") from None
        if hashlib.sha256(content).digest() != self.sha256:
            raise PhotoError(f"{where}: damaged (its checksum differs); remove this shard and run `dvc repro prepare`")
        return content

    def open(self) -> Pixels:
        """uint8 [H, W, 3], writable.

        Raises:
            PhotoError: damaged.
        """
        return read_photo(self.content(), f"{plain(self.shard)}: {self.name}")


def write_shard(path: Path, photos: Iterable[tuple[Row, bytes]]) -> list[Row]:
    """Write the archive, whole or not at all; the index is the caller's to write.

    Args:
        photos: of each what the index says, where `file` is its name in the archive, and that file's content.

    Returns:
        The rows with "offset" and "bytes".
    """
    rows = []
    with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as archive:
        for row, content in photos:
            member = tarfile.TarInfo(row["file"])
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
            padded = -(-len(content) // _BLOCK) * _BLOCK
            rows.append({**row, "offset": archive.offset - padded, "bytes": len(content)})
    return rows


def write_index(path: Path, rows: Sequence[Row]) -> None:
    """Write the index of a shard: JSON, a line each."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    with atomic(path) as temporary:
        temporary.write_text(f'{{"photos": [\n{lines}\n]}}\n', encoding="utf-8")


def read_index(path: Path) -> list[Row]:
    """The rows of an index.

    Raises:
        ParamsError: missing, or no index; says what to do.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: named in the manifest but missing; run `dvc repro prepare`") from None
    rows = content.get("photos") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_row(row) for row in rows):
        raise ParamsError(f"{path}: not the index of a shard; run `dvc repro prepare`")
    return rows


def _is_row(row: Mapping[str, Any]) -> bool:
    words, numbers = ("name", "scene", "file", "packed_sha256"), ("offset", "bytes")
    return (
        all(isinstance(row.get(key), str) for key in words)
        and all(type(row.get(key)) is int and row[key] >= 0 for key in numbers)
        and len(row["packed_sha256"]) == 64
    )


def packed(shard: Path, rows: Iterable[Row]) -> Iterator[Packed]:
    """The photographs of a shard, as its index has them."""
    for row in rows:
        yield Packed(shard, row["file"], row["offset"], row["bytes"], bytes.fromhex(row["packed_sha256"]))
