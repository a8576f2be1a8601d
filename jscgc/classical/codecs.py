"""Image codecs: HEVC, AVIF, JPEG 2000 and JPEG. Which of their files is sent is chosen in fitting.py.

    photo -> encode at a quality -> file -> pack (the container's constant bytes go)

Image size and codec are constants of the session, so bytes that every file of that size has are no content: a packed file
is a raw deflate stream whose preset dictionary is the head of the same codec's file of a gray image. Deflate streams end by
themselves: the padding of a transport block may follow.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from jscgc.data.images import Pixels, limited

_GRAY = 128
_DICTIONARY_BYTES = 4096
"""Head of the gray file that is the dictionary: all of the container, none of a large image's data."""
_YCGCO = 8
"""Matrix coefficients by ITU-T H.273."""


@dataclass(frozen=True)
class ImageCodec:
    """An image codec and its strongest settings for PSNR.

    format: as Pillow calls it. qualities: from the smallest file to the largest. options: for Pillow's `save` at one quality;
    of several the one that makes the smallest file counts.
    """

    name: str
    format: str
    qualities: tuple[float, ...]
    options: Callable[[float], tuple[dict[str, Any], ...]]


def get_codec(name: str) -> ImageCodec:
    """The codec of that name.

    Raises:
        ValueError: there is none; says which there are.
    """
    if name not in CODECS:
        raise ValueError(f"unknown image codec {name!r}; available: {', '.join(CODECS)}")
    return CODECS[name]


def encode(codec: ImageCodec, photo: Pixels, quality: float) -> bytes:
    """The codec's file of a photo [H,W,3] at one of its qualities."""
    image = Image.fromarray(photo)
    return min((_write(codec.format, image, options) for options in codec.options(quality)), key=len)


def pack(codec: ImageCodec, file: bytes, height: int, width: int) -> bytes:
    """The file without what the receiver knows: raw deflate with the gray file's head as preset dictionary."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_dictionary(codec.name, height, width))
    return packer.compress(file) + packer.flush()


def unpack(codec: ImageCodec, packed: bytes, height: int, width: int) -> bytes:
    """The file that was packed, whatever follows it.

    Raises:
        ValueError: damaged or cut off.
    """
    unpacker = zlib.decompressobj(-15, zdict=_dictionary(codec.name, height, width))
    try:
        file = unpacker.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"damaged {codec.name} file: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"damaged {codec.name} file: it ends too early")
    return file


def decode(codec: ImageCodec, packed: bytes, height: int, width: int) -> Pixels:
    """The photo, uint8 [H,W,3], from a packed file and whatever follows it.

    Raises:
        ValueError: damaged, or an image of another size.
    """
    file = unpack(codec, packed, height, width)
    try:
        with limited():
            photo = _read(codec, file)
    except Exception as error:  # Decoders raise whatever they like on damaged data.
        raise ValueError(f"damaged {codec.name} file: {error}") from None
    if photo.shape != (height, width, 3):
        raise ValueError(f"damaged {codec.name} file: an image of shape {list(photo.shape)}, not {[height, width, 3]}")
    return photo


def made_by() -> str:
    """All that files depend on beside the photo and the quality: a digest of the libraries' versions and of this module."""
    import pillow_heif

    versions = [
        repr(pillow_heif.libheif_info()),
        *(str(features.version(name)) for name in ("avif", "jpg", "jpg_2000")),
    ]
    content = "\0".join(versions).encode() + Path(__file__).read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


@lru_cache(maxsize=64)
def _dictionary(name: str, height: int, width: int) -> bytes:
    codec = CODECS[name]
    gray = np.full((height, width, 3), _GRAY, np.uint8)
    return encode(codec, gray, codec.qualities[len(codec.qualities) // 2])[:_DICTIONARY_BYTES]


def _write(format_: str, image: Image.Image, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    if format_ == "HEIF":
        import pillow_heif

        # Without registering it: Pillow would read such files everywhere in the process.
        pillow_heif.from_pillow(image).save(file, **options)
    else:
        image.save(file, format_, **options)
    return file.getvalue()


def _read(codec: ImageCodec, file: bytes) -> Pixels:
    if codec.format == "HEIF":
        import pillow_heif

        image = pillow_heif.read_heif(file).to_pillow()
    else:
        image = Image.open(io.BytesIO(file), formats=[codec.format])
    return np.asarray(image.convert("RGB"))


def _hevc(quality: float) -> tuple[dict[str, Any]]:
    """Tuned for squared error: libheif's default is SSIM, and x265's psycho-visual terms (which also coarsen 4:4:4 chroma)
    cost 0.6 dB. YCgCo gains 0.1 dB over the default YCbCr.

    A step of the quantiser is two of quality, and 8% to 13% of the file. The odd qualities lie between: a finer quantiser
    for chroma alone makes the file 4% to 6% larger, and 0.04 dB worse than the curve through the even ones.
    """
    chroma_offset = str((-3 if quality < 40 else -1) * (quality % 2))
    offsets = {"x265:cbqpoffs": chroma_offset, "x265:crqpoffs": chroma_offset}
    tools = {"tune": "psnr", "preset": "slower", "x265:psy-rd": "0", "x265:psy-rdoq": "0", "x265:wpp": "0", **offsets}
    common = {"chroma": "444", "matrix_coefficients": _YCGCO}
    return ({"quality": quality - quality % 2, "enc_params": tools, **common},)


def _avif(quality: float) -> tuple[dict[str, Any]]:
    """Speed 4 is 0.35 dB better than 6, which takes a sixth of its time. One thread: the same file everywhere."""
    tuned = {"speed": 4, "max_threads": 1, "advanced": {"tune": "psnr"}}
    return ({"quality": quality, "subsampling": "4:4:4", **tuned},)


def _jp2k(quality: float) -> tuple[dict[str, Any]]:
    """Quality is the share of the raw size; one codestream without the JP2 boxes around it."""
    stream = {"no_jp2": True, "irreversible": True, "mct": 1}
    return ({"quality_mode": "rates", "quality_layers": [1 / quality], **stream},)


def _jpeg(quality: float) -> tuple[dict[str, Any], ...]:
    """Progressive files are smaller by 1%, but larger at the lowest qualities."""
    common = {"quality": quality, "subsampling": "4:4:4", "optimize": True}
    return tuple({**common, "progressive": progressive} for progressive in (False, True))


CODECS = {
    codec.name: codec
    for codec in (
        ImageCodec("hevc", "HEIF", tuple(range(101)), _hevc),
        ImageCodec("avif", "AVIF", tuple(range(101)), _avif),
        ImageCodec("jp2k", "JPEG2000", tuple(float(share) for share in np.geomspace(1 / 4096, 1, 256)), _jp2k),
        ImageCodec("jpeg", "JPEG", tuple(range(1, 101)), _jpeg),
    )
}
"""The codecs by name."""
