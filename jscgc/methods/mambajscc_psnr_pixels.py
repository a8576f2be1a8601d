"""MambaJSCC from pixels to pixels, trained for least squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jscgc.encoder.params import EncoderParams
from jscgc.method import Look, Method
from jscgc.methods.mambajscc_psnr import build
from jscgc.methods.pixel_codec import PixelParams, pixel_codec
from jscgc.systems.params import CodecShape

if TYPE_CHECKING:
    from jscgc.params import Params

SIZES = EncoderParams(
    widths=[32, 64, 96, 128], depths=[1, 1, 1, 1], downsample=[2, 2, 2, 2], state=16, head=32, window=128
)
"""The four stages halve the resolution once each."""


class MambaPixelsParams(PixelParams):
    """Its network's sizes and its training."""

    encoder: EncoderParams = SIZES


def describe(params: Params) -> CodecShape:
    """As `Network.describe`."""
    return CodecShape(encoder=params.own(METHOD.name, MambaPixelsParams).encoder)


METHOD = Method(
    name="mambajscc_psnr_pixels",
    label="MambaJSCC (PSNR), pixels",
    group="pixel_codec",
    order=60,
    look=Look("#1a93ad", "solid", "triangle-up-open"),
    network=pixel_codec("mambajscc_psnr_pixels", MambaPixelsParams, CodecShape, describe, build),
)
