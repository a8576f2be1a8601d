"""PP-OCR, as rapidocr-onnxruntime carries it: where a photograph has writing, and what it says.

    photograph -- detector, shorter side enlarged to 736 pixels --> quadrilaterals, with a margin
    each quadrilateral, from the pixels as they are -- straightened, 48 pixels high -- recogniser --> text, confidence

On one core of the CPU, and each line by itself: beside others it would be padded to the longest, which can change a
character. The package's third network, which turns upside-down lines, is left out: of the lines in our photographs that can
be read it turned three, none of which was upside down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rapidocr_onnxruntime.ch_ppocr_det import TextDetector
from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer
from rapidocr_onnxruntime.main import DEFAULT_CFG_PATH
from rapidocr_onnxruntime.utils import read_yaml

from jscgc.metrics.images import LONGEST

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float32, UInt8

    Pixels = UInt8[np.ndarray, "h w 3"]
    Corners = Float32[np.ndarray, "4 2"]

SMALLEST = 4
"""Pixels of a quadrilateral's shorter side; nothing lower can be read."""
ENLARGED = 736
"""Pixels of the shorter side, to which the package enlarges a photograph."""
TURNED = 1.5
"""Height of a line over its width from which on it is taken to run upwards, as the package has it."""


@dataclass(frozen=True)
class Line:
    """What was read at a place."""

    corners: Corners
    """x, y in pixels: top left, top right, bottom right, bottom left."""
    text: str
    confidence: float
    """Mean probability of its characters, 0 where there are none."""


class Reader:
    """The networks. What was read in a photograph is kept by its content: many received ones are compared with few."""

    def __init__(self, detector: Path, recogniser: Path) -> None:
        settings = read_yaml(DEFAULT_CFG_PATH)
        one = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
        self._detect = TextDetector(settings["Det"] | one | {"model_path": str(detector)})
        self._recognise = TextRecognizer(settings["Rec"] | one | {"model_path": str(recogniser), "rec_batch_num": 1})
        self._known: dict[bytes, tuple[Line, ...]] = {}

    def lines(self, photo: Pixels) -> tuple[Line, ...]:
        """Every line of writing that is found, also where nothing can be read."""
        key = hashlib.blake2b(f"{photo.shape}".encode() + photo.tobytes(), digest_size=32).digest()
        if key not in self._known:
            self._known[key] = self._find(photo)
        return self._known[key]

    def read(self, photo: Pixels, places: Sequence[Corners]) -> tuple[Line, ...]:
        """What stands at these places, whether or not a detector would find it."""
        photo = _bgr(photo)
        found, _ = self._recognise([_straightened(photo, place) for place in places])
        return tuple(
            Line(place, str(text), float(confidence)) for place, (text, confidence) in zip(places, found, strict=True)
        )

    def _find(self, photo: Pixels) -> tuple[Line, ...]:
        height, width = photo.shape[:2]
        if min(height, width) < SMALLEST:
            return ()
        looked_at, scale = _filled(_bgr(photo))
        found, _ = self._detect(looked_at)
        inside = [np.clip(place / scale, 0, (width - 1, height - 1)).astype(np.float32) for place in found]
        places = [place for place in inside if min(_size(place)) >= SMALLEST]
        return self.read(photo, sorted(places, key=lambda place: (place[0, 1], place[0, 0])))


def _bgr(photo: Pixels) -> Pixels:
    return np.ascontiguousarray(photo[..., ::-1])


def _filled(photo: Pixels) -> tuple[Pixels, float]:
    """What the detector looks at, and by what it is smaller than the photograph.

    A strip longer than `LONGEST` times its shorter side is padded to that, or it would be huge when enlarged; one so long that
    this would be more than four times its own pixels is reduced first.
    """
    height, width = photo.shape[:2]
    longer = max(height, width)
    scale = min(1.0, max(LONGEST * ENLARGED, LONGEST * (height * width) ** 0.5) / longer)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    least = -(-max(photo.shape[:2]) // LONGEST)
    below, beside = (max(0, least - side) for side in photo.shape[:2])
    return np.pad(photo, ((0, below), (0, beside), (0, 0))), scale


def _size(corners: Corners) -> tuple[int, int]:
    """Width and height of a quadrilateral in whole pixels: the longer of opposite edges."""
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    return int(edges[[0, 2]].max()), int(edges[[1, 3]].max())


def _straightened(photo: Pixels, corners: Corners) -> Pixels:
    """The quadrilateral as a rectangle, as the package cuts it."""
    width, height = _size(corners)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line: Pixels = cv2.warpPerspective(
        photo,
        cv2.getPerspectiveTransform(corners, target),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.rot90(line) if height >= TURNED * width else line


@cache
def shared(detector: Path, recogniser: Path) -> Reader:
    """The one reader of this process."""
    return Reader(detector, recogniser)
