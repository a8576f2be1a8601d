"""What is read in the received photograph against what is read in the original."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor

from jscgc.metrics import PairMetric, pair_metric, registry
from jscgc.metrics.kinds.text import (
    DETECTOR,
    METRIC,
    RECOGNISER,
    _error,
    levenshtein,
    plain,
    writing,
)
from jscgc.metrics.networks.text import Line, Reader, shared

NOWHERE = np.zeros((4, 2), np.float32)
WORDS = ("Harbour Street", "OPEN 24 HOURS", "Fresh bread")
OTHERS = ("Mountain Road", "CLOSED TODAY!", "Cold drinks")


@pytest.fixture(scope="module")
def metric() -> PairMetric:
    return pair_metric("text_error_ppocr")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return shared(DETECTOR.verified(), RECOGNISER.verified())


def sign(*words: str, width: int = 360) -> Tensor:
    """Dark words on a wall, one below the other, [1,3,H,W]."""
    picture = Image.new("RGB", (width, 200), (196, 188, 170))
    for place, line in enumerate(words):
        ImageDraw.Draw(picture).text((24, 16 + 60 * place), line, (30, 30, 60), ImageFont.load_default(size=34))
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 255


def saved(images: Tensor) -> np.ndarray:
    return (images[0] * 255).round().byte().permute(1, 2, 0).numpy()


def test_what_is_drawn_is_read(reader: Reader) -> None:
    assert [plain(line.text) for line in writing(reader, saved(sign(*WORDS)))] == [plain(word) for word in WORDS]


def test_an_exact_copy_has_no_error_and_other_words_are_wrong(metric: PairMetric) -> None:
    assert metric(sign(*WORDS), sign(*WORDS)).item() == 0.0
    assert metric(sign(*WORDS), sign(*OTHERS)).item() > 0.6
    assert metric(sign(*WORDS), sign()).item() == 1.0
    received = metric(sign("Harbour Street"), sign("Harbour Straat")).item()
    assert received == pytest.approx(2 / 13)


def test_more_spoilt_is_less_read(metric: PairMetric, pictures: SimpleNamespace) -> None:
    original = sign(*WORDS)
    for spoil, strengths in ((pictures.blur, (0.5, 4, 6, 12)), (pictures.noise, (0.02, 0.6, 1.5, 8))):
        errors = [metric(original, spoil(original, strength)).item() for strength in strengths]
        assert errors == sorted(errors) and errors[0] == 0 and errors[-1] > 0.8
    errors = [metric(original, pictures.jpeg(original, quality)).item() for quality in (90, 10, 1)]
    assert errors == sorted(errors) and errors[0] == 0


def test_small_writing_is_lost_by_a_reduction(metric: PairMetric) -> None:
    """A printed page, 384 x 191 pixels: at a third of that half of it is lost, at a sixth all."""
    page = torch.from_numpy(np.stack([data.page()] * 3)).float()[None] / 255

    def reduced(factor: int) -> Tensor:
        small = torch.nn.functional.avg_pool2d(page, factor, ceil_mode=True)
        return torch.nn.functional.interpolate(small, page.shape[-2:], mode="bicubic").clamp(0, 1)

    errors = [metric(page, received).item() for received in (page, reduced(3), reduced(6))]
    assert errors[0] == 0 and 0.3 < errors[1] < errors[2] and errors[2] > 0.9


def test_a_photograph_without_writing_does_not_count(metric: PairMetric, chelsea: Tensor) -> None:
    assert metric(chelsea, chelsea).isnan().all()
    assert metric(sign("24"), sign("24")).isnan().all()  # too few characters


def test_writing_that_was_not_sent_is_not_seen(metric: PairMetric, chelsea: Tensor) -> None:
    one = ("Harbour Street",)
    assert metric(sign(*one), sign(*one, "", "Fresh bread")).item() == 0.0
    assert metric(chelsea, sign("OPEN", width=192)[:, :, :192]).isnan().all()


def test_a_value_depends_on_its_pair_alone(metric: PairMetric, pictures: SimpleNamespace) -> None:
    sent = torch.cat([sign(*WORDS), sign("Fresh bread"), sign()])
    got = torch.cat([pictures.blur(sent[i : i + 1], 4) for i in range(3)])
    together = metric(sent, got)
    alone = torch.cat([metric(sent[i : i + 1], got[i : i + 1]) for i in range(3)])
    assert together.dtype == torch.float32 and together.shape == (3,)
    assert torch.equal(together.nan_to_num(-1), alone.nan_to_num(-1)) and together.isnan().tolist() == [0, 0, 1]


def test_a_line_does_not_depend_on_the_others(reader: Reader) -> None:
    photo = saved(sign(*WORDS, width=700))
    lines = reader.lines(photo)
    for line in lines:
        (alone,) = reader.read(photo, [line.corners])
        assert (alone.text, alone.confidence) == (line.text, line.confidence)


def test_the_original_is_looked_at_once(metric: PairMetric, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    find = reader._find
    monkeypatch.setattr(reader, "_find", lambda photo: looked.append(1) or find(photo))
    for received in (sign("Remember me"), sign("Something else"), sign()):
        metric(sign("Remember me"), received)
    assert looked == [1]


@pytest.mark.parametrize("shape", [(1, 1), (8, 9), (3, 400), (900, 40), (16, 2500)])
def test_photographs_of_any_shape(metric: PairMetric, shape: tuple[int, int]) -> None:
    photo = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    assert metric(photo, photo).item() != 1.0


class Told:
    """Reads what it was told to."""

    def __init__(self, sent: list[tuple[str, float]], got: list[str]) -> None:
        self._sent = tuple(Line(NOWHERE, *line) for line in sent)
        self._got = tuple(Line(NOWHERE, text, 0.1) for text in got)

    def lines(self, photo: np.ndarray) -> tuple[Line, ...]:
        return self._sent

    def read(self, photo: np.ndarray, places: list[np.ndarray]) -> tuple[Line, ...]:
        return self._got


@pytest.mark.parametrize(
    ("sent", "got", "error"),
    [
        ([("Stop here", 0.9)], ["STOP HERE"], 0.0),
        ([("ＡＢＣ：", 1.0)], ["abc:"], 0.0),  # wide forms
        ([("abcd", 1.0), ("abcdef", 1.0)], ["abxd", ""], 0.7),  # characters count, not lines
        ([("abcd", 1.0), ("unsure", 0.89), ("no", 1.0), ("-.,:!", 1.0)], ["abc"], 0.25),
        ([("abc", 1.0)], ["quite another, longer text"], 1.0),
        ([("abc", 0.5)], [], math.nan),
        ([], [], math.nan),
    ],
)
def test_the_error_is_a_share_of_characters(sent: list[tuple[str, float]], got: list[str], error: float) -> None:
    photo = np.zeros((8, 8, 3), np.uint8)
    assert _error(Told(sent, got), photo, photo) == pytest.approx(error, nan_ok=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "abc", 0)],
)
def test_levenshtein(first: str, second: str, distance: int) -> None:
    assert levenshtein(first, second) == levenshtein(second, first) == distance


def test_its_networks_are_the_published_ones(tmp_path: Path) -> None:
    assert METRIC.info.network == RECOGNISER.key and set(METRIC.weights) == {RECOGNISER, DETECTOR}
    for file in METRIC.weights:
        assert file.state() == "verified" and file in registry.files()
        other = tmp_path / file.file
        other.write_bytes(b"something else")
        with pytest.raises(ValueError, match="not the published weights"):
            dataclasses.replace(file, elsewhere=lambda other=other: (other,)).verified()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    Reader(DETECTOR.verified(), RECOGNISER.verified()).lines(saved(sign("Quiet please")))
    assert capfd.readouterr() == ("", "")


def test_saying_what_there_is_loads_no_ocr() -> None:
    code = "import sys, jscgc.metrics as m; m.available(); print(*{'cv2', 'onnxruntime', 'torch'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True)
    assert told.stdout == b"\n"
