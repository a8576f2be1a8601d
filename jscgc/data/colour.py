"""Colours to sRGB, by Pillow's ImageCms (Little CMS): perceptual, with black point compensation, as viewers show photographs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from jscgc.data.profiles import Found

_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_SAME = 2
"""Levels of 255: a profile that moves no colour further is sRGB's, of which there are several, and Little CMS rounds."""


@dataclass(frozen=True)
class Colour:
    """What a photograph's colours were: profile, its name, empty where the file says nothing; whether they were converted;
    why not, if what the file says could not be followed and its numbers are taken as sRGB."""

    profile: str = ""
    converted: bool = False
    why: str = ""

    @property
    def said(self) -> bool:
        """Whether a user should hear of it."""
        return self.converted or bool(self.why)

    def __str__(self) -> str:
        """For people."""
        if self.converted:
            return f"converted from {self.profile} to sRGB"
        return f"taken as sRGB: {self.why}" if self.why else "sRGB"


def to_srgb(image: Image.Image, found: Found) -> tuple[Image.Image, Colour]:
    """The image in sRGB, and what was done; alpha stays.

    Args:
        image: of 8 bits, in any of Pillow's modes.
        found: what it says of its colours.
    """
    if found.icc is None:
        return image, Colour(found.name, why=found.why)
    mode = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    try:
        space, name, way = _way(found.icc, mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image, Colour(found.name, why="its colour profile is damaged")
    name = found.name or name
    if way is None:
        return image, Colour(name)
    if isinstance(way, str):
        return image, Colour(name, why=way)
    shown = ImageCms.applyTransform(image.convert(space), way)
    assert shown is not None
    if image.has_transparency_data:
        shown.putalpha(image.convert("RGBA").getchannel("A"))
    return shown, Colour(name, converted=True)


@lru_cache(maxsize=16)
def _way(icc: bytes, mode: str) -> tuple[str, str, ImageCms.ImageCmsTransform | str | None]:
    """The mode that a profile takes, its name, and the way to sRGB: None if it is sRGB's, a text why there is none."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    name = " ".join(ImageCms.getProfileDescription(profile).split()) or "an unnamed profile"
    given = profile.profile.xcolor_space.strip()
    space = _SPACES.get(given, given)
    # A grey photograph may have a profile of colours, of which its greys are some.
    if space != mode and (space, mode) != ("RGB", "L"):
        return mode, name, f"its colour profile is for {given}, the photograph is {mode}"
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE
    srgb = ImageCms.createProfile("sRGB")
    way = ImageCms.buildTransform(profile, srgb, space, "RGB", ImageCms.Intent.PERCEPTUAL, flags)
    return space, name, None if space in ("L", "RGB") and _moves(way, space) <= _SAME else way


def _moves(way: ImageCms.ImageCmsTransform, space: str) -> int:
    """How far the way moves a colour, in levels of 255: of all greys and a grid of colours."""
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    every = greys if space == "L" else np.concatenate([greys, grid], axis=1)
    shown = ImageCms.applyTransform(Image.fromarray(every).convert(space), way)
    return int(np.abs(np.asarray(shown).astype(int) - every).max())
