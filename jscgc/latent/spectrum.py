"""How much there is in the principal components of blocks of latents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jscgc.latent.autoencoder import LatentSpace

BLOCK = 64
"""Pixels per side of a block: larger ones change what is computed from it by less than a third."""


@torch.no_grad()
def spectrum(latents: Iterable[Tensor], side: int) -> list[float]:
    """Variances of the Karhunen-Loeve components of side x side blocks of normalised latents [B,C,h,w], decreasing.

    Raises:
        ValueError: none of the latents has a whole block.
    """
    total, count = torch.zeros(()), 0
    for part in latents:
        rows, columns = (size // side * side for size in part.shape[-2:])
        if rows and columns:
            blocks = F.pixel_unshuffle(part[..., :rows, :columns].float(), side).movedim(1, -1).flatten(0, -2)
            total = total + blocks.T @ blocks
            count += len(blocks)
    if not count:
        raise ValueError(f"no latents of at least {side}x{side} positions")
    variances: list[float] = torch.linalg.eigvalsh((total / count).double()).flip(0).clamp_min(0).tolist()
    return variances


def of_photos(space: LatentSpace, photos: Iterable[Tensor]) -> list[float]:
    """The same of photos [3,H,W] in [0,1]."""
    return spectrum((space.encode(photo[None]) for photo in photos), BLOCK // space.vae.factor)
