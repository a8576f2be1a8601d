"""The visual state-space block: an image read along four directions, with the SNR in the scan's states (CSI-ReST)."""

from __future__ import annotations

import math

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.encoder.scan import scan

DIRECTIONS = 4


def cross_scan(x: Tensor) -> Tensor:
    """[B,D,h,w] -> [B,hw,4,D]: along rows, along columns, and both backwards."""
    rows = rearrange(x, "b d h w -> b (h w) d")
    columns = rearrange(x, "b d h w -> b (w h) d")
    return torch.stack([rows, columns, rows.flip(1), columns.flip(1)], dim=2)


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """[B,hw,4,D] -> [B,D,h,w]: undo `cross_scan` and add the four readings."""
    rows = y[:, :, 0] + y[:, :, 2].flip(1)
    columns = y[:, :, 1] + y[:, :, 3].flip(1)
    return rearrange(rows, "b (h w) d -> b d h w", h=height, w=width) + rearrange(
        columns, "b (w h) d -> b d h w", h=height, w=width
    )


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of [B,D,h,w], position by position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.movedim(1, -1))
        return normed.movedim(-1, 1)


class VssBlock(nn.Module):
    """x + out(norm(merge(scan(cross_scan(silu(dwconv(in(x))))))) * silu(z)), on [B,D,h,w].

    CSI-ReST (MambaJSCC, arXiv 2409.16592) puts the SNR into the scan without parameters. Our reading of it: with
    s = snr_db / 10, the initial state of every head is s / sqrt(N) in each of its N entries, and the same constant state is
    read out again at every step ("residual state"), so that the SNR does not fade along the scan. Its sign alternates from
    channel to channel: the normalisation that follows subtracts whatever all channels of a position share.

    Args:
        width: channels D, a multiple of `head`.
        state: N, entries of the state per channel.
        head: P, channels that share one decay.
    """

    def __init__(self, width: int, state: int, head: int) -> None:
        super().__init__()
        if width % head:
            raise ValueError(f"encoder width {width} must be a multiple of encoder.head {head}")
        self.state, self.head, self.heads = state, head, width // head
        self.norm = ChannelNorm(width)
        self.inner = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        # Per direction: dt of every head, B and C.
        self.select = nn.Parameter(torch.randn(DIRECTIONS, width, self.heads + 2 * state) / math.sqrt(width))
        # Softplus of this bias spreads step sizes over 0.001 .. 0.1 (Mamba's initialisation).
        steps = torch.exp(torch.linspace(math.log(1e-3), math.log(1e-1), self.heads))
        self.dt_bias = nn.Parameter(torch.log(torch.expm1(steps)).repeat(DIRECTIONS, 1))
        self.log_decay = nn.Parameter(torch.log(torch.linspace(1, 16, self.heads)).repeat(DIRECTIONS, 1))
        self.skip = nn.Parameter(torch.ones(DIRECTIONS, self.heads))
        self.out_norm = ChannelNorm(width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """x [B,D,h,w], snr_db [B] -> [B,D,h,w]."""
        height, width = x.shape[-2:]
        inner, gate = self.inner(self.norm(x)).chunk(2, dim=1)
        sequence = cross_scan(F.silu(self.depthwise(inner)))
        selected = torch.einsum("blkd,kde->blke", sequence, self.select)
        dt, to_state, from_state = torch.split(selected, [self.heads, self.state, self.state], dim=-1)
        snr = (snr_db / 10).to(x) / math.sqrt(self.state)
        sign = 1 - 2 * (torch.arange(self.head, device=x.device, dtype=x.dtype) % 2)
        constant = snr[:, None] * sign
        initial = repeat(constant, "b p -> b h p n", h=DIRECTIONS * self.heads, n=self.state)
        y = scan(
            rearrange(sequence, "b l k (h p) -> b l (k h) p", p=self.head),
            rearrange(F.softplus(dt + self.dt_bias), "b l k h -> b l (k h)"),
            -self.log_decay.exp().flatten(),
            to_state.contiguous(),
            from_state.contiguous(),
            self.skip.flatten(),
            initial,
        )
        y = rearrange(y, "b l (k h) p -> b l k (h p)", k=DIRECTIONS)
        residual_state = from_state.sum(-1, keepdim=True) * repeat(constant, "b p -> b 1 1 (h p)", h=self.heads)
        merged = self.out_norm(cross_merge(y + residual_state, height, width))
        output: Tensor = x + self.out(merged * F.silu(gate))
        return output
