"""Filling the weights folder: downloads when asked for, and copies from another folder; whole and checked, or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jscgc.files import atomic, sha256
from jscgc.metrics.weights import WeightsFile, record, weights_folder

CONNECT_SECONDS = 3.05
"""Per address of the server; a connection is tried once, so an offline machine waits for seconds."""
READ_SECONDS = 30.0
SUFFIXES = (".pth", ".pt", ".bin", ".zip", ".tar", ".safetensors", "")
"""Of files that may be weights under another name; the hub's cache names its files by their checksum, without any."""
TOLERANCE = 0.02
"""Share by which a size may differ from the rounded published one."""


@dataclass(frozen=True)
class Kept:
    """A file that is now in the weights folder."""

    file: WeightsFile
    path: Path
    sha256: str
    origin: str
    """URL or path."""

    @property
    def note(self) -> str:
        """What its checksum was compared with."""
        if self.file.digest:
            return "checksum verified"
        return f"unverified: no checksum is published; SHA-256 {self.sha256} recorded"


def fetch(file: WeightsFile) -> Kept:
    """Download a file unless it is there and intact; interrupted or wrong downloads leave nothing behind.

    Raises:
        ValueError: no network, no such page, or not the published content; one line.
    """
    if not file.url:
        raise ValueError(f"{file.key} comes with a Python package: {file.remedy}")
    if file.state() in ("verified", "recorded"):
        return Kept(file, file.locate(), sha256(file.locate()), "already there")
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    folder = weights_folder()
    by_hand = "download it elsewhere and `jscgc weights import FOLDER`"
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 20, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    try:
        with atomic(folder / file.file) as temporary:
            # pooch wants a whole checksum or none, and some publishers state a part: ours is compared afterwards
            pooch.retrieve(file.url, None, fname=temporary.name, path=folder, downloader=downloader)
            checksum = _checked(file, temporary, file.url)
    except requests.exceptions.RequestException as error:
        raise ValueError(f"cannot download {file.url} ({_line(error)}); {by_hand}") from None
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({_line(error)}); set JSCGC_WEIGHTS") from None
    return _kept(file, checksum, file.url)


def import_folder(folder: Path, wanted: Sequence[WeightsFile]) -> tuple[list[Kept], list[str]]:
    """Copy the files of weights that lie anywhere below a folder, found by name or by size and checksum.

    Returns:
        What was copied, and one line for each file that has the name of weights but not their content.

    Raises:
        ValueError: no such folder, or no weights in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files = [file for file in wanted if file.url]
    kept: dict[str, Kept] = {}
    refused: list[tuple[str, str]] = []
    for path in _files(folder):
        for file in files:
            named = path.name == file.file
            if file.key in kept or not (named or _may_be(file, path)):
                continue
            checksum = sha256(path)
            if file.digest and not checksum.startswith(file.digest):
                if named:
                    refused.append((file.key, f"{path}: SHA-256 {checksum}, {file.digest} expected ({file.name})"))
            elif not file.digest and not _right_size(file, path):
                size = f"{path.stat().st_size / 1e6:.1f} MB, {file.megabytes:g} MB expected"
                refused.append((file.key, f"{path}: {size} ({file.name})"))
            else:
                kept[file.key] = _copy(file, path)
    if not kept and not refused:
        names = ", ".join(file.file for file in files)
        raise ValueError(f"{folder}: no weights of any metric here; looked for {names}, and for their checksums")
    return list(kept.values()), [line for key, line in refused if key not in kept]


def _copy(file: WeightsFile, source: Path) -> Kept:
    target = weights_folder() / file.file
    if source.resolve() == target.resolve():
        return _kept(file, _checked(file, source, str(source)), str(source))
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
        checksum = _checked(file, temporary, str(source))  # the copy: its source may change meanwhile
    return _kept(file, checksum, str(source))


def _checked(file: WeightsFile, path: Path, origin: str) -> str:
    """SHA-256 of a file that is to be kept; ValueError if it is not the published one."""
    checksum = sha256(path)
    if not checksum.startswith(file.digest):
        raise ValueError(f"{origin}: not the published file (SHA-256 {checksum}, {file.digest} expected)")
    return checksum


def _kept(file: WeightsFile, digest: str, origin: str) -> Kept:
    if not file.digest:
        record(file.file, digest)
    return Kept(file, weights_folder() / file.file, digest, origin)


def _may_be(file: WeightsFile, path: Path) -> bool:
    """Whether a file under another name is worth hashing; without a published checksum only its names count."""
    return bool(file.digest) and path.suffix in SUFFIXES and _right_size(file, path)


def _right_size(file: WeightsFile, path: Path) -> bool:
    return abs(path.stat().st_size / 1e6 - file.megabytes) <= max(TOLERANCE * file.megabytes, 0.6)


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, in order; linked folders are not entered, unreadable ones passed over."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        paths = (Path(place, name) for name in sorted(names))
        yield from (path for path in paths if path.is_file() and os.access(path, os.R_OK))


def _line(error: Exception) -> str:
    """The kind of an error and the end of its message, which is where requests puts the cause."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 120 else '...' + text[-117:]}"
