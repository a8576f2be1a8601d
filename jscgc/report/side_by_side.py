"""The labelled rows of pictures that `jscgc transmit` saves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from jscgc.data.images import Pixels

GAP = 8
PAPER, INK = (255, 255, 255), (30, 30, 30)
NARROWEST = 220
"""Pictures narrower than this are enlarged (nearest neighbour), or their labels would not fit; strips have paper beside them."""
TALLEST = 4
"""Times NARROWEST that a picture is high once it is enlarged."""
COLUMNS = 6
"""Pictures in a row at most."""
SPREAD_SHOWN = 0.25
"""Standard deviation, on the scale [0,1] of pixels, at which the uncertainty map is brightest."""


def side_by_side(pictures: Mapping[str, Pixels], title: str) -> Pixels:
    """Equal-sized pictures uint8 [H,W,3] in rows, each under its label, all under the title; uint8."""
    first = next(iter(pictures.values()))
    zoom = max(1, min(-(-NARROWEST // first.shape[1]), TALLEST * NARROWEST // first.shape[0]))
    shown = first.shape[1] * zoom, first.shape[0] * zoom
    width, height = max(NARROWEST, shown[0]), shown[1]
    # Legible in the whole row, however large the pictures are.
    size = max(13, width // 26)
    font = ImageFont.load_default(size)
    line = size + 2 * GAP
    rows, columns = -(-len(pictures) // COLUMNS), min(len(pictures), COLUMNS)
    canvas = Image.new("RGB", (GAP + columns * (width + GAP), line + rows * (line + height + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, INK, font)
    for i, (label, picture) in enumerate(pictures.items()):
        left = GAP + i % COLUMNS * (width + GAP)
        top = line + i // COLUMNS * (line + height + GAP)
        draw.text((left, top + GAP // 2), label, INK, font)
        canvas.paste(Image.fromarray(picture).resize(shown, Image.Resampling.NEAREST), (left, top + line))
    return np.asarray(canvas)


def heat_map(values: NDArray[np.floating], brightest: float) -> Pixels:
    """Values [H,W] from 0 as colours (matplotlib's inferno), uint8 [H,W,3]: black for 0, the brightest from `brightest` on."""
    from matplotlib import colormaps

    colours: Pixels = colormaps["inferno"](np.clip(values / brightest, 0, 1), bytes=True)[..., :3]
    return np.ascontiguousarray(colours)
