"""Files that are whole or not there: write to a temporary name, then rename."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent / "pretrained"
"""The trained models that come with the package."""
NOT_TEXT = "the name is not UTF-8, and shown with escapes"
"""Of a file or folder whose `plain` name differs from its own."""
MOST_BYTES = 200
"""Of a component of a path that `component` makes: file systems take 255, and endings are added."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` only if the block succeeds. Works for folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)  # what a killed process of the same number left; numbers come again, in containers soon
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


def plain(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def component(name: str) -> str:
    """A name as one component of a path: itself where it is one; else what is safe of it, and part of its checksum."""
    safe = re.sub(r"[/\\\0]+", "_", name)
    if safe == name and len(name.encode()) <= MOST_BYTES and name not in ("", ".", ".."):
        return name
    short = safe.encode()[: MOST_BYTES - 13].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def held(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock that `path` stands for; it falls with the process, however it ends.

    Args:
        otherwise: what to say if another process holds it, with `{holder}` for its number.

    Raises:
        ValueError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "unknown"
            raise ValueError(otherwise.replace("{holder}", holder)) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write safetensors; give a name from `atomic`.

    Raises:
        OSError: the disk is full, or the like (safetensors has an error of its own for that).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path.parent}: can't write weights: {error}") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON (no NaN: it is not JSON) atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: not JSON; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: not valid JSON (nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None


def companion(folder: Path, model: str) -> Path:
    """Where a model that the one in `folder` needs lies: within it, if it was made to be taken elsewhere, else beside it."""
    within = folder / model
    return within if within.is_dir() else folder.parent / model


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            total.update(os.fsencode(file.relative_to(path).as_posix()) + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def check_file(path: Path, columns: Iterable[str] = ()) -> None:
    """Whether a file can be written there, asked before the work that ends in it; what is missing above it is made then.

    Args:
        columns: of the table that it will be. A file that is there is replaced only if it has these, too: it is one of ours.

    Raises:
        ValueError: a folder is there, somebody's other file, or something that is no folder above it.
        OSError: nothing can be written there.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if (wanted := set(columns)) and path.is_file():
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            if not wanted <= set(stream.readline(2000).strip().split(",")):
                raise ValueError(f"{path} is there and no table of ours; name another file, or remove it")
    _check_place(path, path.parent)


def check_folder(path: Path) -> None:
    """The same of files in a folder, and of the folder where it is not there yet; errors as `check_file`."""
    if not path.is_dir() and os.path.lexists(path):
        raise ValueError(f"{path} is no folder; name one, or a new one")
    _check_place(path, path)


def _check_place(path: Path, folder: Path) -> None:
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{path}: {folder} is no folder")
    try:
        # Modes of files say little: of root, of a file system that is read-only or full.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{path}: nothing can be written into {folder.absolute()} ({error.strerror})") from None
