"""Photographs from files and back: anything Pillow reads becomes 8-bit RGB of shape [H, W, 3].

An unreadable file is a `PhotoError` of one line that names the file and the reason, whatever Pillow raised.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from jscgc.config import ParamsError
from jscgc.files import atomic

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
"""An 8-bit RGB photograph, [H, W, 3]."""

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 200_000_000
"""Larger images are refused before they are decoded (decompression bombs)."""

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

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders are known to raise on damaged files; a bug of ours outside decoding is not hidden by it."""


class PhotoError(ValueError):
    """A file is not a readable photograph; the message is one line naming the file and the reason."""


def open_photo(path: Path, least: int = 0) -> Pixels:
    """Read a photograph as upright 8-bit RGB.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted; transparency is composited
    over white; of an animation or a multi-page file the first frame is taken.

    Args:
        path: the file.
        least: pixels per side that are enough: a JPEG is decoded at the smallest of 1, 1/2, 1/4 or 1/8 of its size that has
            them, which is quick; 0 for its size.

    Returns:
        uint8 array [H, W, 3], writable.

    Raises:
        PhotoError: missing, empty, truncated, damaged, not an image, or of more than `MAX_PIXELS` pixels.
    """
    with _in_one_line(str(path)):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{path}: unreadable image (not a file)")
        if status.st_size == 0:
            raise PhotoError(f"{path}: empty file")
        return _decode(path, least)


def read_photo(content: bytes, name: str) -> Pixels:
    """The same of a file's content; `name` is what a `PhotoError` calls it."""
    with _in_one_line(name):
        if not content:
            raise PhotoError(f"{name}: empty file")
        return _decode(io.BytesIO(content))


def _decode(source: Path | io.BytesIO, least: int = 0) -> Pixels:
    with _strict_pillow(), Image.open(source) as image:
        if least:
            image.draft(None, (least, least))
        image.load()
        return upright(image)


def upright(image: Image.Image) -> Pixels:
    """A Pillow image as `open_photo` gives a file's: turned as its EXIF says, 8-bit RGB, over white.

    Raises:
        ValueError: it has no single reading as that.
    """
    converted, turn = _rgb(image), _TURNS.get(_orientation(image))
    return np.array(converted if turn is None else converted.transpose(turn))


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
        raise PhotoError(f"{name}: not an image in any format that Pillow reads") from None
    except FileNotFoundError:
        raise PhotoError(f"{name}: no such file") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{name}: unreadable image ({reason:.200})") from None


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Pillow's limit at `MAX_PIXELS` and as an error; its other warnings (odd metadata) are of no use here."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
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
    except _BROKEN:
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to RGB; what has no single reading is refused, not guessed."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        top = 1.0 if image.mode == "F" else 65535.0
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
            raise ValueError(f"mode {image.mode} with values outside 0..{top:g}")
        return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def reduce(photo: Pixels, max_side: int) -> Pixels:
    """Reduce the longer side to `max_side` pixels (Lanczos); smaller photographs and `max_side` 0 leave it as it is.

    Args:
        photo: uint8 [H, W, 3].
        max_side: pixels, 0 to keep the size.

    Returns:
        uint8 [H', W', 3] with max(H', W') <= max_side, no side below 1.
    """
    height, width = photo.shape[:2]
    longer = max(height, width)
    if max_side == 0 or longer <= max_side:
        return photo
    size = (max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer)))
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def to_png(photo: Pixels) -> bytes:
    """uint8 [H, W, 3] as the content of an RGB PNG file."""
    stream = io.BytesIO()
    # Level 4 of 9: files 0.3 % larger than at the default 6, in two thirds of the time.
    Image.fromarray(photo).save(stream, format="PNG", compress_level=4)
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


def find_photos(folders: Sequence[str | Path]) -> list[Path]:
    """All image files in folders and their subfolders, by extension (any case), each once, sorted.

    Hidden files and folders are left out (thumbnails, macOS resource forks, our own temporary folders).

    Raises:
        ParamsError: a folder does not exist or holds no image file; the message names it.
    """
    photos: dict[Path, Path] = {}
    for folder in (Path(f).expanduser() for f in folders):
        if not folder.is_dir():
            raise ParamsError(f"{folder}: no such folder of photographs")
        inside = []
        for root, subfolders, files in os.walk(folder):
            subfolders[:] = [s for s in subfolders if not s.startswith(".")]
            inside += [Path(root, f) for f in files if Path(f).suffix.lower() in EXTENSIONS and not f.startswith(".")]
        if not inside:
            raise ParamsError(f"{folder}: no photographs in this folder ({', '.join(sorted(EXTENSIONS))})")
        for path in sorted(inside):
            # Not path.resolve, which fails for a link that leads to itself; reading it will say so.
            photos.setdefault(Path(os.path.realpath(path)), path)
    return sorted(photos.values())
