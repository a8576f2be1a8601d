"""The best file of at most so many bits: at which quality, and of the photo reduced by how much.

    photo -> reduce -> encode, pack -> 3 bits that say how much, file -> unpack, decode -> enlarge

A codec has a smallest file, and near it spends its bits badly: who has few bits sends a smaller picture, which the receiver
enlarges. A larger quality is not always a larger file, nor a smaller error. So what is looked for is no crossing but the least
error among all files that fit: of small pictures all are tried, of larger ones all that can be it (`REACH`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from jscgc.classical.codecs import ImageCodec, decode, encode, made_by, pack
from jscgc.data.images import Pixels
from jscgc.errors import CannotOperate

Bits = npt.NDArray[np.uint8]
"""Zeros and ones [N]."""

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""By which sides may be divided."""
FACTOR_BITS = 3
"""What the choice costs."""
FILTER = Image.Resampling.LANCZOS
"""Both ways."""
LEAST_SIDE = 8
"""Pixels of the shorter side, below which nothing is reduced."""
ALL_TRIED = 96 * 96
"""Pixels of a picture up to which all of its files are tried."""
REACH = 6
"""Of larger pictures no file is smaller than that of a quality more than so many steps below. Measured: 5."""
SLIP = 1.3
"""Nor than the smallest quality's by more than this factor. Measured: 1.25."""
BACK = 2
"""Steps of quality below the last that fits, among which the least error is. Measured: 1."""
CLOSE_DB = 1.5
"""A factor whose file near the budget is worse than another's by more than this is not looked at more closely."""
TUNED_DB = 3.0
"""The same where another distance chooses among the factors."""

Distance = Callable[[Pixels, Pixels], float]
"""(photo, as received) -> how far apart, both uint8 [H,W,3]."""


@dataclass(frozen=True)
class Tuning:
    """By what the factor is chosen, where it is not the squared error.

    name: under which distances are kept.
    """

    name: str
    distance: Distance


@dataclass(frozen=True)
class Fitted:
    """What is sent: the factor's number and the packed file, as bits; and the choice, quality in the codec's own measure.

    encode_ms: that this file once took; the search for it is not counted.
    """

    message: Bits
    factor: float
    quality: float
    encode_ms: float


def fit(codec: ImageCodec, photo: Pixels, budget_bits: int, tuning: Tuning | None = None) -> Fitted:
    """The message of at most budget_bits from which the receiver makes the best picture.

    Args:
        photo: uint8 [H,W,3].
        tuning: choose the factor by this distance; None: by the squared error. Quality goes by the squared error in either case.

    Raises:
        CannotOperate: no file fits, however much the photo is reduced.
    """
    room = budget_bits - FACTOR_BITS
    ladders = _ladders(codec, photo.shape, photo.tobytes())
    if photo.shape[0] * photo.shape[1] > ALL_TRIED or tuning:
        ladders = _promising(ladders, room, TUNED_DB if tuning else CLOSE_DB)
    found = [(ladder, index) for ladder in ladders if (index := ladder.best(room)) is not None]
    if not found:
        smallest = min(ladder.bits(0) for ladder in _ladders(codec, photo.shape, photo.tobytes())) + FACTOR_BITS
        height, width = photo.shape[:2]
        raise CannotOperate(
            f"{codec.name}: the smallest file of this {height}x{width} photo has {smallest} bits, the link carries "
            f"{budget_bits}; raise the CBR or the SNR"
        )

    def far(one: tuple[_Ladder, int]) -> float:
        ladder, index = one
        return ladder.error(index) if tuning is None else ladder.distance(index, tuning)

    ladder, index = min(found, key=far)
    number = np.unpackbits(np.array([FACTORS.index(ladder.factor)], np.uint8))[-FACTOR_BITS:]
    message = np.concatenate([number, np.unpackbits(np.frombuffer(ladder.file(index), np.uint8))])
    return Fitted(message, ladder.factor, codec.qualities[index], ladder.encode_ms(index))


def restore(codec: ImageCodec, message: Bits, height: int, width: int) -> Pixels:
    """The photo, uint8 [H,W,3], from a message and whatever follows it.

    Raises:
        ValueError: damaged.
    """
    number = int(np.packbits(message[:FACTOR_BITS])[0]) >> (8 - FACTOR_BITS)
    if number >= len(FACTORS):
        raise ValueError(f"damaged {codec.name} file: no factor has number {number}")
    file = np.packbits(message[FACTOR_BITS:]).tobytes()
    return _resized(decode(codec, file, *reduced(height, width, FACTORS[number])), height, width)


def reduced(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width of the picture that is encoded."""
    return max(1, round(height / factor)), max(1, round(width / factor))


class _Ladder:
    """The files of one photo reduced by one factor, from the smallest quality up; each is made when it is asked for."""

    def __init__(self, codec: ImageCodec, photo: Pixels, factor: float, measured: _Measured) -> None:
        self.factor = factor
        self._codec, self._photo, self._measured = codec, photo, measured
        self._size = reduced(photo.shape[0], photo.shape[1], factor)
        self._picture = _resized(photo, *self._size)
        self._files: dict[int, bytes] = {}

    def file(self, index: int) -> bytes:
        """The packed file."""
        if index not in self._files:
            start = time.perf_counter()
            made = encode(self._codec, self._picture, self._codec.qualities[index])
            self._files[index] = pack(self._codec, made, *self._size)
            milliseconds = 1000 * (time.perf_counter() - start)
            self._kept(index, "encode_ms", lambda: milliseconds)
        return self._files[index]

    def encode_ms(self, index: int) -> float:
        self.file(index)
        return self._kept(index, "encode_ms", lambda: math.nan)

    def bits(self, index: int) -> int:
        return int(self._kept(index, "bits", lambda: 8 * len(self.file(index))))

    def error(self, index: int) -> float:
        """Mean squared error of what the receiver shows, of values 0..255."""
        return self._kept(index, "error", lambda: _error(self._photo, self._shown(index)))

    def distance(self, index: int, tuning: Tuning) -> float:
        return self._kept(index, tuning.name, lambda: tuning.distance(self._photo, self._shown(index)))

    def least_error(self) -> float:
        """Of the reduction alone."""
        return self._kept(-1, "error", lambda: _error(self._photo, _resized(self._picture, *self._photo.shape[:2])))

    def crossing(self, room: int) -> int | None:
        """A file that fits and is followed by one that does not, or is the last; None: the first does not fit.

        Which of several it is does not depend on what was measured before.
        """
        fits, beyond = 0, len(self._codec.qualities)
        if self.bits(fits) > room:
            return None
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if self.bits(middle) <= room:
                fits = middle
            else:
                beyond = middle
        return fits

    def best(self, room: int) -> int | None:
        """The file of the least error that fits."""
        fitting = [index for index in self._candidates(room) if self.bits(index) <= room]
        return min(fitting, key=self.error, default=None)

    def _candidates(self, room: int) -> Sequence[int]:
        count = len(self._codec.qualities)
        if math.prod(self._size) <= ALL_TRIED:
            return range(count)
        crossing = self.crossing(room)
        if crossing is None:
            return range(1, REACH + 1) if self.bits(0) <= SLIP * room else ()
        last = max(i for i in range(crossing, min(crossing + REACH + 2, count)) if self.bits(i) <= room)
        return range(max(0, min(crossing, last - BACK)), last + 1)

    def _shown(self, index: int) -> Pixels:
        return _resized(decode(self._codec, self.file(index), *self._size), *self._photo.shape[:2])

    def _kept(self, index: int, what: str, measure: Callable[[], float]) -> float:
        return self._measured.get((self.factor, index, what), measure)


def _promising(ladders: Sequence[_Ladder], room: int, within_db: float) -> list[_Ladder]:
    """Without those whose files are worse than another's by more than so many decibels."""
    near: dict[_Ladder, float] = {}
    worst = 10 ** (within_db / 10)
    for ladder in ladders:
        if ladder.least_error() > worst * min(near.values(), default=math.inf):
            continue
        index = ladder.crossing(room)
        # One whose first file does not fit may have a smaller one: it is looked at.
        near[ladder] = math.inf if index is None else ladder.error(index)
    limit = worst * min(near.values(), default=math.inf)
    return [ladder for ladder, error in near.items() if error <= limit or error == math.inf]


@lru_cache(maxsize=8)
def _ladders(codec: ImageCodec, shape: tuple[int, int, int], photo: bytes) -> list[_Ladder]:
    pixels = np.frombuffer(photo, np.uint8).reshape(shape)
    measured = _Measured(_folder(codec) / f"{hashlib.sha256(repr(shape).encode() + photo).hexdigest()}.jsonl")
    factors = [factor for factor in FACTORS if factor == 1 or min(shape[:2]) / factor >= LEAST_SIDE]
    return [_Ladder(codec, pixels, factor, measured) for factor in factors]


Key = tuple[float, int, str]
"""Factor, number of the quality, what was measured."""


class _Measured:
    """What was measured of a photo's files, kept in a file that processes append to.

    Where it can't be written, as in a read-only home, it is kept in memory alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[Key, float] = {}
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                factor, index, what, value = json.loads(line)
                self._values[float(factor), int(index), str(what)] = float(value)
            except (ValueError, TypeError):
                continue  # cut off where a process was killed

    def get(self, key: Key, measure: Callable[[], float]) -> float:
        """The value, measured and kept if it is not there."""
        if key not in self._values:
            self._values[key] = measure()
            self._append(key)
        return self._values[key]

    def _append(self, key: Key) -> None:
        line = json.dumps([*key, self._values[key]]).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                # At once, so that lines of several processes do not mix; the first end closes what a killed one left open.
                os.write(descriptor, b"\n" + line + b"\n")
            finally:
                os.close(descriptor)
        except OSError:
            pass


@cache
def _folder(codec: ImageCodec) -> Path:
    """Where measurements of a codec's files are kept: JSCGC_FILES, else the user's cache folder; of other versions elsewhere."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("JSCGC_FILES")
    root = Path(chosen).expanduser() if chosen else user_cache_path("jscgc") / "files"
    enlarged_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return root / f"{codec.name}-{made_by()}-{enlarged_by}"


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), FILTER))


def _error(photo: Pixels, shown: Pixels) -> float:
    return float(np.mean(np.square(photo.astype(np.float64) - shown)))
