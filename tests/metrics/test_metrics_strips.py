"""A strip of a thousand pixels costs what a thousand pixels cost, whatever its sides are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from jscgc.metrics import pair_metric
from jscgc.metrics.images import LONGEST, middle, resize_shorter_side, widened
from jscgc.metrics.kinds import clip, dino
from jscgc.metrics.networks.text import ENLARGED, _filled
from jscgc.metrics.registry import available, info
from jscgc.metrics.scoring import score

STRIPS = [(1, 500), (1, 1000), (1000, 1), (3, 40_000), (100, 5000), (1, 200_000)]
"""Height and width."""


def strip(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [64, 224, 260])
@pytest.mark.parametrize("size", STRIPS)
def test_a_strip_becomes_no_more_than_a_few_squares(size: tuple[int, int], side: int) -> None:
    resized = resize_shorter_side(strip(*size), side)
    height, width = resized.shape[-2:]
    assert min(height, width) == side and (height > width) == (size[0] > size[1])
    assert height * width <= max(LONGEST * side**2, 1.01 * size[0] * size[1])


@pytest.mark.parametrize("size", [(192, 192), (100, 400), (260, 3000), (300, 2400), (50, 199)])
def test_what_is_no_strip_is_scaled_as_ever(size: tuple[int, int]) -> None:
    """Also what is a strip, but has pixels enough."""
    images = strip(*size)
    scale = 260 / min(size)
    whole = [max(260, round(length * scale)) for length in size]
    expected = images
    if min(size) != 260:
        expected = torch.nn.functional.interpolate(images, whole, mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.equal(resize_shorter_side(images, 260), expected)


def test_a_strip_keeps_its_pixels_where_they_are_few() -> None:
    images = strip(1, 240)
    assert widened(images, 64).shape[-2:] == (60, 240)
    assert torch.equal(widened(images, 64), images.expand(-1, -1, 60, -1))
    assert widened(images.mT, 16).shape[-2:] == (240, 16)
    assert widened(strip(50, 50), 64).shape[-2:] == (50, 50)


@pytest.mark.parametrize("size", STRIPS)
def test_the_reader_of_writing_looks_at_as_little(size: tuple[int, int]) -> None:
    photo = np.zeros((*size, 3), np.uint8)
    looked_at, scale = _filled(photo)
    height, width = looked_at.shape[:2]
    assert max(height, width) <= LONGEST * min(height, width)
    assert height * width <= max(LONGEST * ENLARGED**2, 4.1 * size[0] * size[1])
    assert scale == 1 or max(size) * scale == pytest.approx(max(height, width), abs=1)


def test_writing_in_a_reduced_strip_is_found_where_it_stands(pictures: SimpleNamespace) -> None:
    from test_metrics_text import WORDS, saved, sign

    from jscgc.metrics.kinds.text import DETECTOR, RECOGNISER, plain, writing
    from jscgc.metrics.networks.text import shared

    wall = np.full((100, 5000, 3), 190, np.uint8)
    wall[:, 4000:4360] = saved(sign(WORDS[0]))[:100]
    assert _filled(wall)[1] < 0.6
    (line,) = writing(shared(DETECTOR.verified(), RECOGNISER.verified()), wall)
    assert plain(line.text) == plain(WORDS[0]) and 4000 < line.corners[0, 0] < line.corners[1, 0] < 4360


@pytest.mark.parametrize("preprocess", [dino.preprocess, clip.preprocess(clip.MODEL, clip.PRETRAINED)])
def test_of_a_strip_the_middle_is_looked_at(preprocess) -> None:
    assert preprocess(Image.new("RGB", (1, 200_000))).shape[0] == 3  # enlarged whole: 39 GB
    pixels = np.random.default_rng(0).integers(0, 256, (40, 200, 3), np.uint8)
    picture = Image.fromarray(pixels)
    assert middle(picture).size == (160, 40) and middle(picture.crop((0, 0, 160, 40))).size == (160, 40)
    looked_at = preprocess(picture)
    side = looked_at.shape[-1]
    # As if the whole had been enlarged, to the rounding of its size.
    resized = 256 if preprocess is dino.preprocess else side
    by_hand = transforms.Compose(
        [transforms.Resize(resized, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(side)]
    )(picture)
    values = transforms.ToTensor()(by_hand)
    ours = looked_at - looked_at.amin((1, 2), keepdim=True)
    theirs = values - values.amin((1, 2), keepdim=True)
    assert torch.allclose(ours / ours.amax(), theirs / theirs.amax(), atol=0.12)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (20, 30), (31, 31)])
def test_every_metric_has_a_value_or_is_left_out_in_one_line(
    size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    names = [name for name, lacks in available().items() if lacks is None and info(name).scope == "pair"]
    image = strip(*size)[0]
    found = score([pair_metric(name) for name in names], image, image)
    left_out = {message.split(" is left out: ")[0] for message in caplog.messages}
    assert found.keys() | left_out | {"text_error_ppocr"} == set(names) and "psnr" in found
    assert all(message.endswith(f"on the smaller side, not {min(size)}") for message in caplog.messages)
