"""Deep samples and inverted ones are as a viewer shows them, or refused in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.data.images import PhotoError, open_photo, read_photo

tifffile = pytest.importorskip("tifffile")

# Values at which rounding and truncation differ, and the ends.
EDGES = np.array([0, 1, 128, 129, 255, 256, 32767, 32768, 65406, 65407, 65535], np.uint16)
NOISE = np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(np.uint16)
NOISE[0, :11] = EDGES[:, None]


def eight(values: np.ndarray, top: int = 65535) -> np.ndarray:
    return np.round(values.astype(float) * 255 / top).astype(np.uint8)


def packed_tiff(values: np.ndarray, bits: int, photometric: int) -> bytes:
    """A grey TIFF of `bits` a sample, big end first within a row, as the specification packs them."""
    height, width = values.shape
    planes = values[..., None] >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0), (277, 1), (278, height)]
    tags.append((279, len(rows)))
    offset = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, offset if tag == 273 else value) for tag, value in tags]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4) + rows


@pytest.mark.parametrize(
    ("bits", "photometric"), [(1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1), (8, 0), (8, 1), (12, 1)]
)
def test_grey_of_few_bits_reaches_from_black_to_white(bits: int, photometric: int) -> None:
    top = 2**bits - 1
    values = np.linspace(0, top, 4 * 16).round().astype(np.uint16).reshape(4, 16)
    shown = eight(values, top)
    photo = read_photo(packed_tiff(values, bits, photometric), "a.tif")
    np.testing.assert_array_equal(photo[..., 0], shown if photometric else 255 - shown)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.float32])
def test_polarity_at_every_depth(tmp_path: Path, kind: type, photometric: str, compression: str | None) -> None:
    if kind is np.uint32 and photometric == "miniswhite":
        pytest.skip("Pillow does not read it, which is said")
    top = 1.0 if kind is np.float32 else float(np.iinfo(kind).max)
    values = (NOISE[..., 0] / 65535 * top).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, compression=compression)
    stored = tifffile.imread(tmp_path / "a.tif").astype(float) / top
    expected = np.round(255 * (stored if photometric == "minisblack" else 1 - stored))
    assert np.abs(open_photo(tmp_path / "a.tif")[..., 0] - expected).max() <= (kind is np.float32)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
def test_colours_of_sixteen_bits_are_rounded_in_tiff(tmp_path: Path, how: dict, order: str) -> None:
    values = NOISE.transpose(2, 0, 1) if "planarconfig" in how else NOISE
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", byteorder=order, **how)
    np.testing.assert_array_equal(open_photo(tmp_path / "a.tif"), eight(NOISE))


def png(values: np.ndarray, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    height, width = values.shape[:2]
    rows = np.pad(values.astype(">u2").reshape(height, -1).view(np.uint8), ((0, 0), (1, 0)))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    made = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def over_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    layer = Image.fromarray(np.dstack([values, alpha]))
    return np.array(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))


def test_png_of_sixteen_bits_is_rounded_in_every_kind() -> None:
    alpha = NOISE[..., 1]
    grey = np.repeat(NOISE[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(read_photo(png(grey[..., 0], 0), "a.png"), eight(grey))
    np.testing.assert_array_equal(read_photo(png(NOISE, 2), "a.png"), eight(NOISE))
    seen = read_photo(png(np.dstack([NOISE, alpha]), 6), "a.png")
    np.testing.assert_array_equal(seen, over_white(eight(NOISE), eight(alpha)))
    seen = read_photo(png(np.dstack([grey[..., 0], alpha]), 4), "a.png")
    np.testing.assert_array_equal(seen, over_white(eight(grey), eight(alpha)))


def test_the_transparent_colour_of_a_png_of_sixteen_bits() -> None:
    values = np.array([[[300, 40000, 7], [300, 40000, 8]]], np.uint16)
    photo = read_photo(png(values, 2, (b"tRNS", values[0, 0].astype(">u2").tobytes())), "a.png")
    np.testing.assert_array_equal(photo[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(photo[0, 1], eight(values[0, 1]))
    grey = np.array([[300, 301]], np.uint16)
    photo = read_photo(png(grey, 0, (b"tRNS", struct.pack(">H", 300))), "a.png")
    np.testing.assert_array_equal(photo[0, :, 0], [255, 1])


def test_a_file_of_sixteen_bits_is_the_same_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(NOISE, 2))
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), eight(NOISE))


@pytest.mark.parametrize(("head", "top"), [(b"P6 40 40 65535\n", 65535), (b"P6 40 40 1023\n", 1023)])
def test_portable_pixmaps(head: bytes, top: int) -> None:
    values = NOISE if top == 65535 else NOISE % (top + 1)
    np.testing.assert_array_equal(read_photo(head + values.astype(">u2").tobytes(), "a.ppm"), eight(values, top))
    grey = values[..., 0]
    seen = read_photo(head.replace(b"P6", b"P5") + grey.astype(">u2").tobytes(), "a.pgm")
    assert np.abs(seen[..., 0].astype(int) - eight(grey, top)).max() <= (top != 65535)


def jpeg_2000(values: np.ndarray) -> bytes:
    """By OpenCV, which Pillow's own writer does not do: colours of 16 bits."""
    cv2 = pytest.importorskip("cv2")
    done, content = cv2.imencode(".jp2", values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return bytes(content)


def test_jpeg_2000_of_sixteen_bits_is_right_in_grey_and_refused_in_colour() -> None:
    smooth = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    seen = read_photo(jpeg_2000(smooth), "a.jp2")[..., 0]
    assert np.abs(seen.astype(int) - eight(smooth)).max() <= 2
    # Pillow shows white as black there.
    with pytest.raises(PhotoError, match=r"^a\.jp2: unreadable image \(JPEG 2000 with 16 bits of colour; [^\n]*$"):
        read_photo(jpeg_2000(np.dstack([smooth] * 3)), "a.jp2")


@pytest.mark.parametrize(
    ("values", "options", "why"),
    [
        (NOISE.astype(np.int16), {"photometric": "rgb"}, "not an image"),
        ((NOISE[..., 0] // 2).astype(np.int16), {"photometric": "minisblack"}, "signed samples of 16 bits"),
        ((NOISE[..., 0] // 512).astype(np.int8), {"photometric": "minisblack"}, "signed samples of 8 bits"),
        (NOISE / 65535, {"photometric": "rgb"}, "not an image"),
        (eight(NOISE), {"photometric": "rgb", "subfiletype": 1}, "raw file"),
    ],
)
def test_what_has_no_single_reading_is_refused_in_one_line(
    tmp_path: Path, values: np.ndarray, options: dict, why: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(PhotoError, match=rf"^[^\n]*a\.tif: [^\n]*{why}[^\n]*$"):
        open_photo(tmp_path / "a.tif")
