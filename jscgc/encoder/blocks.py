"""The encoder's visual state-space blocks: which there are, within which windows they scan, and by which implementation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from jscgc.encoder.mamba import VssBlock
from jscgc.encoder.mambajscc import MambaJsccBlock
from jscgc.encoder.params import EncoderParams


def vss_block(width: int, params: EncoderParams, pixels: int) -> VssBlock | MambaJsccBlock:
    """A block of the kind that the parameters name; a position of it is `pixels` of the photo wide."""
    window = window_positions(params, pixels)
    if params.block == "mambajscc":
        return MambaJsccBlock(width, params.state, window)
    return VssBlock(width, params.state, params.head, window)


def window_positions(params: EncoderParams, pixels: int) -> int:
    """The window's side in positions that are `pixels` of the photo wide; 0: there are no windows."""
    return max(1, params.window // pixels) if params.window else 0


@dataclass(frozen=True)
class StageScan:
    """How a stage scans: steps of a scan, and which implementation takes them, and why."""

    steps: int
    implementation: str
    why: str


def stage_scans(
    params: EncoderParams, factor: int, height: int, width: int, device: torch.device
) -> Iterator[StageScan]:
    """What each stage of the encoder does with a photo of height x width pixels (the decoder: the same, the other way round).

    Args:
        factor: of the VAE; 1 for pixels.
    """
    kind = MambaJsccBlock if params.block == "mambajscc" else VssBlock
    for down in params.downsample:
        factor *= down
        window = window_positions(params, factor)
        sides = (-(-side // factor) for side in (height, width))
        rows, columns = (min(side, window) if window else side for side in sides)
        yield StageScan(rows * columns, *kind.implementation(rows * columns, device))
