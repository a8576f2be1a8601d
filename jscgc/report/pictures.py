"""Received photographs: finding them, embedding them in the page, and the still grid for the README."""

from __future__ import annotations

import base64
import io
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from jscgc.channel.spec import file_name
from jscgc.data.images import open_photo, photo_size
from jscgc.files import atomic, component
from jscgc.machine import cores
from jscgc.report.reading import CANNOT_OPERATE, is_aside, method_label, order_channels, order_methods, rate_of

ORIGINAL = "original.png"
_WIDTHS = (240, 216, 192, 176, 160, 144, 128, 112, 96, 80, 64)
"""Pixels of a picture in the still grid."""


_AT_ONCE = 32
"""Pictures to encode before it is asked whether they are too many."""


class Shot(NamedTuple):
    """What one received picture shows."""

    method: str
    channel: str
    snr_db: float
    rate: int


@dataclass(frozen=True)
class Photo:
    """A photograph and the received pictures of it that exist."""

    name: str
    original: Path
    received: dict[Shot, Path]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the original."""
        return photo_size(self.original)


@dataclass(frozen=True)
class Embedded:
    """Pictures as data URIs, small enough for one page."""

    uris: dict[Path, str]
    side: int
    """Longest side in pixels they were reduced to."""
    photos: list[Photo]
    """The photographs embedded: all, or as many of the first as fit."""


def find_photos(folder: Path, results: pd.DataFrame) -> list[Photo]:
    """Photographs below `folder` with their original and the received pictures of the conditions in the results."""
    conditions = results[["method", "channel", "snr_db", "cbr"]].drop_duplicates()
    shots = sorted({Shot(m, c, float(s), rate_of(r)) for m, c, s, r in conditions.itertuples(index=False)})
    names = {s: f"{file_name(s.method)}_{file_name(s.channel)}_{s.snr_db:g}dB_{s.rate}.png" for s in shots}
    photos = []
    images = {component(str(image)): str(image) for image in set(results.get("image", ()))}
    for original in sorted(folder.glob(f"*/{ORIGINAL}")) if folder.is_dir() else []:
        received = {shot: original.parent / name for shot, name in names.items()}
        received = {shot: path for shot, path in received.items() if path.is_file()}
        if received:
            photos.append(Photo(images.get(original.parent.name, original.parent.name), original, received))
    return photos


def everywhere(photos: Sequence[Photo]) -> list[Photo]:
    """Those whose pictures were kept everywhere, not only where they were received worst."""
    most = max((len(photo.received) for photo in photos), default=0)
    return [photo for photo in photos if 2 * len(photo.received) > most]


def embed(photos: Sequence[Photo], budget: int = 6_000_000, most: int = 8) -> Embedded:
    """Encode pictures as WebP, reducing size and then number until the data URIs take at most `budget` bytes.

    Args:
        photos: what to embed; the first `most` at best.
        budget: bytes of all data URIs together.
        most: photographs, to keep the page readable.
    """
    shown = list(photos[:most])
    while True:
        paths = [path for photo in shown for path in [photo.original, *photo.received.values()]]
        for side, quality in ((384, 82), (288, 76), (208, 72)):
            uris = _data_uris(paths, side, quality, budget)
            if len(uris) == len(paths):
                return Embedded(uris, side, shown)
        shown = shown[: len(shown) // 2]


def _data_uris(paths: Sequence[Path], side: int, quality: int, budget: int) -> dict[Path, str]:
    """As `data_uri`, of all or of as many as take `budget` bytes, on all cores (Pillow encodes without Python's lock)."""
    uris: dict[Path, str] = {}
    total = 0
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            for path, uri in zip(some, pool.map(partial(data_uri, side=side, quality=quality), some), strict=True):
                total += len(uri)
                if total > budget:
                    return uris
                uris[path] = uri
    return uris


def data_uri(path: Path, side: int, quality: int) -> str:
    """A picture as a WebP data URI, its longest side at most `side` pixels."""
    stream = io.BytesIO()
    small = Image.fromarray(open_photo(path))
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(stream, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def picture_grid(pictures: Path, results: pd.DataFrame, out: Path, max_bytes: int = 1_500_000, most: int = 4) -> bool:
    """Write one PNG: a block of rows per photograph, a column per method beside the original, a row per SNR.

    Args:
        pictures: the folder with IMAGE/original.png and IMAGE/METHOD_CHANNEL_SNRdB_RATE.png (as evaluation writes them).
        results: tidy results; the grid shows their first channel (AWGN if there) at the largest CBR.
        out: the PNG to write.
        max_bytes: bound of the file; pictures are reduced until it holds.
        most: photographs at most.

    Returns:
        False, and nothing is written, if there are no pictures.
    """
    photos = [_at_best_link(photo) for photo in everywhere(find_photos(pictures, results))]
    photos = [photo for photo in photos if photo.received][:most]
    if not photos:
        return False
    # Methods that could not send one of these photographs at this link have their column too.
    link = next(iter(photos[0].received))
    stuck = results[
        (results["metric"] == CANNOT_OPERATE) & (results["value"] > 0) & (results["channel"] == link.channel)
    ]
    stuck = stuck[stuck["cbr"].map(rate_of) == link.rate]
    lost = set(stuck[["image", "method", "snr_db"]].itertuples(index=False, name=None))

    @cache
    def drawn(width: int) -> bytes:
        stream = io.BytesIO()
        _draw_grid(photos, width, lost).save(stream, format="PNG", optimize=True)
        return stream.getvalue()

    # The first that fits, by halves: to compress one takes a second.
    place = bisect_left(_WIDTHS, True, key=lambda width: len(drawn(width)) <= max_bytes)
    with atomic(out) as temporary:
        temporary.write_bytes(drawn(_WIDTHS[min(place, len(_WIDTHS) - 1)]))
    return True


def _at_best_link(photo: Photo) -> Photo:
    """The photograph with the receivers' pictures of the first channel at its largest CBR only."""
    shots = [shot for shot in photo.received if not is_aside(shot.method)]
    if not shots:
        return Photo(photo.name, photo.original, {})
    channel = order_channels(shot.channel for shot in shots)[0]
    rate = max(shot.rate for shot in shots if shot.channel == channel)
    kept = {shot: photo.received[shot] for shot in shots if (shot.channel, shot.rate) == (channel, rate)}
    return Photo(photo.name, photo.original, kept)


_PAPER, _INK, _MUTED = "white", "#1b1f24", "#5a6472"


Lost = set[tuple[str, str, float]]
"""(photograph, method, SNR) where the method could not send."""


def _draw_grid(photos: Sequence[Photo], width: int, lost: Lost) -> Image.Image:
    names = {photo.name for photo in photos}
    shown = [shot.method for photo in photos for shot in photo.received]
    methods = order_methods([*shown, *(method for name, method, _ in lost if name in names)])
    size = max(11, width // 13)
    font, gap = ImageFont.load_default(size), max(4, width // 40)
    titles = [_wrapped(title, font, width) for title in ("original", *map(method_label, methods))]
    gutter, header = round(size * 4.2), round(size * (1 + 1.2 * max(title.count("\n") + 1 for title in titles)))
    blocks = [_draw_block(photo, methods, width, gap, gutter, font, lost) for photo in photos]
    total = header + sum(block.height + 2 * gap for block in blocks)
    canvas = Image.new("RGB", (gutter + (1 + len(methods)) * (width + gap) + gap, total), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        x = gutter + column * (width + gap) + width // 2
        fitting = _fitting(max(title.split("\n"), key=font.getlength), font, width)
        draw.multiline_text((x, header // 2), title, fill=_INK, font=fitting, anchor="mm", align="center")
    y = header
    for block in blocks:
        canvas.paste(block, (0, y))
        y += block.height + 2 * gap
    return canvas


def _draw_block(
    photo: Photo,
    methods: Sequence[str],
    width: int,
    gap: int,
    gutter: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    lost: Lost,
) -> Image.Image:
    """One photograph: the original (once) with its name, and a row of received pictures per SNR."""
    original = _scaled(photo.original, width)
    height = original.height
    snrs = sorted({shot.snr_db for shot in photo.received})
    block = Image.new("RGB", (gutter + (1 + len(methods)) * (width + gap), len(snrs) * (height + gap)), _PAPER)
    draw = ImageDraw.Draw(block)
    block.paste(original, (gutter, 0))
    if len(snrs) > 1:
        name_font = _fitting(photo.name, font, width)
        draw.text((gutter + width // 2, height + 2 * gap), photo.name, fill=_MUTED, font=name_font, anchor="ma")
    for row, snr_db in enumerate(snrs):
        y = row * (height + gap)
        draw.text((gutter - 2 * gap, y + height // 2), f"{snr_db:g} dB", fill=_INK, font=font, anchor="rm")
        for column, method in enumerate(methods, start=1):
            paths = [path for shot, path in photo.received.items() if (shot.method, shot.snr_db) == (method, snr_db)]
            x = gutter + column * (width + gap)
            if paths:
                block.paste(_scaled(paths[0], width).resize(original.size), (x, y))
            else:
                draw.rectangle((x, y, x + width - 1, y + height - 1), outline=_MUTED)
                why = "cannot operate" if (photo.name, method, snr_db) in lost else "no picture"
                draw.text((x + width // 2, y + height // 2), why, fill=_MUTED, font=font, anchor="mm")
    return block


def _scaled(path: Path, width: int) -> Image.Image:
    """A picture as wide as its column; a strip higher than four times that is narrower."""
    picture = Image.fromarray(open_photo(path))
    scale = min(width / picture.width, 4 * width / picture.height)
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text in lines that fit the width, broken between words."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _fitting(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font, smaller if the text would not fit the width."""
    wide = font.getlength(text)
    if wide <= width or not isinstance(font, ImageFont.FreeTypeFont):
        return font
    return ImageFont.load_default(max(8, font.size * width / wide))
