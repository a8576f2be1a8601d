"""Whatever a user's folder holds is read as the picture a viewer shows, or refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jscgc.data import images
from jscgc.data.images import (
    PhotoError,
    open_photo,
    photo_size,
    read_photo,
    reduce,
    save_png,
    to_photo,
    to_png,
    to_tensor,
    upright,
)

# Four coloured quarters, 16x12: an upright reference whose every turn and flip differs.
QUARTERS = np.zeros((12, 16, 3), np.uint8)
QUARTERS[:6, :8], QUARTERS[:6, 8:], QUARTERS[6:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def one_line(error: pytest.ExceptionInfo[PhotoError], path: Path) -> str:
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    # What each orientation stores of an upright picture, from the EXIF standard (row 0 / column 0 of the stored image).
    stored = {
        1: QUARTERS,
        2: QUARTERS[:, ::-1],
        3: QUARTERS[::-1, ::-1],
        4: QUARTERS[::-1],
        5: QUARTERS.transpose(1, 0, 2),
        6: np.rot90(QUARTERS, 1),
        7: QUARTERS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(QUARTERS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    photo = open_photo(path)
    assert photo.shape == QUARTERS.shape
    if suffix == "jpg":
        corners = np.ix_([1, -2], [1, -2])
        assert np.abs(photo[corners].astype(int) - QUARTERS[corners]).max() < 40
    else:
        np.testing.assert_array_equal(photo, QUARTERS)


def test_orientation_of_a_phone_photo_swaps_the_sides(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert open_photo(tmp_path / "a.jpg").shape == (30, 20, 3)


def test_damaged_exif_does_not_cost_the_photograph(tmp_path: Path) -> None:
    Image.fromarray(QUARTERS).save(tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff garbage")
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), QUARTERS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.full((5, 7), 200, np.uint8)
    base = Image.fromarray(np.stack([grey] * 3, -1))
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        picture = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "PA":
        picture = base.convert("LA").convert("PA")
    elif mode == "P":
        picture = base.quantize(4)
    else:
        picture = base.convert(mode)
    assert picture.mode == mode
    path = tmp_path / "a.tif" if mode in ("CMYK", "YCbCr", "I", "F") else tmp_path / "a.png"
    if mode == "PA":
        picture.convert("RGBA").save(path)
    else:
        picture.save(path)
    photo = open_photo(path)
    assert photo.shape == (5, 7, 3) and photo.dtype == np.uint8 and photo.flags.writeable
    if mode != "1":
        assert np.abs(photo.astype(int) - 200).max() <= 1


def test_sixteen_bits_are_rounded_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.round(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png")[..., 0], expected)


@pytest.mark.parametrize("values", [np.float32(3.5), np.float32(np.nan), np.float32(-0.1)])
def test_float_images_outside_zero_to_one_are_refused(tmp_path: Path, values: np.float32) -> None:
    Image.fromarray(np.full((3, 3), values, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="outside 0..1") as error:
        open_photo(tmp_path / "a.tif")
    one_line(error, tmp_path / "a.tif")


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    assert np.abs(open_photo(tmp_path / "red.jpg").astype(int) - [255, 0, 0]).max() < 12


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = 0, 128, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png")[0, :, 0], [255, 127, 0])


def test_palette_with_transparency_is_composited_over_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(open_photo(tmp_path / f"a.{suffix}"), np.full((6, 8, 3), [255, 0, 0]))


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1)])
def test_tiny_photographs(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "lime").save(tmp_path / "a.png")
    assert open_photo(tmp_path / "a.png").shape == (size[1], size[0], 3)
    assert reduce(open_photo(tmp_path / "a.png"), 8).shape[:2] == (min(size[1], 8), min(size[0], 8))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused_in_one_line(tmp_path: Path, suffix: str, share: float) -> None:
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole, format={"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
    with pytest.raises(PhotoError) as error:
        open_photo(path)
    one_line(error, path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif"])
def test_damaged_files_never_raise_anything_else(tmp_path: Path, suffix: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(QUARTERS).save(whole, format={"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    rng = np.random.default_rng(1)
    path = tmp_path / f"a.{suffix}"
    for _ in range(150):
        content = np.frombuffer(whole.getvalue(), np.uint8).copy()
        content[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(content.tobytes())
        try:
            photo = open_photo(path)
        except PhotoError as error:
            assert "\n" not in str(error) and str(path) in str(error)
        else:
            assert photo.ndim == 3 and photo.shape[2] == 3 and photo.dtype == np.uint8


def test_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a photograph")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in {
        "empty.jpg": "empty file",
        "text.jpg": "not an image",
        "folder.jpg": "unreadable",
        "none.jpg": "no such file",
    }.items():
        with pytest.raises(PhotoError, match=reason) as error:
            open_photo(tmp_path / name)
        one_line(error, tmp_path / name)


@pytest.mark.parametrize(("side", "times"), [(11, 1.2), (40, 16)])
def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, times: float) -> None:
    # Both of Pillow's reactions: its warning above the limit, its error above twice the limit.
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    before = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (side, side)).save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match="megapixels") as error:
        open_photo(tmp_path / "a.png")
    one_line(error, tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (10, 10)).save(tmp_path / "b.png")
    assert open_photo(tmp_path / "b.png").shape == (10, 10, 3)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    (tmp_path / "bomb.png").write_bytes(bomb + _chunk(b"IEND", b""))
    with pytest.raises(PhotoError, match="200 megapixels"):
        open_photo(tmp_path / "bomb.png")


def test_the_size_of_the_upright_photograph_has_the_same_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert photo_size(tmp_path / "a.jpg") == (20, 30) == open_photo(tmp_path / "a.jpg").shape[1::-1]
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    for read in (photo_size, open_photo):
        with pytest.raises(PhotoError, match="megapixels, refused") as error:
            read(tmp_path / "a.jpg")
        one_line(error, tmp_path / "a.jpg")


def test_threads_do_not_undo_each_other_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    save_png(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), tmp_path / "a.png")
    with ThreadPoolExecutor(8) as pool:
        assert {photo.shape for photo in pool.map(open_photo, [tmp_path / "a.png"] * 64)} == {(200, 200, 3)}
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_name_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"gr\xfcn.png")
    try:
        Image.fromarray(QUARTERS).save(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(
        PhotoError, match=r"gr\\xfcn\.png: the name is not UTF-8, and shown with escapes; rename it$"
    ) as error:
        open_photo(path)
    str(error.value).encode()


def test_a_photograph_larger_than_pillows_default_limit_is_no_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(QUARTERS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), QUARTERS)


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((40, 80), 20, (10, 20)),
        ((80, 40), 20, (20, 10)),
        ((10, 20), 20, (10, 20)),
        ((10, 20), 0, (10, 20)),
        ((1, 999), 10, (1, 10)),
    ],
)
def test_reduce(shape: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 77, np.uint8)
    small = reduce(photo, side)
    assert small.shape == (*expected, 3) and (small == 77).all()


def test_png_and_tensor_round_trips_are_exact(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (9, 5, 3), np.uint8)
    save_png(photo, tmp_path / "sub" / "a.png")
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a.png"]
    np.testing.assert_array_equal(open_photo(tmp_path / "sub" / "a.png"), photo)
    tensor = to_tensor(photo)
    assert tensor.shape == (3, 9, 5) and tensor.dtype.is_floating_point and 0 <= tensor.min() <= tensor.max() <= 1
    np.testing.assert_array_equal(to_photo(tensor), photo)


def test_to_photo_clamps_and_rounds() -> None:
    import torch

    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 1.7]).view(1, 1, 4).expand(3, 1, 4)
    np.testing.assert_array_equal(to_photo(values)[0, :, 0], [0, 0, 1, 255])


def test_a_file_s_content_is_read_as_the_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(QUARTERS).save(path, exif=exif)
    np.testing.assert_array_equal(read_photo(path.read_bytes(), "turned.jpg"), open_photo(path))
    np.testing.assert_array_equal(read_photo(to_png(QUARTERS), "a.png"), QUARTERS)
    save_png(QUARTERS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == to_png(QUARTERS)


@pytest.mark.parametrize(
    "content, why",
    [(b"", "empty file"), (b"text", "not an image"), (to_png(QUARTERS)[:60], "unreadable image")],
)
def test_bad_content_is_refused_in_one_line_with_its_name(content: bytes, why: str) -> None:
    with pytest.raises(PhotoError, match=f"^upload.png: .*{why}") as error:
        read_photo(content, "upload.png")
    assert "\n" not in str(error.value)


def test_a_pillow_image_is_read_as_its_file_is_opened_or_loaded() -> None:
    photo = QUARTERS // 2 + 20
    content = to_png(photo)
    stream = io.BytesIO(content[:33] + _chunk(b"cICP", bytes([12, 13, 0, 1])) + content[33:])
    expected = read_photo(stream.getvalue(), "a.png")
    assert (expected != photo).any()
    np.testing.assert_array_equal(upright(Image.open(stream)), expected)
    loaded = Image.open(io.BytesIO(content))
    loaded.load()
    np.testing.assert_array_equal(upright(loaded), photo)


def test_a_bomb_is_refused_from_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(PhotoError, match="bomb.png: more than 0.0001 megapixels, refused"):
        read_photo(to_png(QUARTERS), "bomb.png")
