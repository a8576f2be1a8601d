"""Which colours a file's numbers mean, as an ICC profile: the one that it embeds, or one made of what it says otherwise.

    PNG           cICP, else iCCP, else sRGB, else gAMA and cHRM
    HEIF, AVIF    an ICC profile, else nclx (the codes of ITU-T H.273)
    JPEG 2000     an ICC profile, else a number for ROMM RGB
    JPEG          an ICC profile, else EXIF's mark of Adobe RGB (DCF, which cameras write without a profile)
    others        an ICC profile

A file that says nothing is sRGB.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

import numpy as np
from PIL import Image

from jscgc.data.boxes import BROKEN, boxes, png_chunk

D65, _D50_XYZ = (0.3127, 0.3290), (0.9642, 1.0, 0.8249)
_BT709 = (*D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_PRIMARIES: dict[int, tuple[str, tuple[float, ...]]] = {
    1: ("BT.709", _BT709),
    5: ("BT.601, 625 lines", (*D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060)),
    6: ("BT.601, 525 lines", (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    9: ("BT.2020", (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351, *_P3)),
    12: ("Display P3", (*D65, *_P3)),
}
"""By their number in H.273: name, and x and y of white, red, green and blue."""
_ADOBE_RGB = (*D65, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
_ROMM = (0.3457, 0.3585, 0.734699, 0.265301, 0.159597, 0.840403, 0.036598, 0.000105)
_ROMM_IN_JPEG_2000 = 21
_GAMMAS: dict[int, float | None] = dict.fromkeys((1, 2, 6, 13, 14, 15)) | {4: 2.2, 5: 2.8, 8: 1.0}
"""H.273's transfer characteristics; None: sRGB's. A camera's curves (1, 6, 14, 15) are shown by that, too."""
_HDR = {16: "PQ", 18: "HLG"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Found:
    """name: of the colours, empty where a file says nothing. icc: the profile, None for sRGB. why: the file says something that
    can't be followed."""

    name: str = ""
    icc: bytes | None = None
    why: str = ""


def found(image: Image.Image) -> Found:
    """What an image says of its colours. Of a file that is open: before it is loaded, which closes it.

    Raises:
        ValueError: light beyond white (HDR), which 8 bits do not hold without a decision how to reduce it.
    """
    stream = getattr(image, "fp", None)
    if stream is None:
        return _of(image, None)
    place = stream.tell()
    try:
        return _of(image, stream)
    finally:
        stream.seek(place)


def _of(image: Image.Image, stream: IO[bytes] | None) -> Found:
    kind, info = image.format, image.info
    if kind == "PNG" and stream and (chunk := png_chunk(stream, b"cICP")) and len(chunk) == 4:
        return _coded(chunk[0], chunk[1])
    if kind == "JPEG2000" and stream:
        return _jpeg_2000(stream)
    if icc := info.get("icc_profile"):
        return Found(icc=icc)
    if "icc_profile" in info and kind in ("PNG", "JPEG", "MPO"):  # None: Pillow could not put it together
        return Found(why="its colour profile is damaged")
    if kind == "HEIF" and (nclx := info.get("nclx_profile")):
        return _coded(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    if kind == "AVIF" and stream:
        codes = [box for box in boxes(stream, b"meta", b"iprp", b"ipco", b"colr") if box[:4] == b"nclx"]
        if codes and len(codes[0]) >= 8:
            return _coded(*struct.unpack(">HH", codes[0][4:8]))
    if kind == "PNG" and "srgb" not in info:
        return _png(info.get("chromaticity"), info.get("gamma"))
    if kind in ("JPEG", "MPO") and _is_adobe_rgb(image):
        return Found("Adobe RGB (1998)", rgb_profile(_ADOBE_RGB, 563 / 256))
    return Found()


def _coded(primaries: int, transfer: int) -> Found:
    """By the numbers of H.273; 2 is unspecified."""
    if transfer in _HDR:
        raise ValueError(f"light beyond white ({_HDR[transfer]}): save it for standard displays first")
    name, chosen = _PRIMARIES.get(1 if primaries == 2 else primaries, ("", ()))
    if not chosen or transfer not in _GAMMAS:
        return Found(why=f"its colours are coded as {primaries}/{transfer}, which are not known here")
    gamma = _GAMMAS[transfer]
    if chosen == _BT709 and gamma is None:
        return Found()
    return Found(name if gamma is None else f"{name}, gamma {gamma:g}", rgb_profile(chosen, gamma))


def _jpeg_2000(stream: IO[bytes]) -> Found:
    for box in boxes(stream, b"jp2h", b"colr"):
        method, content = box[:1], box[3:]
        if method == b"\2":
            return Found(icc=content)
        if method == b"\1" and content[:4] == struct.pack(">I", _ROMM_IN_JPEG_2000):
            return Found("ROMM RGB", rgb_profile(_ROMM, 1.8))
    return Found()


def _png(chromaticity: Sequence[float] | None, exponent: float | None) -> Found:
    """Of cHRM and gAMA, as browsers have it: sRGB's curve without the latter, sRGB's colours without the former."""
    primaries = tuple(chromaticity or _BT709)
    if np.allclose(primaries, _BT709, atol=0.002):
        primaries = _BT709
    # 1/2.2 is what writers of sRGB say where they can't say sRGB.
    if primaries == _BT709 and (not exponent or abs(exponent - 1 / 2.2) < 0.001):
        return Found()
    gamma = 1 / exponent if exponent else None
    if not (len(primaries) == 8 and all(0 <= xy <= 1 for xy in primaries) and 0.2 <= (gamma or 1) <= 10):
        return Found(why="its cHRM and gAMA make no sense")
    name = " and ".join(("cHRM",) * (primaries != _BT709) + ("gAMA",) * (gamma is not None))
    try:
        return Found(f"PNG {name}", rgb_profile(primaries, gamma))
    except (np.linalg.LinAlgError, struct.error):
        return Found(why="its cHRM makes no sense")


def _is_adobe_rgb(image: Image.Image) -> bool:
    try:
        exif = image.getexif()
        # ColorSpace 2 is what some cameras write there, beside or instead of the interoperability index.
        return exif.get_ifd(0xA005).get(1) == "R03" or exif.get_ifd(0x8769).get(0xA001) == 2
    except BROKEN:  # damaged EXIF costs no photograph
        return False


@lru_cache(maxsize=32)
def rgb_profile(primaries: tuple[float, ...], gamma: float | None) -> bytes:
    """An ICC profile (version 4, matrix and curves).

    Args:
        primaries: x and y of white, red, green and blue.
        gamma: light is the number to this power; None: sRGB's curve.
    """
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)]).T
    white, columns = xyz[:, 0], xyz[:, 1:]
    columns = columns * np.linalg.solve(columns, white)
    cone = (_BRADFORD @ np.array(_D50_XYZ)) / (_BRADFORD @ white)
    adapted = np.linalg.solve(_BRADFORD, cone[:, None] * (_BRADFORD @ columns))
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if gamma is None else (gamma,)
    curve = struct.pack(">4sIHH", b"para", 0, 0 if gamma else 3, 0) + _fixed(numbers)
    tags = {b"wtpt": _xyz(_D50_XYZ)}
    for name, column in zip("rgb", adapted.T, strict=True):
        tags |= {f"{name}XYZ".encode(): _xyz(column), f"{name}TRC".encode(): curve}
    body, table, offset = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, offset + len(body), len(content))
        body += content
    head = struct.pack(">I4xI4s4s4s12x4s", offset + len(body), 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head.ljust(68, b"\0") + _fixed(_D50_XYZ).ljust(60, b"\0") + table + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: Sequence[float]) -> bytes:
    """Numbers as the profile's s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
