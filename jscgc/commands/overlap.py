"""`jscgc overlap`: whether training and test photographs overlap."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jscgc.parser import add_json, emit

if TYPE_CHECKING:
    from jscgc.data.overlap import Fingerprint, Pair

DESCRIPTION = """\
Compare all training with all test photographs by a perceptual hash: what was resized, compressed, cropped by a twentieth, made
lighter or grey, mirrored or turned is found. Status 1 if there is a near-duplicate.

  jscgc overlap --train photos/ --test kodak/ cid22/
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `overlap` can be told."""
    add_json(sub)
    for side, what in (("--train", "training"), ("--test", "test")):
        text = f"{what} photographs, searched recursively"
        sub.add_argument(side, nargs="+", type=Path, required=True, metavar="FOLDER", help=text)


def run(a: argparse.Namespace) -> None:
    """Compare and print.

    Raises:
        ValueError: there are near-duplicates, or no readable photograph on one side.
    """
    from jscgc.data.overlap import NEAR, compare

    train, test = _fingerprints(a.train), _fingerprints(a.test)
    found = compare(train, test)
    if a.json:
        closest = asdict(found.closest) if found.closest else None
        near = [asdict(pair) for pair in found.near]
        emit({"train": len(train), "test": len(test), "limit": NEAR, "near_duplicates": near, "closest": closest})
    else:
        for pair in found.near:
            print(_said(pair))
    counted = f"{len(train)} training and {len(test)} test photographs"
    if found.near:
        number = len({pair.train for pair in found.near})
        raise ValueError(
            f"{number} near-duplicate{'s' * (number > 1)} of test photographs among {counted} (at most {NEAR} of 256 bits "
            f"apart): leave {'them' if number > 1 else 'it'} out of training"
        )
    assert found.closest
    if not a.json:
        print(f"no near-duplicate among {counted} (closest: {_said(found.closest)})")


def _said(pair: Pair) -> str:
    return f"{pair.train} / {pair.test} at distance {pair.distance}"


def _fingerprints(folders: Sequence[Path]) -> list[tuple[str, Fingerprint]]:
    """Path and fingerprint of each photograph that can be read; the others are named in a warning."""
    from jscgc.data.folders import find_photos
    from jscgc.data.images import PhotoError
    from jscgc.data.overlap import read_fingerprint
    from jscgc.data.progress import progress

    prints = []
    for path in progress(find_photos(folders), "photographs"):
        try:
            prints.append((str(path), read_fingerprint(path)))
        except PhotoError as error:
            logging.warning("skipped: %s", error)
    if not prints:
        raise ValueError(f"{' '.join(map(str, folders))}: no readable photograph here")
    return prints
