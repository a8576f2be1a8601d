"""How much there is in the principal components of blocks of latents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from jscgc.channel.accounting import GRID

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentSpace

BLOCK = 64
"""Pixels per side of a block, where the latents are large enough."""


@dataclass(frozen=True)
class Spectrum:
    """variances: of the Karhunen-Loeve components of a block, decreasing. positions: of the symbol grid that it covers."""

    variances: list[float]
    positions: int


@torch.no_grad()
def spectrum(latents: Iterable[Tensor], factor: int) -> Spectrum:
    """Of normalised latents [B,C,h,w] at 1/factor, in blocks of BLOCK pixels or the first one's; smaller ones are left out.

    Raises:
        ValueError: there are no latents.
    """
    given = iter(latents)
    first = next(given, None)
    if first is None or not first.numel():
        raise ValueError("no latents to take a spectrum of")
    side = min(BLOCK // factor, *first.shape[-2:])
    total, count = torch.zeros(()), 0
    for part in chain([first], given):
        rows, columns = (size // side * side for size in part.shape[-2:])
        if rows and columns:
            blocks = F.pixel_unshuffle(part[..., :rows, :columns].float(), side).movedim(1, -1).flatten(0, -2)
            total = total + blocks.T @ blocks
            count += len(blocks)
    variances = torch.linalg.eigvalsh((total / count).double()).flip(0).clamp_min(0)
    return Spectrum(variances.tolist(), max(1, (side * factor // GRID) ** 2))


def of_photos(space: LatentSpace, photos: Iterable[Tensor]) -> Spectrum:
    """The same of photos [3,H,W] in [0,1]."""
    return spectrum((space.encode(photo[None]) for photo in photos), space.vae.factor)
