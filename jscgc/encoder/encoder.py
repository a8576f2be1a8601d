"""The Mamba encoder (latents -> ordered complex symbols) and the mirrored decoder of the reconstruction codec."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jscgc.channel.accounting import GRID
from jscgc.encoder.klt import Reading, Writing
from jscgc.encoder.mamba import VssBlock
from jscgc.encoder.params import EncoderParams
from jscgc.encoder.symbols import SymbolEncoder

PLANES_GAIN = 4.0
"""Of the decoder's first weights at the start, beside torch's default for inputs that are all there."""


def latent_to_grid(factor: int) -> tuple[int, int]:
    """Down-sampling from a VAE's 1/factor grid to the 1/16 grid of symbols, and spread where the latent is coarser.

    Raises:
        ValueError: a factor that 16 does not divide, nor it 16.
    """
    if max(factor, GRID) % min(factor, GRID):
        raise ValueError(f"a VAE with {factor}x down-sampling does not fit the 1/{GRID} grid of symbols")
    return max(1, GRID // factor), max(1, factor // GRID)


def patch_embedding(channels: int, width: int, factor: int) -> nn.Conv2d:
    """Non-overlapping patches of `factor` x `factor` positions, each to one of `width` channels; a 3x3 convolution for 1."""
    return nn.Conv2d(channels, width, factor, stride=factor) if factor > 1 else nn.Conv2d(channels, width, 3, padding=1)


class Stage(nn.Module):
    """Patch embedding (or, in the decoder, nothing) and visual state-space blocks."""

    def __init__(self, embed: nn.Module, width: int, depth: int, params: EncoderParams, factor: int) -> None:
        """factor: how many pixels of the photo a position of its blocks is wide."""
        super().__init__()
        self.embed = embed
        window = max(1, params.window // factor) if params.window else 0
        self.blocks = nn.ModuleList(VssBlock(width, params.state, params.head, window) for _ in range(depth))

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, snr_db)
        return x


class MambaEncoder(SymbolEncoder):
    """MambaJSCC's encoder: stages of patch embedding and Mamba blocks, a convolution to the symbols, unit power.

    It reads latents, or with `channels` = 3 and `factor` = 1 pixels.

    Args:
        channels: channels C of the normalised latents.
        params: stage sizes; the stages together go from the latent grid to 1/16 of the photo.
        max_rate: complex symbols per position at most. Symbols are ordered: any prefix is a valid transmission.
        factor: the VAE's down-sampling. Coarser than 16, every latent position carries several of the 1/16 grid.

    Raises:
        ValueError: the stages' down-sampling does not lead to 1/16.
    """

    def __init__(self, channels: int, params: EncoderParams, max_rate: int, factor: int) -> None:
        super().__init__(max_rate)
        self.down, self.spread = latent_to_grid(factor)
        if math.prod(params.downsample) != self.down:
            raise ValueError(
                f"encoder.downsample must multiply to {self.down} (from 1/{factor} of the photo to 1/{GRID}), got "
                f"{params.downsample}"
            )
        stages, previous, pixels = [], channels, factor
        for width, depth, down in zip(params.widths, params.depths, params.downsample, strict=True):
            pixels *= down
            stages.append(Stage(patch_embedding(previous, width, down), width, depth, params, pixels))
            previous = width
        self.stages = nn.ModuleList(stages)
        symbols = 2 * max_rate * self.spread**2
        self.to_symbols = nn.Sequential(nn.Conv2d(previous, symbols, 3, padding=1), nn.PixelShuffle(self.spread))
        # Beside the network: where training starts, see klt.py.
        self.linear = Reading(channels, max_rate, self.down, self.spread) if params.linear else None

    def planes(self, latents: Tensor, snr_db: Tensor) -> Tensor:
        x = latents
        for stage in self.stages:
            x = stage(x, snr_db)
        symbols: Tensor = self.to_symbols(x)
        return symbols if self.linear is None else symbols + self.linear(latents)


class MambaDecoder(nn.Module):
    """The encoder's mirror: feature planes of the received symbols -> latents."""

    def __init__(self, channels: int, params: EncoderParams, max_rate: int, factor: int) -> None:
        super().__init__()
        down, spread = latent_to_grid(factor)
        widths, depths, factors = params.widths[::-1], params.depths[::-1], params.downsample[::-1]
        first = nn.Conv2d(3 * max_rate * spread**2, widths[0], 3, padding=1)
        with torch.no_grad():
            # Most transmissions leave most planes empty. Started for all of them to be there, the few that are would hardly be
            # heard beside the blocks' outputs, and be learnt late.
            first.weight.mul_(PLANES_GAIN)
        self.from_symbols = nn.Sequential(nn.PixelUnshuffle(spread), first)
        stages: list[nn.Module] = []
        ups: list[nn.Module] = []
        pixels = factor * down
        for i, (width, depth, up) in enumerate(zip(widths, depths, factors, strict=True)):
            stages.append(Stage(nn.Identity(), width, depth, params, pixels))
            pixels //= up
            following = widths[i + 1] if i + 1 < len(widths) else width
            if up > 1:
                ups.append(nn.Sequential(nn.Conv2d(width, up**2 * following, 1), nn.PixelShuffle(up)))
            else:
                ups.append(nn.Conv2d(width, following, 1))
        self.stages, self.ups = nn.ModuleList(stages), nn.ModuleList(ups)
        self.to_latents = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.linear = Writing(channels, max_rate, down, spread) if params.linear else None

    def forward(self, planes: Tensor, snr_db: Tensor) -> Tensor:
        """Feature planes [B,3 max_rate,h',w'] and average SNR [B] -> normalised latents [B,C,h,w]."""
        x = self.from_symbols(planes)
        for stage, up in zip(self.stages, self.ups, strict=True):
            x = up(stage(x, snr_db))
        latents: Tensor = self.to_latents(x)
        return latents if self.linear is None else latents + self.linear(planes)
