"""Several folders of models: which trainings of each method there are, counted once where two are the same weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from jscgc.config import digest
from jscgc.files import read_json, sha256
from jscgc.method import METHODS
from jscgc.systems.load import finetuned

log = logging.getLogger(__name__)


def trainings(methods: Sequence[str], folders: Sequence[Path], warn: bool = True) -> dict[str, tuple[int, ...]]:
    """Method -> the numbers of the folders with a training of it; of a method that is not trained 0.

    A folder without the method is passed over. Weights that an earlier folder has, too, are no other training; with `warn` one
    line says so.

    Raises:
        ValueError: a method is in none of several folders.
    """
    return {method: _of(method, folders, warn) for method in methods}


def _of(method: str, folders: Sequence[Path], warn: bool) -> tuple[int, ...]:
    if METHODS[method].network is None or len(folders) == 1:
        return (0,)
    found: dict[str, int] = {}
    for number, models in enumerate(folders):
        if not (models / method / "model.json").exists():
            continue
        tuned = [models / name for name, _ in finetuned(method, models)]
        first = found.setdefault(digest([_learnt(folder) for folder in (models / method, *tuned)]), number)
        if first != number and warn:
            log.warning(
                "%s: the same weights as in %s, no other training of it; counted once", models / method, folders[first]
            )
    if not found:
        raise ValueError(
            f"{method}: no trained model in {', '.join(map(str, folders))}; train with `dvc repro`, or name others with --models"
        )
    return tuple(found.values())


def _learnt(folder: Path) -> str:
    """Of the weights and what is built for them; how they came about tells no two apart."""
    description = read_json(folder / "model.json")
    description.pop("trained", None)
    return digest(description, sha256(folder / "weights.safetensors"))
