"""The labelled row of pictures that `jscgc transmit` saves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from jscgc.data.images import Pixels

GAP = 8
PAPER, INK = (255, 255, 255), (30, 30, 30)
NARROWEST = 220
"""Pictures narrower than this are enlarged in the row (nearest neighbour), or their labels would not fit."""


def side_by_side(pictures: Mapping[str, Pixels], title: str) -> Pixels:
    """Equal-sized pictures uint8 [H,W,3] in one row, each under its label, all under the title; uint8."""
    first = next(iter(pictures.values()))
    zoom = max(1, -(-NARROWEST // first.shape[1]))
    height, width = first.shape[0] * zoom, first.shape[1] * zoom
    # Legible in the whole row, however large the pictures are.
    size = max(13, width // 26)
    font = ImageFont.load_default(size)
    line = size + 2 * GAP
    canvas = Image.new("RGB", (GAP + len(pictures) * (width + GAP), 2 * line + height + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, INK, font)
    for i, (label, picture) in enumerate(pictures.items()):
        left = GAP + i * (width + GAP)
        draw.text((left, line + GAP // 2), label, INK, font)
        canvas.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST), (left, 2 * line))
    return np.asarray(canvas)


def heat_map(values: NDArray[np.floating], brightest: float) -> Pixels:
    """Values [H,W] from 0 as colours (matplotlib's inferno), uint8 [H,W,3]: black for 0, the brightest from `brightest` on."""
    from matplotlib import colormaps

    colours: Pixels = colormaps["inferno"](np.clip(values / brightest, 0, 1), bytes=True)[..., :3]
    return np.ascontiguousarray(colours)
