"""Does the writing in a photograph still say the same?"""

from __future__ import annotations

import math
import unicodedata
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import as_bytes, check_pair
from jscgc.metrics.weights import WeightsFile, carried

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores
    from jscgc.metrics.networks.text import Line, Pixels, Reader

CONFIDENCE = 0.9
"""Of the original's lines, at least. All 16 that Kodak, CID22, gb82 and BSDS500's validation set then have are read rightly; at
0.8 the original's first misreading is among them."""
CHARACTERS = 3
"""Letters or digits of the original's lines, at least: one or two are found in fences and foliage too."""

_PACKAGE = "rapidocr-onnxruntime==1.4.4"
_file = partial(WeightsFile, licence="Apache-2.0 (PaddleOCR)", package=_PACKAGE)
_models = partial(carried, "rapidocr_onnxruntime")
RECOGNISER = _file(
    key="ppocr",
    name="PP-OCRv4, recogniser",
    file="ch_PP-OCRv4_rec_infer.onnx",
    megabytes=11,
    digest="48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    elsewhere=_models("models/ch_PP-OCRv4_rec_infer.onnx"),
)
DETECTOR = _file(
    key="ppocr_detector",
    name="PP-OCRv4, detector",
    file="ch_PP-OCRv4_det_infer.onnx",
    megabytes=5,
    digest="d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    elsewhere=_models("models/ch_PP-OCRv4_det_infer.onnx"),
)
INFO = MetricInfo(
    name="text_error_ppocr",
    label="text error (PP-OCR)",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation="character error rate, of what is read by Du et al., PP-OCR: A Practical Ultra Lightweight OCR System, 2020 (v4)",
    scope="pair",
    axis="semantics",
    network=RECOGNISER.key,
)


class TextError:
    """Share of the original's characters that are read otherwise in the received photograph; lower is better, in [0, 1].

    An OCR finds and reads lines in the original, at native resolution; those count that it reads with confidence. In the
    received photograph it reads at the same places, whatever its detector would find there: a line that is missed by the
    detector but can be read is no error, and writing elsewhere is no excuse (nor is it counted). The value is the sum
    over lines of the Levenshtein distance of both texts, without spaces and in lower case, by the number of the
    original's characters, at most 1.

    NaN where the original has no writing by this rule: such a photograph says nothing of it. Of the images as saved, on
    the CPU.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:  # the package's networks run on the CPU
        from jscgc.metrics.networks.text import shared

        self._reader = shared(DETECTOR.verified(), RECOGNISER.verified())

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Error of each pair; [B,3,H,W] in [0,1] twice -> [B], NaN where there is no writing."""
        import torch

        check_pair(reference, received)
        a, b = (as_bytes(x).permute(0, 2, 3, 1).cpu().numpy() for x in (reference, received))
        errors = [_error(self._reader, *pair) for pair in zip(a, b, strict=True)]
        return torch.tensor(errors, dtype=torch.float32)


def writing(reader: Reader, photo: Pixels) -> list[Line]:
    """The lines of a photograph [H,W,3] that count."""
    return [line for line in reader.lines(photo) if line.confidence >= CONFIDENCE and _counts(line.text)]


def _counts(text: str) -> bool:
    return sum(map(str.isalnum, text)) >= CHARACTERS


def _error(reader: Reader, sent: Pixels, got: Pixels) -> float:
    lines = writing(reader, sent)
    if not lines:
        return math.nan
    read = reader.read(got, [line.corners for line in lines])
    pairs = [(plain(line.text), plain(other.text)) for line, other in zip(lines, read, strict=True)]
    return min(1.0, sum(levenshtein(*pair) for pair in pairs) / sum(len(text) for text, _ in pairs))


def plain(text: str) -> str:
    """Without spaces, in lower case; a character's wide form is the character."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def levenshtein(first: str, second: str) -> int:
    """Fewest characters to insert, delete or replace that make one text the other."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first):
        above, row = row, [i + 1]
        for j, b in enumerate(second):
            row.append(min(above[j] + (a != b), above[j + 1] + 1, row[j] + 1))
    return row[-1]


METRIC = Metric(INFO, TextError, (("rapidocr_onnxruntime", _PACKAGE),), (RECOGNISER, DETECTOR), order=135)
