"""The methods by name: what `transmit`, `evaluate` and params.yaml may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

SHIPPED = Path(__file__).parent / "pretrained"
"""The trained models that come with the package."""


def names_of(kind: Any) -> tuple[Any, ...]:
    """The names that a type allows (a Literal, or a union of such), in their order."""
    return tuple(name for part in get_args(kind) for name in (names_of(part) or (part,)))


PixelCodecName = Literal["mambajscc_psnr_pixels", "deepjscc", "swinjscc"]
"""Reconstruction codecs from pixels to pixels, trained for least squared error."""
PerceptualCodecName = Literal[
    "mambajscc_feature", "mambajscc_lpips", "mambajscc_feature_pixels", "mambajscc_lpips_pixels"
]
"""MambaJSCC trained on for a perceptual distance, on latents or on pixels."""
CodecName = PixelCodecName | PerceptualCodecName
ClassicalName = Literal[
    "hevc_capacity",
    "hevc_ldpc",
    "avif_capacity",
    "avif_ldpc",
    "jp2k_capacity",
    "jp2k_ldpc",
    "jpeg_capacity",
    "jpeg_ldpc",
]
"""An image codec, and an ideal channel code or 5G's: nothing to train."""
LatentName = Literal["jscgc", "jscgc_fast", "mambajscc_psnr", "diffjscc", "diffcom"]
"""What works on a VAE's latents and was not trained through its decoder."""
SystemName = LatentName | CodecName | ClassicalName

SYSTEMS: tuple[SystemName, ...] = names_of(SystemName)
CODECS: tuple[CodecName, ...] = names_of(CodecName)
PIXEL: tuple[PixelCodecName, ...] = names_of(PixelCodecName)
PERCEPTUAL: tuple[PerceptualCodecName, ...] = names_of(PerceptualCodecName)
CLASSICAL: tuple[ClassicalName, ...] = names_of(ClassicalName)
PIXEL_START: PixelCodecName = "mambajscc_psnr_pixels"
"""What the perceptual codecs on pixels are trained on from."""
