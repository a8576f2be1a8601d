"""The visual state-space block: an image read along four directions, with the SNR in the scan's states (CSI-ReST)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.encoder.readings import LONGEST, readings
from jscgc.encoder.scan import SEGMENT, implementation, scan
from jscgc.encoder.windows import Windows

DIRECTIONS = 4
TOGETHER = 4096
"""Most positions (of a window, where there are some) whose four readings are scanned in one call on a GPU: there the time goes
to calling, not to computing. A CPU is a tenth to a third faster with one reading at a time, which stays in its cache."""


LEAST_STEP = 1e-20
"""Of a step's size where its logarithm is taken: a smaller one writes nothing either."""


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
        self.select = nn.Parameter(torch.empty(DIRECTIONS, width, self.heads + 2 * state))
        self.dt_bias = nn.Parameter(torch.empty(DIRECTIONS, self.heads))
        self.log_decay = nn.Parameter(torch.empty(DIRECTIONS, self.heads))
        self._start()
        self.skip = nn.Parameter(torch.ones(DIRECTIONS, self.heads))
        self.out_norm = ChannelNorm(width)
        self.out = nn.Conv2d(width, width, 1)

    @torch.no_grad()
    def _start(self) -> None:
        """Mamba's initialisation: softplus of the bias spreads step sizes over 0.001 .. 0.1."""
        # A sketch on `meta` has no values, and arithmetic there imports torch's compiler and sympy: two seconds.
        if self.select.is_meta:
            return
        self.select.normal_().div_(math.sqrt(self.select.shape[1]))
        steps = torch.exp(torch.linspace(math.log(1e-3), math.log(1e-1), self.heads))
        self.dt_bias.copy_(torch.log(torch.expm1(steps)))
        self.log_decay.copy_(torch.log(torch.linspace(1, 16, self.heads)))

    @staticmethod
    def implementation(positions: int, device: torch.device) -> tuple[str, str]:
        """Which implementation scans so many positions on a device, and why."""
        if positions <= LONGEST:
            return "readings", f"all readings of up to {LONGEST} positions are one matrix, on any device"
        return implementation(positions, device)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """x [B,D,h,w], snr_db [B] -> [B,D,h,w]."""
        # Position by position, channels last: 1x1 convolutions are then plain products, without oneDNN's way there and back.
        positions = self.norm.norm(x.movedim(1, -1))
        assert self.inner.bias is not None
        halves = zip(self.inner.weight[:, :, 0, 0].chunk(2), self.inner.bias.chunk(2), strict=True)
        inner, gate = (F.linear(positions, weight, bias) for weight, bias in halves)
        image = F.silu(self.depthwise(inner.movedim(-1, 1)))
        snr = (snr_db / 10).to(x) / math.sqrt(self.state)
        sign = 1 - 2 * (torch.arange(self.head, device=x.device, dtype=x.dtype) % 2)
        merged = self._merged(image, snr[:, None] * sign)
        gated = self.out_norm.norm(merged.movedim(1, -1)) * F.silu(gate)
        output: Tensor = x + F.linear(gated, self.out.weight[:, :, 0, 0], self.out.bias).movedim(-1, 1)
        return output

    def _merged(self, image: Tensor, constant: Tensor) -> Tensor:
        """All readings of image [B,D,h,w] with the SNR's constant state [B,P], within windows: [B,D,h,w]."""
        height, width = image.shape[-2:]
        windows = None
        if self.window and max(height, width) > self.window:
            windows = Windows(height, width, self.window)
            image, constant = windows.cut(image), constant.repeat_interleave(windows.count(), 0)
        size = image.shape[-2] * image.shape[-1]
        if size <= LONGEST or (image.is_cuda and size <= TOGETHER):
            merged = self._scan(image, constant, range(DIRECTIONS))
        else:
            # A few windows at a time, as many as a segment of a scan is long: what they need stays in the cache.
            most = max(1, SEGMENT // size)
            pieces = zip(torch.split(image, most), torch.split(constant, most), strict=True)
            merged = torch.cat([self._in_turn(piece, state) for piece, state in pieces])
        return merged if windows is None else windows.paste(merged)

    def _in_turn(self, image: Tensor, constant: Tensor) -> Tensor:
        """As `_scan` of all directions, one after another, summed as they come: one reading is in memory at a time, not four."""
        merged = torch.zeros_like(image)
        for direction in range(DIRECTIONS):
            merged = merged + self._scan(image, constant, [direction])
        return merged

    def _scan(self, image: Tensor, constant: Tensor, directions: Sequence[int]) -> Tensor:
        """The sum of some readings of image [B,D,h,w] with the SNR's constant state [B,P]: [B,D,h,w].

        Decays are float32 at least, in mixed precision too: a recurrence sums its rounding errors up. Of small windows, where
        nothing recurs, the products may be less.
        """
        device = image.device.type
        mixed = torch.is_autocast_enabled(device) if torch.amp.is_autocast_available(device) else False
        exactly = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        with exactly:
            dtype = torch.promote_types(image.dtype, torch.float32)
            image, constant = image.to(dtype), constant.to(dtype)
            if len(directions) == DIRECTIONS and image.shape[-2] * image.shape[-1] <= LONGEST:
                return self._readings(image, constant, torch.get_autocast_dtype(device) if mixed else dtype)
            return self._scan_exactly(image, constant, list(directions))

    def _readings(self, image: Tensor, constant: Tensor, products: torch.dtype) -> Tensor:
        """As `_scan_exactly` of all directions of small windows; products in a type of their own."""
        batch, channels, height, width = image.shape
        positions = image.movedim(1, -1).reshape(batch, -1, channels)
        selected = positions.to(products) @ self.select.transpose(0, 1).flatten(1).to(products)
        each = rearrange(selected.to(image.dtype), "b l (d k) -> b l d k", d=DIRECTIONS)
        dt, to_state, from_state = torch.split(each, [self.heads, self.state, self.state], dim=-1)
        x = rearrange(positions, "b l (h p) -> b h l p", p=self.head)
        log_dt = F.softplus(dt + self.dt_bias).clamp_min(LEAST_STEP).log()
        y, left = readings(
            x.to(products),
            rearrange(log_dt, "b l d h -> b d h l"),
            -self.log_decay.exp(),
            rearrange(to_state, "b l d n -> b d l n").to(products),
            rearrange(from_state, "b l d n -> b d l n").to(products),
            height,
            width,
        )
        # What is left of the initial state, and the residual state: the same constant read out at every step.
        read_out = rearrange(from_state.sum(-1), "b l d -> b d 1 l") * (1 + left)
        y = y + x * self.skip.sum(0)[:, None, None] + read_out.sum(1)[..., None] * constant[:, None, None]
        return rearrange(y, "b h (i j) p -> b (h p) i j", i=height)

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
