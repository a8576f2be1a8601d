"""Where a project keeps what no commit has: databases, results, checkpoints and records, in `.jscgc` of its main checkout."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

FOLDER = ".jscgc"


def main_checkout(root: Path = Path()) -> Path:
    """The checkout whose `.jscgc` is used, absolute: the project itself.

    A copy that DVC makes for an experiment (`dvc exp run --temp`, `dvc queue start`) lies in `.dvc/tmp/exps` of the checkout and
    is removed afterwards: what must outlive it is kept in the checkout.
    """
    root = root.resolve()
    copies = (parent for parent in root.parents if root.is_relative_to(parent / ".dvc" / "tmp" / "exps"))
    return next(copies, root)


def home(root: Path = Path()) -> Path:
    """The folder `.jscgc` of the main checkout, absolute."""
    return main_checkout(root) / FOLDER


def in_uris(folder: Path) -> Path:
    """The same folder, by a path that libraries can put into a URI.

    MLflow and SQLAlchemy decode a path that was never encoded: from `my%20project` they write into `my project`, next to it. A
    path with such characters gets a link of a plain name, in the user's cache folder, else in a temporary one.

    Raises:
        OSError: no link can be made.
    """
    folder = folder.resolve()
    if _plain(folder):
        return folder
    from platformdirs import user_cache_path

    places = (user_cache_path("jscgc"), Path(tempfile.gettempdir()) / f"jscgc-{os.getuid()}")
    failed: OSError | None = None
    for place in filter(_plain, places):
        try:
            return _link(place / "projects", folder)
        except OSError as error:
            failed = error
    raise OSError(f"{folder}: MLflow can't work in a folder of this name, and no link to it can be made ({failed})")


def _plain(folder: Path) -> bool:
    return re.fullmatch(r"[^%#?;&\\\x00-\x1f\x7f]*", str(folder)) is not None


def _link(place: Path, folder: Path) -> Path:
    place.mkdir(parents=True, mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise PermissionError(f"{place} is another user's")
    link = place / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    if not (link.is_symlink() and link.resolve() == folder):
        temporary = link.with_name(f"{link.name}.{os.getpid()}")
        temporary.symlink_to(folder, target_is_directory=True)
        temporary.replace(link)
    return link
