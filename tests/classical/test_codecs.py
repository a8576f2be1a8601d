"""Codecs: exact packing, budgets kept, and nothing but ValueError from damaged files."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jscgc.classical.codecs import CODECS, ImageCodec, decode, encode, get_codec, pack, unpack

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


def packed_of(codec: ImageCodec) -> bytes:
    """At a good quality."""
    return pack(codec, encode(codec, picture(), codec.qualities[3 * len(codec.qualities) // 4]), HEIGHT, WIDTH)


@pytest.mark.parametrize("name", NAMES)
def test_decoding_is_the_library_s_own(name):
    codec, photo = CODECS[name], picture()
    packed = packed_of(codec)
    file = unpack(codec, packed, HEIGHT, WIDTH)
    own = pillow_heif.read_heif(file).to_pillow() if codec.format == "HEIF" else Image.open(io.BytesIO(file))
    shown = decode(codec, packed, HEIGHT, WIDTH)
    assert shown.dtype == np.uint8 and np.array_equal(shown, np.asarray(own.convert("RGB")))
    assert psnr(shown, photo) > 25


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (5, 7), (1, 16), (16, 16), (17, 31)])
def test_tiny_images(name, size):
    codec, photo = CODECS[name], picture(*size)
    packed = pack(codec, encode(codec, photo, codec.qualities[-1]), *size)
    assert psnr(decode(codec, packed + b"\0" * 7, *size), photo) > 30


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
    packed = packed_of(codec)
    for length in range(0, len(packed), 37):
        with pytest.raises(ValueError, match=f"damaged {name} file"):
            decode(codec, packed[:length], HEIGHT, WIDTH)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_flipped_bits_are_an_image_or_a_value_error(data, name):
    codec = CODECS[name]
    packed = bytearray(packed_of(codec))
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


@pytest.mark.parametrize("name", CODECS)
def test_a_large_photograph_is_decoded_under_the_readers_limit(name, monkeypatch):
    codec = get_codec(name)
    photo = np.full((40, 40, 3), 90, np.uint8)
    file = pack(codec, encode(codec, photo, codec.qualities[-1]), 40, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode(codec, file, 40, 40).shape == (40, 40, 3)
