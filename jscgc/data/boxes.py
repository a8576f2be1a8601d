"""Boxes of JPEG 2000 and AVIF files (ISO/IEC 15444-1 annex I, 14496-12) and chunks of PNG files: what Pillow does not tell."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

BROKEN = (
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
_FULL = frozenset({b"meta"})
"""Boxes whose content begins with four bytes of version and flags."""
_MOST = 1 << 22
"""Bytes of a box or chunk that are read: more than the largest profiles have."""


def boxes(stream: IO[bytes], *path: bytes) -> list[bytes]:
    """The content, of at most 4 MiB, of every box at a path of names; in a damaged file up to the damage."""
    end = stream.seek(0, 2)
    return [_read(stream, begin, min(stop, begin + _MOST)) for begin, stop in _at(stream, 0, end, path)]


def _at(stream: IO[bytes], begin: int, end: int, path: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    if not path:
        yield begin, end
        return
    while end - begin >= 8:
        size, name = struct.unpack(">I4s", _read(stream, begin, begin + 8))
        inner = begin + 8
        if size == 1 and end - begin >= 16:
            (size,) = struct.unpack(">Q", _read(stream, inner, inner + 8))
            inner += 8
        stop = end if size == 0 else begin + size
        if not inner <= stop <= end:
            return
        if name == path[0]:
            yield from _at(stream, inner + 4 * (name in _FULL), stop, path[1:])
        begin = stop


def png_chunk(stream: IO[bytes], wanted: bytes) -> bytes | None:
    """The content of a chunk before the pixels, None if there is none."""
    begin, end = 8, stream.seek(0, 2)
    while end - begin >= 12:
        size, name = struct.unpack(">I4s", _read(stream, begin, begin + 8))
        if name in (b"IDAT", b"IEND"):
            return None
        if name == wanted:
            return _read(stream, begin + 8, begin + 8 + min(size, _MOST))
        begin += size + 12
    return None


def _read(stream: IO[bytes], begin: int, stop: int) -> bytes:
    stream.seek(begin)
    return stream.read(stop - begin)
