"""`python tests/lean.py EXTRAS ARGUMENT...`: `jscgc ARGUMENT...` with only those packages in sight that `pip install .` brings.

EXTRAS are separated by commas, `-` is none. What is installed beside them can neither be imported nor found.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(name: str) -> str:
    """A distribution's name as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(*extras: str) -> Iterator[Requirement]:
    """The project's direct requirements, and those of extras; of an extra that has others, theirs too."""
    for text in [*PROJECT["dependencies"], *(text for e in extras for text in PROJECT["optional-dependencies"][e])]:
        requirement = Requirement(text)
        if requirement.name == "jscgc":
            yield from asked(*requirement.extras)
        else:
            yield requirement


def brought(*extras: str) -> set[str]:
    """Names of the distributions that an installation has, as far as they are here."""
    found: dict[str, set[str]] = {}
    left = list(asked(*extras))
    while left:
        requirement = left.pop()
        name = plain(requirement.name)
        if name in found and requirement.extras <= found[name]:
            continue
        found.setdefault(name, set()).update(requirement.extras)
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        for needed in map(Requirement, texts):
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in ("", *found[name])):
                left.append(needed)
    return found.keys() | {"jscgc"}


class Lean:
    """Python's finder of installed packages, for some of them."""

    def __init__(self, kept: set[str]) -> None:
        owners = metadata.packages_distributions()
        self._kept = kept
        self._hidden = {module for module, names in owners.items() if not kept & set(map(plain, names))}

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self._hidden else PathFinder.find_spec(name, path, target)

    def find_distributions(self, *context):
        found = PathFinder.find_distributions(*context)
        return (distribution for distribution in found if plain(distribution.metadata["Name"]) in self._kept)

    def invalidate_caches(self) -> None:
        PathFinder.invalidate_caches()


if __name__ == "__main__":
    extras, *sys.argv[1:] = sys.argv[1:]
    lean = Lean(brought(*(extras.split(",") if extras != "-" else ())))
    sys.meta_path = [lean if finder is PathFinder else finder for finder in sys.meta_path]
    from jscgc.cli import main

    sys.exit(main())
