"""The Mamba encoder (latents -> ordered complex symbols) and the mirrored decoder of the reconstruction codec."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jscgc.channel.accounting import GRID, normalise_power
from jscgc.config import EncoderParams
from jscgc.encoder.mamba import VssBlock


def latent_to_grid(factor: int) -> tuple[int, int]:
    """Down-sampling from a VAE's 1/factor grid to the 1/16 grid of symbols, and spread where the latent is coarser.

    Raises:
        ValueError: a factor that 16 does not divide, nor it 16.
    """
    if max(factor, GRID) % min(factor, GRID):
        raise ValueError(f"a VAE with {factor}x down-sampling does not fit the 1/{GRID} grid of symbols")
    return max(1, GRID // factor), max(1, factor // GRID)


class Stage(nn.Module):
    """Patch embedding (x1 or x2 down-sampling, or x2 up-sampling) and visual state-space blocks."""

    def __init__(self, embed: nn.Module, width: int, depth: int, params: EncoderParams) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(VssBlock(width, params.state, params.head) for _ in range(depth))

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, snr_db)
        return x


class MambaEncoder(nn.Module):
    """MambaJSCC's encoder: stages of patch embedding and Mamba blocks, a convolution to the symbols, unit power.

    Args:
        channels: channels C of the normalised latents.
        params: stage sizes; the stages together go from the latent grid to 1/16 of the photo.
        max_rate: complex symbols per position at most. Symbols are ordered: any prefix is a valid transmission.
        factor: the VAE's down-sampling. Coarser than 16, every latent position carries several of the 1/16 grid.

    Raises:
        ValueError: the stages' down-sampling does not lead to 1/16.
    """

    def __init__(self, channels: int, params: EncoderParams, max_rate: int, factor: int) -> None:
        super().__init__()
        down, self.spread = latent_to_grid(factor)
        if math.prod(params.downsample) != down:
            raise ValueError(
                f"encoder.downsample must multiply to {down} (from 1/{factor} of the photo to 1/{GRID}), got {params.downsample}"
            )
        stages, previous = [], channels
        for width, depth, factor in zip(params.widths, params.depths, params.downsample, strict=True):
            embed = nn.Conv2d(previous, width, 3, padding=1) if factor == 1 else nn.Conv2d(previous, width, 2, stride=2)
            stages.append(Stage(embed, width, depth, params))
            previous = width
        self.stages = nn.ModuleList(stages)
        self.to_symbols = nn.Sequential(
            nn.Conv2d(previous, 2 * max_rate * self.spread**2, 3, padding=1), nn.PixelShuffle(self.spread)
        )
        self.max_rate = max_rate

    def forward(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """Normalised latents [B,C,h,w], average SNR [B] -> complex64 symbols [B,rate,h',w'] of unit power.

        Raises:
            ValueError: rate outside 1..max_rate.
        """
        if not 1 <= rate <= self.max_rate:
            raise ValueError(f"rate must be in 1..{self.max_rate} complex symbols per position, got {rate}")
        x = latents
        for stage in self.stages:
            x = stage(x, snr_db)
        real, imaginary = self.to_symbols(x).float().chunk(2, dim=1)
        return normalise_power(torch.complex(real[:, :rate].contiguous(), imaginary[:, :rate].contiguous()))


class MambaDecoder(nn.Module):
    """The encoder's mirror: feature planes of the received symbols -> latents."""

    def __init__(self, channels: int, params: EncoderParams, max_rate: int, factor: int) -> None:
        super().__init__()
        _, spread = latent_to_grid(factor)
        widths, depths, factors = params.widths[::-1], params.depths[::-1], params.downsample[::-1]
        self.from_symbols = nn.Sequential(
            nn.PixelUnshuffle(spread), nn.Conv2d(3 * max_rate * spread**2, widths[0], 3, padding=1)
        )
        stages: list[nn.Module] = []
        ups: list[nn.Module] = []
        for i, (width, depth, factor) in enumerate(zip(widths, depths, factors, strict=True)):
            stages.append(Stage(nn.Identity(), width, depth, params))
            following = widths[i + 1] if i + 1 < len(widths) else width
            if factor == 2:
                ups.append(nn.Sequential(nn.Conv2d(width, 4 * following, 1), nn.PixelShuffle(2)))
            else:
                ups.append(nn.Conv2d(width, following, 1))
        self.stages, self.ups = nn.ModuleList(stages), nn.ModuleList(ups)
        self.to_latents = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, planes: Tensor, snr_db: Tensor) -> Tensor:
        """Feature planes [B,3 max_rate,h',w'] and average SNR [B] -> normalised latents [B,C,h,w]."""
        x = self.from_symbols(planes)
        for stage, up in zip(self.stages, self.ups, strict=True):
            x = up(stage(x, snr_db))
        latents: Tensor = self.to_latents(x)
        return latents
