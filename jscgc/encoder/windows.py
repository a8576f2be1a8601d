"""Squares of an image, within which the encoder's scans stay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Squares of `side` positions that cover a map of height x width; where they do not fit evenly, they overlap.

    Scans stay within one: a scan along a whole photograph carries states that no training crop ever built up, which cost
    a decibel (docs/findings.md).
    """

    height: int
    width: int
    side: int

    def cut(self, x: Tensor) -> Tensor:
        """[B,D,height,width] -> [B n,D,h,w], the n windows of an image one after another."""
        rows, columns = (self._positions(length, x.device) for length in (self.height, self.width))
        if rows.numel() != self.height:
            x = x.index_select(2, rows.flatten())
        if columns.numel() != self.width:
            x = x.index_select(3, columns.flatten())
        cut: Tensor = rearrange(x, "b d (i h) (j w) -> (b i j) d h w", i=len(rows), j=len(columns))
        return cut

    def paste(self, x: Tensor) -> Tensor:
        """The inverse of `cut`; where windows overlap, their mean."""
        rows, columns = (self._positions(length, x.device) for length in (self.height, self.width))
        x = rearrange(x, "(b i j) d h w -> b d (i h) (j w)", i=len(rows), j=len(columns))
        return _gathered(_gathered(x, 2, rows, self.height), 3, columns, self.width)

    def count(self) -> int:
        """How many windows an image has."""
        return -(-self.height // self.side) * -(-self.width // self.side)

    def _positions(self, length: int, device: torch.device) -> Tensor:
        """Windows' positions along an axis, [n, side]: the first starts at 0, the last ends at `length`."""
        side = min(self.side, length)
        count = -(-length // side)
        starts = torch.linspace(0, length - side, count, dtype=torch.float64).round().long()
        return (starts[:, None] + torch.arange(side)).to(device)


def _gathered(x: Tensor, dim: int, positions: Tensor, length: int) -> Tensor:
    """What lies at equal positions along an axis, averaged: that axis then has `length` entries."""
    if positions.numel() == length:
        return x
    at = positions.flatten()
    shape = list(x.shape)
    shape[dim] = length
    times = torch.bincount(at, minlength=length).to(x.dtype)
    sums = x.new_zeros(shape).index_add(dim, at, x)
    return sums / times.reshape([-1 if axis == dim else 1 for axis in range(x.ndim)])
