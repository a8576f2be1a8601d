"""What is known about one photograph before it is prepared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Photo:
    """A photograph on disk and its side of the split."""

    name: str
    """Unique within a collection; before collection of a folder: the path relative to that folder."""
    path: Path
    scene: str
    """Photographs of one scene stay on one side of the split; empty before collection: a scene of its own."""
    split: Split
    source: str
    """Where it comes from, for the manifest; independent of the machine where the origin allows it."""
    licence: str
    sha256: str = ""
    """Checksum of the file; empty before collection."""
    rotation: int | None = None
    """Degrees by which its pixels must be turned counterclockwise, where a list says so; None: as EXIF says."""
