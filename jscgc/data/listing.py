"""`data.list_file`: a file that says which photographs of the training folders are used, and what is known of each.

One photograph a line, separated by commas or tabs. A first line of names is followed by the columns

    ImageID, image_id, id, file or path   which one: the file's name without its ending (an id of Open Images), or its path below
                                          the folder, with or without the ending
    rotation                              0, 90, 180 or 270: degrees to turn it counterclockwise, in place of what EXIF says;
                                          empty or nan: unknown
    split or subset                       train, validation (val) or test
    license or licence                    for the manifest

in any order and any case, and others that are not looked at: Open Images' own `image_ids_and_rotation.csv` is such a file.
Without a first line of names there is one column, of ids or paths; `train/ID`, as Open Images' downloader takes them, is the id.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from jscgc.config import ParamsError
from jscgc.data.images import ROTATIONS, extensions
from jscgc.data.photo import SPLITS, Photo, Split

_IDS = ("imageid", "image_id", "id", "file", "path")
_ROTATION, _SPLIT, _LICENCE = ("rotation",), ("split", "subset"), ("license", "licence")
_SIDES: dict[str, Split] = {"val": "validation", **{split: split for split in SPLITS}}
_KEPT = 5
"""Names of photographs that are not there which are remembered."""


@dataclass
class Chosen:
    """photos: those that the list names. splits: whether it says on which side each is. missing: how many of the list are in no
    folder, and the first of them by name. unlisted: how many of the folders are not in the list."""

    photos: list[Photo]
    splits: bool
    missing: int = 0
    first_missing: list[str] = field(default_factory=list)
    unlisted: int = 0


@dataclass(frozen=True)
class _Line:
    number: int
    key: str
    rotation: int | None
    split: Split | None
    licence: str


def choose(file: Path, photos: Sequence[Photo]) -> Chosen:
    """What a list names of the photographs of the training folders, whose names are their relative paths.

    The file is read line by line: it may name millions of which only some are there.

    Raises:
        ParamsError: no such file, no list, or a line that is wrong or stands for two photographs; names file and line.
    """
    known = _Names(photos)
    chosen: dict[int, tuple[_Line, Photo]] = {}
    splits = False
    result = Chosen([], False)
    for line in _lines(file):
        splits = line.split is not None
        found = known.find(line.key)
        where = f"{file}, line {line.number}"
        if len(found) > 1:
            pair = " and ".join(photos[index].source for index in found[:2])
            raise ParamsError(f"{where}: {line.key} stands for {pair}; list their relative paths")
        if not found:
            result.missing += 1
            if len(result.first_missing) < _KEPT:
                result.first_missing.append(line.key)
            continue
        photo = photos[found[0]]
        photo = replace(
            photo, rotation=line.rotation, split=line.split or photo.split, licence=line.licence or photo.licence
        )
        before, known_as = chosen.setdefault(found[0], (line, photo))
        if known_as != photo:
            raise ParamsError(f"{where}: {line.key} is there twice, and line {before.number} says something else of it")
    result.photos = [photo for _, (_, photo) in sorted(chosen.items())]
    result.splits = splits
    result.unlisted = len(photos) - len(chosen)
    if not chosen:
        names = ", ".join(result.first_missing)
        raise ParamsError(f"{file}: none of its {result.missing} photographs is in the folders of data.train ({names})")
    return result


class _Names:
    """Which photographs a key may stand for."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._paths: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        for index, photo in enumerate(photos):
            path = PurePosixPath(photo.name)
            bare = path.with_suffix("")
            for key in {str(path), str(bare)}:
                self._paths.setdefault(key, []).append(index)
            self._stems.setdefault(bare.name, []).append(index)

    def find(self, key: str) -> list[int]:
        path = PurePosixPath(key)
        if found := self._paths.get(str(path)):
            return found
        return [] if path.suffix.lower() in extensions() else self._stems.get(path.name, [])


def _lines(file: Path) -> Iterator[_Line]:
    try:
        # `utf-8-sig`: spreadsheets put a mark before the first name.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from _rows(file, csv.reader(stream, delimiter=_delimiter(file)))
    except FileNotFoundError:
        raise ParamsError(f"data.list_file: {file}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"data.list_file: {file}: can't be read as a list ({error})") from None


def _delimiter(file: Path) -> str:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return "\t" if "\t" in stream.readline(10_000) else ","


def _rows(file: Path, rows: Iterator[list[str]]) -> Iterator[_Line]:
    names: list[str] | None = None
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if names is None:
            names = [cell.lower() for cell in cells]
            if not set(names) & set(_IDS):
                if len(cells) > 1:
                    raise ParamsError(
                        f"{file}, line {number}: several columns and no name of one that holds ids or paths; name it "
                        f"{' or '.join(_IDS)}"
                    )
                names = [_IDS[0]]
            else:
                continue
        cell = dict(zip(names, cells, strict=False))
        where = f"{file}, line {number}"
        key = _of(cell, _IDS)
        if not key:
            raise ParamsError(f"{where}: no id or path")
        split = _split(_of(cell, _SPLIT), where) if set(_SPLIT) & set(names) else None
        yield _Line(number, key, _rotation(_of(cell, _ROTATION), where), split, _of(cell, _LICENCE))


def _of(cell: dict[str, str], names: Sequence[str]) -> str:
    return next((cell[name] for name in names if name in cell), "")


def _split(text: str, where: str) -> Split:
    if text.lower() not in _SIDES:
        raise ParamsError(f"{where}: split {text!r} is none of {', '.join(SPLITS)}")
    return _SIDES[text.lower()]


def _rotation(text: str, where: str) -> int | None:
    if text.lower() in ("", "nan"):
        return None
    try:
        degrees = float(text)
    except ValueError:
        degrees = -1.0
    if degrees not in ROTATIONS:
        raise ParamsError(f"{where}: rotation {text!r} is none of {', '.join(map(str, ROTATIONS))}")
    return int(degrees)
