"""Samples of any depth and polarity to 8 bits, rounded; what has no single reading is refused, not guessed."""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from jscgc.data.boxes import boxes

_FIRST = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""Order of bytes of 16-bit samples as Pillow's decoders call it, and the one by which they take the other byte."""
_SUBFILE, _BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT, _DNG = 254, 258, 262, 284, 339, 50706
"""Tags of TIFF."""
_UNSIGNED, _SIGNED = 1, 2


def check(image: ImageFile.ImageFile) -> None:
    """Mend how Pillow would read a file that was opened and not yet loaded.

    Raises:
        ValueError: Pillow would decode something else than the picture, and without an error.
    """
    if image.format == "TIFF":
        tags = _tags(image)
        bits, kind = _bits(tags), tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0]
        if tags.get(_SUBFILE, 0) & 1 or _DNG in tags:
            raise ValueError("a camera's raw file, or a preview alone: develop it to TIFF, PNG or JPEG first")
        if kind == _SIGNED and bits <= 16:
            raise ValueError(f"signed samples of {bits} bits")
        if bits == 16 and tags.get(_PLANAR) == 2:
            # Of planes of 16 bits that are not compressed Pillow takes every byte for a sample.
            order = "L" if tags.prefix == b"II" else "B"
            image.tile = [_told(tile, lambda raw: f"{raw};16{order}" if len(raw) == 1 else raw) for tile in image.tile]
    if image.format == "JPEG2000" and image.mode != "I;16":
        assert image.fp is not None
        place = image.fp.tell()
        streams = boxes(image.fp, b"jp2c") or boxes(image.fp)
        image.fp.seek(place)
        deepest = _deepest(streams[0])
        if deepest > 8:
            # Pillow rounds them up to 256, which it stores as 0: white becomes black.
            raise ValueError(f"JPEG 2000 with {deepest} bits of colour; save it as PNG or TIFF, or with 8 bits")


def _deepest(stream: bytes) -> int:
    """Most bits of a component, as a JPEG 2000 codestream's marker SIZ says."""
    if stream[:4] != b"\xff\x4f\xff\x51" or len(stream) < 42:
        return 8
    (count,) = struct.unpack(">H", stream[40:42])
    return max(((depth & 0x7F) + 1 for depth in stream[42 : 42 + 3 * count : 3]), default=8)


def is_cut(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow will keep the high byte only of a file that was opened and not yet loaded."""
    # Of premultiplied samples the bytes can't be told apart.
    cut = any(";16" in _raw(tile) and not _raw(tile).startswith("RGBa") for tile in image.tile)
    return cut and image.format in ("PNG", "TIFF") and not image.mode.startswith("I")


def low_bytes(image: ImageFile.ImageFile) -> Image.Image:
    """The other bytes, in the mode that the high ones have; of such a file, opened anew."""
    if _raw(image.tile[0]) == "LA;16B":  # Pillow can't take its low bytes; as four samples of 8 bits it can take all.
        image.tile = [_told(tile, lambda _: "RGBA") for tile in image.tile]
        _, low, _, alpha = image.split()
        return Image.merge("RGBA", (low, low, low, alpha))
    image.tile = [_told(tile, lambda raw: raw[:-1] + _FIRST[raw[-1]]) for tile in image.tile]
    image.load()
    return image


def _raw(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) else args)


def _told(tile: Any, change: Any) -> Any:
    """The tile with another raw mode."""
    raw = change(_raw(tile))
    return tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)


def eight_bits(image: Image.Image, low: Image.Image | None = None) -> Image.Image:
    """An image of 8 bits a sample, light where a viewer shows light.

    Args:
        image: as Pillow decoded it.
        low: the low bytes of samples of 16 bits, of which `image` has the high ones.

    Raises:
        ValueError: samples outside the range of their kind.
    """
    if low is not None:
        return _joined(image, low)
    if not (image.mode.startswith("I;16") or image.mode in ("I", "F")):
        return image
    tags = _tags(image)
    whole = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0
    if image.mode.startswith("I;16") and tags:
        top = 2.0 ** _bits(tags) - 1
    elif image.mode == "I" and tags and _bits(tags) == 32 and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        whole, top = whole.view(np.uint32), 2.0**32 - 1
    values = whole.astype(np.float64)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ValueError(f"mode {image.mode} with values outside 0..{top:g}")
    if tags.get(_PHOTOMETRIC) == 0:
        values = top - values
    grey = Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(_alpha(whole[..., None] != key))
    return grey


def _joined(image: Image.Image, low: Image.Image) -> Image.Image:
    """round(value / 257), without an array of wider samples: the high byte, one more or less where the low one is far from it."""
    high, rest = np.array(image), np.asarray(low)
    key = image.info.get("transparency")
    opaque = None
    if isinstance(key, tuple) and len(key) == 3:
        opaque = (high != np.array(key) >> 8) | (rest != np.array(key) & 255)
    least = np.minimum(high, rest)
    up, down = rest - least > 128, high - least > 128
    high += up
    high -= down
    joined = Image.frombytes(image.mode, image.size, high.tobytes())
    if opaque is not None:
        joined.putalpha(_alpha(opaque))
    return joined


def _alpha(differs: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray((differs.any(axis=-1) * 255).astype(np.uint8))


def _tags(image: Image.Image) -> Any:
    return image.tag_v2 if image.format == "TIFF" and hasattr(image, "tag_v2") else {}


def _bits(tags: Any) -> int:
    """Of the first sample."""
    given = tags.get(_BITS, (1,))
    return int(given[0] if isinstance(given, tuple) else given)
