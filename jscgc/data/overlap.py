"""Near-duplicates between training and test photographs, found by a perceptual hash.

A photograph has the 256-bit `phash` of the library imagehash of the whole in its eight orientations, and of nineteen frames: the
whole, and crops of 95% and 90% of its sides at three places along each. The distance of two is the least Hamming distance
between the frames of either and the orientations of the other.

Measured, in bits of 256: edits of 700 photographs; 2.5 million pairs of different ones (4124 of a training set, 2300 of them
Caltech-101 with its drawings on white; BSDS500, Kodak, CID22, gb82 and the built-in ones).

    at most 12  reduced to 1/2 or 1/4, JPEG of quality 30, grey, turned
    at most 18  mirrored, cropped by 5%, reduced to 1/2 and made lighter, all at once
    at most 42  30% lighter or darker, gamma 0.6 or 1.6
    at most 44  cropped by 5%, anywhere
    at most 64  cropped by 10%; 3% of those are more than 56
    68 and up   different photographs

So no second look at pixels is needed. Of the 8.5 million pairs within that training set 89 are near; looked at from 20 bits on,
they are copies, recoloured drawings, stop signs, and a few objects of one shape on white (pianos, two starfish, two shells). The
whole without frames leaves no gap: cropped by 5% up to 110, different from 76; nor do 64 bits (22 and 10), dhash (105 and 45) or
whash, by which different drawings are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from jscgc.data.images import Pixels, open_photo
from jscgc.data.progress import progress

NEAR = 56
"""Bits of 256: photographs at most so far apart are near-duplicates."""

SIDE = 128
"""Of the grey square that is hashed, pixels."""
_HASH = 16
"""Bits of a hash per side."""
_FRAMES = [(0.0, 0.0, 1.0)] + [
    (left * (1 - side), top * (1 - side), side) for side in (0.95, 0.9) for top in (0, 0.5, 1) for left in (0, 0.5, 1)
]
"""Left, top and side as shares of the photograph's."""

_BLOCK = 1024
"""Training photographs compared at once."""

Bits = npt.NDArray[np.uint64]
"""Hashes, 64 bits a word."""


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of a photograph."""

    frames: Bits
    """[19, 4]: the whole and its crops."""
    turns: Bits
    """[8, 4]: the whole as it is, mirrored and turned."""


@dataclass(frozen=True, order=True)
class Pair:
    """How many bits of 256 a training and a test photograph, by name, are apart."""

    distance: int
    train: str
    test: str


@dataclass(frozen=True)
class Overlap:
    """What a comparison found."""

    near: list[Pair]
    """The near-duplicates, closest first."""
    closest: Pair | None
    """Of the pairs that are none; None if all are."""


def fingerprint(photo: Pixels) -> Fingerprint:
    """Of a photograph, uint8 [H, W, 3]."""
    grey = Image.fromarray(photo).convert("L")
    square = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3)
    frames = []
    for left, top, side in _FRAMES:
        box = (SIDE * left, SIDE * top, SIDE * (left + side), SIDE * (top + side))
        # 4 pixels a bit are what phash reduces to.
        frames.append(square.resize((4 * _HASH, 4 * _HASH), Image.Resampling.LANCZOS, box))
    return Fingerprint(_hashes(frames), _hashes([frames[0], *map(frames[0].transpose, Image.Transpose)]))


def _hashes(squares: Sequence[Image.Image]) -> Bits:
    from imagehash import phash

    return np.packbits([phash(square, _HASH).hash.ravel() for square in squares], axis=-1).view(np.uint64)


def read_fingerprint(path: Path) -> Fingerprint:
    """Of a file.

    Raises:
        PhotoError: it cannot be read.
    """
    return fingerprint(open_photo(path, least=2 * SIDE))


def join(prints: Sequence[Fingerprint]) -> Bits:
    """[N, 27, 4]: as one array, to be stored."""
    return np.array([np.concatenate([one.frames, one.turns]) for one in prints]).reshape(len(prints), -1, 4)


def parts(joined: Bits) -> list[Fingerprint]:
    """What was joined."""
    return [Fingerprint(one[: len(_FRAMES)], one[len(_FRAMES) :]) for one in joined]


def compare(train: Sequence[tuple[str, Fingerprint]], test: Sequence[tuple[str, Fingerprint]]) -> Overlap:
    """Each training with each test photograph, both as name and fingerprint, at least one of both."""
    near: list[Pair] = []
    others: dict[str, Pair] = {}
    # In blocks that a processor's cache holds: half a million training photographs with 24 others take half a minute.
    for start in progress(range(0, len(train), _BLOCK), "comparisons"):
        block = train[start : start + _BLOCK]
        frames = np.stack([one.frames for _, one in block], axis=-1)
        turns = np.stack([one.turns for _, one in block], axis=-1)
        for name, one in test:
            apart = np.minimum(_least(frames, one.turns), _least(turns, one.frames))
            near += [Pair(int(apart[i]), block[i][0], name) for i in np.flatnonzero(apart <= NEAR).tolist()]
            i = int(np.where(apart > NEAR, apart, 1000).argmin())
            if apart[i] > NEAR and (name not in others or apart[i] < others[name].distance):
                others[name] = Pair(int(apart[i]), block[i][0], name)
    return Overlap(sorted(near), min(others.values(), default=None))


def _least(hashes: Bits, others: Bits) -> npt.NDArray[np.uint16]:
    """[K, 4, N] and [J, 4] -> [N]: each of N photographs' least Hamming distance of K times J."""
    apart = [np.bitwise_count(hashes ^ other[:, None]).sum(axis=1, dtype=np.uint16).min(axis=0) for other in others]
    least: npt.NDArray[np.uint16] = np.min(apart, axis=0)
    return least
