"""Codecs: exact packing, budgets kept, and nothing but ValueError from damaged files."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jscgc.classical.codecs import CODECS, decode, encode, fit, get_codec, pack, unpack
from jscgc.errors import CannotOperate

NAMES = list(CODECS)
HEIGHT, WIDTH = 48, 80


def picture(height: int = HEIGHT, width: int = WIDTH, seed: int = 0):
    """Smooth colours, an edge and some texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 70 * np.sin(x / (9 + 4 * c) + c) + 40 * np.cos(y / (7 + 3 * c)) for c in range(3)]
    image = np.stack(waves, 2) + 60 * (x + y > (height + width) / 2)[:, :, None]
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def psnr(first, second) -> float:
    return 10 * np.log10(255**2 / max(np.square(first.astype(float) - second).mean(), 1e-9))


@pytest.mark.parametrize("name", NAMES)
def test_decoding_is_the_library_s_own(name):
    codec, photo = CODECS[name], picture()
    packed = fit(codec, photo, 12_000).packed
    file = unpack(codec, packed, HEIGHT, WIDTH)
    own = pillow_heif.read_heif(file).to_pillow() if codec.format == "HEIF" else Image.open(io.BytesIO(file))
    shown = decode(codec, packed, HEIGHT, WIDTH)
    assert shown.dtype == np.uint8 and np.array_equal(shown, np.asarray(own.convert("RGB")))
    assert psnr(shown, photo) > 25


@pytest.mark.parametrize("name", NAMES)
def test_the_best_file_fits_and_the_next_does_not(name):
    codec, photo = CODECS[name], picture()
    fitted = fit(codec, photo, 12_000)
    assert 8 * len(fitted.packed) <= 12_000
    following = codec.qualities[codec.qualities.index(fitted.quality) + 1]
    assert 8 * len(pack(codec, encode(codec, photo, following), HEIGHT, WIDTH)) > 12_000


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_budget_is_kept_and_used(name):
    codec, photo = CODECS[name], picture()
    fitted = [fit(codec, photo, budget) for budget in (9_000, 12_000, 20_000, 40_000, 10**9)]
    assert [f.quality for f in fitted] == sorted(f.quality for f in fitted)
    shown = [psnr(decode(codec, f.packed, HEIGHT, WIDTH), photo) for f in fitted]
    assert shown == sorted(shown) and shown[-1] > 38
    assert fitted[-1].quality == codec.qualities[-1]


@pytest.mark.parametrize("name", NAMES)
def test_one_bit_less_than_the_smallest_file_is_one_clear_line(name):
    codec, photo = CODECS[name], picture()
    smallest = 8 * len(pack(codec, encode(codec, photo, codec.qualities[0]), HEIGHT, WIDTH))
    assert 8 * len(fit(codec, photo, smallest).packed) == smallest
    with pytest.raises(
        CannotOperate, match=rf"^{name}: .* {smallest} bits, .* {smallest - 1}; raise the CBR or the SNR$"
    ):
        fit(codec, photo, smallest - 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (5, 7), (1, 16), (16, 16), (17, 31)])
def test_tiny_images(name, size):
    codec, photo = CODECS[name], picture(*size)
    fitted = fit(codec, photo, 10**6)
    assert psnr(decode(codec, fitted.packed + b"\0" * 7, *size), photo) > 30
    with pytest.raises(CannotOperate):
        fit(codec, photo, 8)


@pytest.mark.parametrize("name", NAMES)
def test_the_container_costs_little(name):
    """The mid-gray file, all of it container, is almost nothing once packed."""
    codec, gray = CODECS[name], np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    file = encode(codec, gray, codec.qualities[len(codec.qualities) // 2])
    packed = pack(codec, file, HEIGHT, WIDTH)
    assert len(packed) <= 20 < len(file)


def test_the_same_photo_makes_the_same_file():
    for codec in CODECS.values():
        quality = codec.qualities[len(codec.qualities) // 3]
        assert encode(codec, picture(), quality) == encode(codec, picture(), quality)


@given(file=st.binary(max_size=2000), padding=st.integers(0, 50), name=st.sampled_from(NAMES))
def test_packing_is_exact_whatever_follows(file, padding, name):
    packed = pack(CODECS[name], file, HEIGHT, WIDTH)
    assert unpack(CODECS[name], packed + b"\0" * padding, HEIGHT, WIDTH) == file


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_cut_off_anywhere_is_an_error(name):
    codec = CODECS[name]
    packed = fit(codec, picture(), 12_000).packed
    for length in range(0, len(packed), 37):
        with pytest.raises(ValueError, match=f"damaged {name} file"):
            decode(codec, packed[:length], HEIGHT, WIDTH)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_flipped_bits_are_an_image_or_a_value_error(data, name):
    codec = CODECS[name]
    packed = bytearray(fit(codec, picture(), 12_000).packed)
    for position in data.draw(st.lists(st.integers(0, 8 * len(packed) - 1), min_size=1, max_size=4)):
        packed[position // 8] ^= 1 << position % 8
    try:
        assert decode(codec, bytes(packed), HEIGHT, WIDTH).shape == (HEIGHT, WIDTH, 3)
    except ValueError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_another_size_is_an_error(name):
    codec = CODECS[name]
    file = encode(codec, picture(32, 32), codec.qualities[-1])
    with pytest.raises(ValueError, match=f"damaged {name} file"):
        decode(codec, pack(codec, file, HEIGHT, WIDTH), HEIGHT, WIDTH)


def test_an_unknown_codec_is_an_error():
    with pytest.raises(ValueError, match="hevc, avif, jp2k, jpeg"):
        get_codec("bpg")
