"""Photographs from files and back: anything Pillow reads, and HEIC, becomes 8-bit sRGB of shape [H, W, 3].

The one reader, with one limit of pixels: nothing else in the package opens a file as an image.

An unreadable file is a `PhotoError` of one line that names the file and the reason, whatever Pillow raised.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from jscgc.data import depth, profiles
from jscgc.data.boxes import BROKEN
from jscgc.data.colour import Colour, to_srgb
from jscgc.files import NOT_TEXT, atomic, plain

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
"""An 8-bit RGB photograph, [H, W, 3]."""

MAX_PIXELS = 200_000_000
"""Larger images are refused before they are decoded (decompression bombs)."""

_WEBP_SIDE = 16383
"""Most pixels per side of a WebP file."""
_NO_PHOTOGRAPHS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""What Pillow only recognises, or has another program draw."""
_DECODING = threading.RLock()

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright."""
_ORIENTATIONS = {0: 1, 90: 8, 180: 3, 270: 6}
"""Degrees to turn a picture counterclockwise -> EXIF orientation."""
ROTATIONS = tuple(_ORIENTATIONS)
_SIDEWAYS = (5, 6, 7, 8)


class PhotoError(ValueError):
    """A file is not a readable photograph; the message is one line naming the file and the reason."""


@dataclass(frozen=True)
class Opened:
    """pixels: uint8 [H, W, 3], writable, in sRGB. colour: what the file's own were."""

    pixels: Pixels
    colour: Colour


def open_photo(path: Path, least: int = 0) -> Pixels:
    """Read a photograph as upright 8-bit sRGB.

    EXIF orientation is applied; colours are converted as the file says what they are, grey, palette, CMYK and deeper images
    too; transparency is composited over white; of an animation or a multi-page file the first frame is taken.

    Args:
        path: the file.
        least: pixels per side that are enough: a JPEG is decoded at the smallest of 1, 1/2, 1/4 or 1/8 of its size that has
            them, which is quick; 0 for its size.

    Returns:
        uint8 array [H, W, 3], writable.

    Raises:
        PhotoError: missing, empty, truncated, damaged, not an image, of more than `MAX_PIXELS` pixels, or of samples or
            colours that have no single reading as that.
    """
    return open_in_full(path, least).pixels


def open_in_full(path: Path, least: int = 0, rotation: int | None = None) -> Opened:
    """As `open_photo`, with what its colours were.

    Args:
        rotation: one of `ROTATIONS`, degrees by which the pixels as they are stored must be turned counterclockwise, in place of
            what EXIF says; None: EXIF.
    """
    with _in_one_line(plain(path)):
        _check_file(path)
        return _decode(path, least, rotation)


def read_photo(content: bytes, name: str) -> Pixels:
    """The same of a file's content; `name` is what a `PhotoError` calls it."""
    with _in_one_line(name):
        if not content:
            raise PhotoError(f"{name}: empty file")
        return _decode(io.BytesIO(content)).pixels


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright photograph, from the head of its file.

    Raises:
        PhotoError: as `open_photo`, as far as the head shows it.
    """
    with _in_one_line(plain(path)):
        _check_file(path)
        with limited(), _opened(path) as image:
            width, height = image.size
            return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _check_file(path: Path) -> None:
    if plain(path) != str(path):
        raise PhotoError(f"{plain(path)}: {NOT_TEXT}; rename it")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"{path}: unreadable image (not a file)")
    if status.st_size == 0:
        raise PhotoError(f"{path}: empty file")


def _decode(source: Path | io.BytesIO, least: int = 0, rotation: int | None = None) -> Opened:
    with limited(), _opened(source) as image:
        if least:
            image.draft(None, (least, least))
        found = profiles.found(image)
        depth.check(image)
        cut = depth.is_cut(image)
        image.load()
        if not cut:
            return _upright(image, found, rotation=rotation)
        with _opened(source) as again:
            depth.check(again)
            return _upright(image, found, depth.low_bytes(again), rotation)


def _opened(source: Path | io.BytesIO) -> ImageFile.ImageFile:
    return Image.open(source, formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    """All that Pillow reads, and HEIF."""
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    return tuple(name for name in Image.ID if name not in _NO_PHOTOGRAPHS)


@cache
def extensions() -> frozenset[str]:
    """Of files that are photographs, `.jpg` and so on."""
    formats = _formats()
    return frozenset(end for end, name in Image.registered_extensions().items() if name in formats)


def upright(image: Image.Image) -> Pixels:
    """A Pillow image as `open_photo` gives a file's: turned as its EXIF says, 8-bit sRGB, over white.

    Raises:
        ValueError: it has no single reading as that.
    """
    found = profiles.found(image)
    if isinstance(image, ImageFile.ImageFile) and image.tile:  # opened, and not yet loaded
        depth.check(image)
    return _upright(image, found).pixels


def _upright(
    image: Image.Image, found: profiles.Found, low: Image.Image | None = None, rotation: int | None = None
) -> Opened:
    eight = depth.eight_bits(image, low)
    layer = eight
    if eight.has_transparency_data:
        layer = eight.convert("LA" if eight.mode in ("L", "LA") else "RGBA")
    shown, colour = to_srgb(layer, found)
    if shown.has_transparency_data:
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown.convert("RGBA"))
    orientation = _orientation(image) if rotation is None else _ORIENTATIONS[rotation]
    converted, turn = shown.convert("RGB"), _TURNS.get(orientation)
    return Opened(np.array(converted if turn is None else converted.transpose(turn)), colour)


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """Whatever goes wrong with a file becomes a `PhotoError` that names it."""
    try:
        yield
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhotoError(f"{name}: more than {MAX_PIXELS / 1e6:g} megapixels, refused") from None
    except UnidentifiedImageError:
        raise PhotoError(f"{name}: not an image in any format that is read here") from None
    except FileNotFoundError:
        raise PhotoError(f"{name}: no such file") from None
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{name}: unreadable image ({reason:.200})") from None


@contextmanager
def limited() -> Iterator[None]:
    """Pillow's limit at `MAX_PIXELS` and as an error; its other warnings (odd metadata) are of no use here.

    Pillow's limit is one for the process: threads wait for each other.
    """
    with _DECODING, warnings.catch_warnings():
        before = Image.MAX_IMAGE_PIXELS
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _orientation(image: Image.Image) -> int:
    # Not ImageOps.exif_transpose: it writes the EXIF block back, which damaged but harmless metadata makes fail.
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except BROKEN:
        return 1


def reduce(photo: Pixels, max_side: int) -> Pixels:
    """Reduce the longer side to `max_side` pixels (Lanczos); smaller photographs and `max_side` 0 leave it as it is.

    Args:
        photo: uint8 [H, W, 3].
        max_side: pixels, 0 to keep the size.

    Returns:
        uint8 [H', W', 3] with max(H', W') <= max_side, no side below 1.
    """
    return _reduce(photo, max_side, max(photo.shape[:2]))


def reduce_shorter(photo: Pixels, side: int) -> Pixels:
    """The same of the shorter side: uint8 [H', W', 3] with min(H', W') <= side."""
    return _reduce(photo, side, min(photo.shape[:2]))


def _reduce(photo: Pixels, side: int, before: int) -> Pixels:
    height, width = photo.shape[:2]
    if side == 0 or before <= side:
        return photo
    size = (max(1, round(width * side / before)), max(1, round(height * side / before)))
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def to_png(photo: Pixels) -> bytes:
    """uint8 [H, W, 3] as the content of an RGB PNG file."""
    stream = io.BytesIO()
    # Level 4 of 9: files 0.3 % larger than at the default 6, in two thirds of the time.
    Image.fromarray(photo).save(stream, format="PNG", compress_level=4)
    return stream.getvalue()


def to_lossless(photo: Pixels) -> bytes:
    """uint8 [H, W, 3] as the content of the smallest lossless file that is quickly written: WebP, else (too long a side) PNG."""
    if max(photo.shape[:2]) > _WEBP_SIDE:
        return to_png(photo)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, format="WEBP", lossless=True, method=0, quality=0)
    return stream.getvalue()


def save_png(photo: Pixels, path: Path) -> None:
    """Write uint8 [H, W, 3] as an RGB PNG, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(to_png(photo))


def to_tensor(photo: Pixels) -> torch.Tensor:
    """uint8 [H, W, 3] -> float32 [3, H, W] in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1))).float() / 255


def to_photo(image: torch.Tensor) -> Pixels:
    """Float [3, H, W], clamped to [0, 1] and rounded -> uint8 [H, W, 3]."""
    import torch

    levels = (image.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
