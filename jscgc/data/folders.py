"""Which files of a folder are photographs, and what is said of those that are not."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from jscgc.config import ParamsError
from jscgc.data.images import extensions
from jscgc.files import NOT_TEXT, plain

log = logging.getLogger(__name__)
_NAMED = 5
"""Most files that a line names."""


def find_photos(folders: Sequence[str | Path]) -> list[Path]:
    """All image files in folders and their subfolders, by extension (any case), each once, sorted.

    What is left out is counted and named in a warning, but for hidden files and folders (thumbnails, macOS resource forks, our
    own temporary folders).

    Raises:
        ParamsError: a folder does not exist or holds no image file; the message names it.
    """
    photos: dict[Path, Path] = {}
    for folder in (Path(f).expanduser() for f in folders):
        if plain(folder) != str(folder):
            raise ParamsError(f"{plain(folder)}: {NOT_TEXT}; rename it")
        if folder.is_file():
            raise ParamsError(f"{folder}: a file; name the folder of photographs that it is in")
        if not folder.is_dir():
            raise ParamsError(f"{folder}: no such folder of photographs")
        every = list(_files(folder))
        images = [path for path in every if path.suffix.lower() in extensions()]
        inside = [path for path in images if plain(path) == str(path)]
        others = [path for path in every if path.suffix.lower() not in extensions()]
        unnamed = [path for path in images if plain(path) != str(path)]
        for left, why in ((others, "extension is no photograph's"), (unnamed, f"name has to be changed ({NOT_TEXT})")):
            if left:
                files = f"{len(left)} file{'s' * (len(left) > 1)}"
                names = listed([plain(path.relative_to(folder)) for path in left])
                log.warning("%s: left out %s whose %s: %s", folder, files, why, names)
        if not inside:
            raise ParamsError(f"{folder}: no photographs in this folder")
        for path in sorted(inside):
            # Not path.resolve, which fails for a link that leads to itself; reading it will say so.
            photos.setdefault(Path(os.path.realpath(path)), path)
    return sorted(photos.values())


def _files(folder: Path) -> list[Path]:
    found = []
    for root, subfolders, files in os.walk(folder):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [Path(root, f) for f in files if not f.startswith(".")]
    return found


def listed(names: Sequence[str]) -> str:
    """The first few by name, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more
