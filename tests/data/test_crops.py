"""Crops follow from their seed alone, stay inside the photograph and reach all of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jscgc.data.crops import CropSampler, random_crop
from jscgc.data.images import Pixels, save_png


def coordinates(height: int, width: int) -> Pixels:
    """A photograph whose red is the row and green the column."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0] = np.arange(height)[:, None]
    photo[..., 1] = np.arange(width)
    return photo


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    crop=st.integers(1, 33),
    min_scale=st.floats(0.05, 1),
    seed=st.integers(0, 2**32),
)
def test_any_photograph_gives_a_crop_of_the_size_asked(
    height: int, width: int, crop: int, min_scale: float, seed: int
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    first = random_crop(photo, crop, min_scale, np.random.default_rng(seed))
    assert first.shape == (crop, crop, 3) and first.dtype == np.uint8 and first.flags.c_contiguous
    np.testing.assert_array_equal(first, random_crop(photo, crop, min_scale, np.random.default_rng(seed)))


def test_positions_are_uniform() -> None:
    photo, rng = coordinates(12, 14), np.random.default_rng(0)
    draws = [random_crop(photo, 8, 1.0, rng)[..., :2].reshape(-1, 2).min(0) for _ in range(7000)]
    places = Counter((int(y), int(x)) for y, x in draws)
    assert set(places) == {(y, x) for y in range(5) for x in range(7)}
    # 35 places, 200 expected at each; 5 standard deviations.
    assert all(130 < count < 270 for count in places.values())


def test_orientations() -> None:
    photo, rng = coordinates(8, 8), np.random.default_rng(0)
    seen = Counter(random_crop(photo, 8, 1.0, rng).tobytes() for _ in range(4000))
    mirrored = photo[:, ::-1]
    expected = {
        photo.tobytes(): 0.25,
        mirrored.tobytes(): 0.25,
        **{np.rot90(p, k).tobytes(): 0.125 for p in (photo, mirrored) for k in (1, 3)},
    }
    assert set(seen) == set(expected)
    assert all(abs(seen[k] / 4000 - share) < 0.04 for k, share in expected.items())


def test_scales_are_log_uniform_and_at_least_the_smallest() -> None:
    photo, rng = coordinates(250, 250), np.random.default_rng(0)
    spans = []
    for _ in range(800):
        crop = random_crop(photo, 32, 0.25, rng)[..., :2].reshape(-1, 2).astype(int)
        spans.append(max(np.ptp(crop, axis=0)) + 1)
    scales = 32 / np.array(spans)
    # A region of 128 pixels reduced by 4 spans about 125 values.
    assert 0.24 < scales.min() < 0.28 and 0.95 < scales.max() <= 1.05
    # The median of a log-uniform law on [1/4, 1] is 1/2.
    assert abs(np.median(scales) - 0.5) < 0.05


def test_small_photographs_are_mirrored_not_enlarged() -> None:
    crop = random_crop(coordinates(4, 4), 16, 0.5, np.random.default_rng(0))
    assert set(np.unique(crop[..., 0])) == set(range(4)) and set(np.unique(crop[..., 1])) == set(range(4))
    wide = random_crop(coordinates(1, 200), 16, 0.5, np.random.default_rng(0))
    assert np.ptp(wide[..., 1].astype(int)) == 15


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[str, Path]]:
    result = []
    for index, name in enumerate(["a", "b", "c", "d"]):
        save_png(np.full((40, 50, 3), 60 * index, np.uint8), tmp_path / f"{name}.png")
        result.append((name, tmp_path / f"{name}.png"))
    return result


def test_a_batch_depends_on_its_names_only(files: list[tuple[str, Path]]) -> None:
    sampler = CropSampler(files, 16, 0.5)
    batches = [sampler.batch(8, 3, "vae", step) for step in range(4)]
    resumed = CropSampler(files[::-1], 16, 0.5, memory=0)
    for step in (2, 0, 3):
        assert torch.equal(resumed.batch(8, 3, "vae", step), batches[step])
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(sampler.batch(8, 4, "vae", 0), batches[0])
    assert torch.equal(sampler.batch(5, 3, "vae", 0), batches[0][:5])


def test_batches_are_float_images(files: list[tuple[str, Path]]) -> None:
    batch = CropSampler(files, 16, 0.5).batch(6, 0, 0)
    assert batch.shape == (6, 3, 16, 16) and batch.dtype == torch.float32 and batch.is_contiguous()
    assert batch.min() >= 0 and batch.max() <= 1
    assert set(torch.unique((batch * 255).round()).tolist()) <= {0.0, 60.0, 120.0, 180.0}


def test_scenes_have_equal_weight(files: list[tuple[str, Path]]) -> None:
    sampler = CropSampler(files, 1, 1.0, {"a": "one", "b": "two", "c": "two", "d": "two"})
    values = Counter(sampler.crops(3000, 0)[:, 0, 0, 0].tolist())
    assert abs(values[0] / 3000 - 1 / 2) < 0.05
    assert all(abs(values[60 * k] / 3000 - 1 / 6) < 0.05 for k in (1, 2, 3))


@pytest.mark.parametrize("kept", [0, 1, 2, 4])
def test_memory_stays_within_its_budget(
    files: list[tuple[str, Path]], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jscgc.data import crops

    opened: list[Path] = []

    def counted(path: Path) -> Pixels:
        opened.append(path)
        return original(path)

    original = crops.open_photo
    monkeypatch.setattr(crops, "open_photo", counted)
    photo_bytes = 40 * 50 * 3
    sampler = CropSampler(files, 8, 1.0, memory=kept * photo_bytes + 10)
    sampler.crops(60, 0)
    held = sum(photo.nbytes for photo in sampler._decoded.values())
    assert held == sampler._used == kept * photo_bytes
    assert (len(opened) == 4) == (kept == 4)


def test_wrong_arguments(files: list[tuple[str, Path]]) -> None:
    with pytest.raises(ValueError, match="no photographs"):
        CropSampler([], 16, 0.5)
    for crop, scale in ((0, 0.5), (16, 0.0), (16, 1.5)):
        with pytest.raises(ValueError, match="min_scale"):
            CropSampler(files, crop, scale)
