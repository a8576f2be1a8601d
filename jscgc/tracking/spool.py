"""The spool: where a stage's record waits, how its lines are read, and names that MLflow takes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jscgc.files import sha256
from jscgc.project import home

EXPERIMENT = "jscgc"
LINKED_BYTES = 1 << 20
"""Files above are linked into the spool."""
LONGEST = 600
"""Characters of an error: MLflow's longest with a remedy, of an older database schema, has 330 and a path."""


def spool_folder(root: Path) -> Path:
    """Where stages leave their records."""
    return home(root) / "spool"


def records_of(folder: Path, stem: str) -> dict[int, Path]:
    """The records `<stem>-<time>.jsonl` that wait in a folder, by their time, oldest first."""
    records = {}
    for path in folder.glob(f"{stem}-*.jsonl"):
        name, _, when = path.stem.rpartition("-")
        if name == stem and when.isdigit():
            records[int(when)] = path
    return dict(sorted(records.items()))


def new_record(root: Path, stem: str) -> Path:
    """Where a record that begins now is written: with a time after every one of the same stem that still waits.

    They are delivered in the order of their times, so that two of the same millisecond, or a clock that was set back, must
    not give an older time or the same file.
    """
    folder = spool_folder(root)
    return folder / f"{stem}-{max([now_ms(), *(when + 1 for when in records_of(folder, stem))])}.jsonl"


def kept_files(record: Path) -> Path:
    """Where a record's artifacts wait beside it."""
    return record.with_suffix(".files")


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock on a file; without waiting, yield whether it was free (and is still there)."""
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield path.exists()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock on the folder, which is made if need be; waits for it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def parse(line: bytes) -> dict[str, Any] | None:
    """A line of a spool; None if it is none."""
    try:
        entry = json.loads(line)
    except ValueError:  # torn by a full disk or a kill
        return None
    return entry if isinstance(entry, dict) else None


def stamp(path: Path) -> list[int | str] | None:
    """Number, bytes and content of the file(s), by which another run's are noticed; not their times: DVC puts copies in place."""
    if not path.exists():
        return None
    sizes = [p.stat().st_size for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()]
    return [len(sizes), sum(sizes), sha256(path)]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as MLflow's, names joined by dots; numbers plain (`0.001`), as parallel coordinates need them."""
    result: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return result


def clean(name: str) -> str:
    """A name that MLflow takes: no '@', and normal as a path."""
    parts = [part for part in re.sub(r"[^\w\-. :/]", "_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:250].rstrip("/") or "_"


def redact(text: str) -> str:
    """Without the user and password of an address."""
    return re.sub(r"://[^/\s@]*@", "://", text)


def reason(error: Exception) -> str:
    """An error in one line; a long one is cut between two words, and says so."""
    text = redact(" ".join(str(error).split()) or type(error).__name__)
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rsplit(' ', 1)[0]} ..."


def say(message: str) -> None:
    """One line on stderr."""
    print(f"tracking: {message}", file=sys.stderr, flush=True)


def keep(path: Path, place: Path) -> Path:
    """A copy of a file or folder, of the same name, in folder `place`, so that it is there when the original is not any more.

    What is large is linked, which takes no time: nothing of ours writes into a file that is there.

    Raises:
        OSError: it is not there, or there is no room.
    """

    def one(source: str, target: str) -> str:
        if os.stat(source).st_size > LINKED_BYTES:
            with suppress(OSError):
                os.link(source, target)
                return target
        return str(shutil.copyfile(source, target))

    place.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        return Path(one(str(path), str(place / path.name)))
    return Path(shutil.copytree(path, place / path.name, copy_function=one))


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
