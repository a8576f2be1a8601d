"""The visual state-space block: an image read along four directions, with the SNR in the scan's states (CSI-ReST)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.encoder.scan import SEGMENT, scan
from jscgc.encoder.windows import Windows

DIRECTIONS = 4
TOGETHER = 4096
"""Most positions (of a window, where there are some) whose four readings are scanned in one call on a GPU: there the time goes
to calling, not to computing. A CPU is a tenth to a third faster with one reading at a time, which stays in its cache."""


def read(x: Tensor, direction: int) -> Tensor:
    """[B,D,h,w] -> [B,hw,D]: along rows (0), along columns (1), and both backwards (2, 3)."""
    order = "b d h w -> b (h w) d" if direction % 2 == 0 else "b d h w -> b (w h) d"
    sequence: Tensor = rearrange(x, order)
    return sequence.flip(1) if direction >= 2 else sequence


def write(y: Tensor, direction: int, height: int, width: int) -> Tensor:
    """[B,hw,D] -> [B,D,h,w]: the inverse of `read`."""
    order = "b (h w) d -> b d h w" if direction % 2 == 0 else "b (w h) d -> b d h w"
    image: Tensor = rearrange(y.flip(1) if direction >= 2 else y, order, h=height, w=width)
    return image


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
        window: side of the squares within which the scans stay, in positions; 0: the whole image, as published.
    """

    def __init__(self, width: int, state: int, head: int, window: int = 0) -> None:
        super().__init__()
        if width % head:
            raise ValueError(f"encoder width {width} must be a multiple of encoder.head {head}")
        self.state, self.head, self.heads, self.window = state, head, width // head, window
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
        inner, gate = self.inner(self.norm(x)).chunk(2, dim=1)
        image = F.silu(self.depthwise(inner))
        snr = (snr_db / 10).to(x) / math.sqrt(self.state)
        sign = 1 - 2 * (torch.arange(self.head, device=x.device, dtype=x.dtype) % 2)
        constant = snr[:, None] * sign
        windows = Windows(image.shape[-2], image.shape[-1], self.window) if self.window else None
        if windows is not None:
            image, constant = windows.cut(image), constant.repeat_interleave(windows.count(), 0)
        if image.is_cuda and image.shape[-2] * image.shape[-1] <= TOGETHER:
            merged = self._scan(image, constant, range(DIRECTIONS))
        else:
            # A few windows at a time, as many as a segment of a scan is long: what they need stays in the cache.
            most = max(1, SEGMENT // (image.shape[-2] * image.shape[-1]))
            pieces = zip(torch.split(image, most), torch.split(constant, most), strict=True)
            merged = torch.cat([self._in_turn(piece, state) for piece, state in pieces])
        if windows is not None:
            merged = windows.paste(merged)
        output: Tensor = x + self.out(self.out_norm(merged) * F.silu(gate))
        return output

    def _in_turn(self, image: Tensor, constant: Tensor) -> Tensor:
        """As `_scan` of all directions, one after another, summed as they come: one reading is in memory at a time, not four."""
        merged = torch.zeros_like(image)
        for direction in range(DIRECTIONS):
            merged = merged + self._scan(image, constant, [direction])
        return merged

    def _scan(self, image: Tensor, constant: Tensor, directions: Sequence[int]) -> Tensor:
        """The sum of some readings of image [B,D,h,w] with the SNR's constant state [B,P]: [B,D,h,w].

        In float32 at least, in mixed precision too: a recurrence sums its rounding errors up.
        """
        device = image.device.type
        exactly = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        with exactly:
            dtype = torch.promote_types(image.dtype, torch.float32)
            return self._scan_exactly(image.to(dtype), constant.to(dtype), list(directions))

    def _scan_exactly(self, image: Tensor, constant: Tensor, directions: list[int]) -> Tensor:
        """Directions are to the scan what heads are: each has its own step sizes and decays, and its group of maps B, C."""
        batch, count = len(image), len(directions)
        sequences = torch.stack([read(image, direction) for direction in directions])
        selected = torch.bmm(sequences.flatten(1, 2), self.select[directions]).reshape(
            count, batch, -1, self.select.shape[-1]
        )
        dt, to_state, from_state = torch.split(selected, [self.heads, self.state, self.state], dim=-1)
        y = scan(
            rearrange(sequences, "d b l (h p) -> b l (d h) p", p=self.head),
            rearrange(F.softplus(dt + self.dt_bias[directions][:, None, None]), "d b l h -> b l (d h)"),
            -self.log_decay[directions].exp().flatten(),
            rearrange(to_state, "d b l n -> b l d n").contiguous(),
            rearrange(from_state, "d b l n -> b l d n").contiguous(),
            self.skip[directions].flatten(),
            repeat(constant, "b p -> b dh p n", dh=count * self.heads, n=self.state),
        )
        # The residual state: the same constant state read out at every step.
        y = rearrange(y, "b l (d h) p -> d b l h p", d=count)
        y = y + from_state.sum(-1)[..., None, None] * constant[:, None, None]
        height, width = image.shape[-2:]
        readings = rearrange(y, "d b l h p -> d b l (h p)")
        written = [write(one, direction, height, width) for one, direction in zip(readings, directions, strict=True)]
        return torch.stack(written).sum(0)
