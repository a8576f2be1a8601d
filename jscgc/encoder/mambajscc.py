"""The block of MambaJSCC's published code (github.com/Wireless3C-SJTU/MambaJSCC), read there and written anew.

    x + out(norm(merge(selective_scan(cross_scan(gelu(dwconv(in(x))))))) * gelu(z)),   then   x + mlp(norm(x))

As there: Mamba-1's selective scan, twice as many channels inside, step sizes by way of rank D / 16, two readings (along rows,
forwards and backwards), an MLP as wide as the block. Not as there: no stochastic depth (drop path 0.2) in training, and the patch
embeddings between the blocks, which are those of `encoder.Stage` and do not normalise.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.encoder.mamba import ChannelNorm, read, write
from jscgc.encoder.selective import implementation, selective_scan
from jscgc.encoder.windows import Windows

READINGS = (0, 2)
"""Along rows, forwards and backwards; directions as of `mamba.read`."""
EXPANSION = 2
RANK = 16
"""The step sizes of D channels are products of rank D / 16."""
RESIDUAL = 2048
"""Steps after which the SNR is written into the state again: the published kernel's chunk."""


class MambaJsccBlock(nn.Module):
    """The published visual state-space block with channel adaptation, on [B,D,h,w].

    CSI-ReST (arXiv 2409.16592) writes the SNR into the scan's initial state and, against its being forgotten, into the residual
    state, without parameters. As in the published kernel the SNR in dB takes the place of the state's first entry, the one that
    decays most slowly, of every channel, at the end of each 2048 steps. That kernel leaves the initial state at zero, so that
    scans of up to 2048 steps know no SNR at all; here the initial state has it too, as the paper says.

    Args:
        width: channels D.
        state: N, entries of the state per channel.
        window: side of the squares within which the scans stay, in positions; 0: the whole image, as published.
    """

    def __init__(self, width: int, state: int, window: int = 0) -> None:
        super().__init__()
        inner, count = EXPANSION * width, len(READINGS)
        self.state, self.rank, self.window = state, math.ceil(width / RANK), window
        self.norm = ChannelNorm(width)
        self.inner = nn.Linear(width, 2 * inner, bias=False)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        # Per reading: step sizes' low rank, B and C.
        self.select = nn.Parameter(torch.empty(count, inner, self.rank + 2 * state))
        self.dt = nn.Parameter(torch.empty(count, self.rank, inner))
        self.dt_bias = nn.Parameter(torch.empty(count, inner))
        self.log_decay = nn.Parameter(torch.empty(count, inner, state))
        self._start()
        self.skip = nn.Parameter(torch.ones(count, inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out = nn.Linear(inner, width, bias=False)
        self.mlp_norm = ChannelNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    @torch.no_grad()
    def _start(self) -> None:
        """Mamba's initialisation, as published: decays 1 .. N, step sizes 0.001 .. 0.1."""
        if self.select.is_meta:  # as in `mamba.VssBlock`
            return
        inner = self.select.shape[1]
        self.select.uniform_(-(inner**-0.5), inner**-0.5)
        self.dt.uniform_(-(self.rank**-0.5), self.rank**-0.5)
        steps = torch.exp(torch.empty_like(self.dt_bias).uniform_(math.log(1e-3), math.log(1e-1)))
        self.dt_bias.copy_(torch.log(torch.expm1(steps)))
        self.log_decay.copy_(torch.log(torch.arange(1, self.state + 1)))

    @staticmethod
    def implementation(positions: int, device: torch.device) -> tuple[str, str]:
        """Which implementation scans so many positions on a device, and why."""
        return implementation(device)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """x [B,D,h,w], snr_db [B] -> [B,D,h,w]."""
        inner, gate = self.inner(self.norm.norm(x.movedim(1, -1))).chunk(2, dim=-1)
        image = F.gelu(self.depthwise(inner.movedim(-1, 1)))
        gated = self.out_norm(self._merged(image, snr_db).movedim(1, -1)) * F.gelu(gate)
        x = x + self.out(gated).movedim(-1, 1)
        output: Tensor = x + self.mlp(self.mlp_norm.norm(x.movedim(1, -1))).movedim(-1, 1)
        return output

    def _merged(self, image: Tensor, snr_db: Tensor) -> Tensor:
        """The sum of the readings of image [B,D,h,w], within windows: [B,D,h,w]."""
        height, width = image.shape[-2:]
        windows = None
        if self.window and max(height, width) > self.window:
            windows = Windows(height, width, self.window)
            image, snr_db = windows.cut(image), snr_db.repeat_interleave(windows.count(), 0)
        device = image.device.type
        exactly = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        with exactly:  # a recurrence sums its rounding errors up, see `mamba.VssBlock`
            dtype = torch.promote_types(image.dtype, torch.float32)
            merged = self._scan(image.to(dtype), snr_db.to(dtype))
        return merged if windows is None else windows.paste(merged)

    def _scan(self, image: Tensor, snr_db: Tensor) -> Tensor:
        """As `_merged`, of whole images or windows. Readings are to the scan what groups of channels are."""
        inner = image.shape[1]
        sequences = torch.stack([read(image, direction) for direction in READINGS])
        selected = torch.bmm(sequences.flatten(1, 2), self.select).reshape(*sequences.shape[:3], -1)
        low, to_state, from_state = torch.split(selected, [self.rank, self.state, self.state], dim=-1)
        dt = F.softplus(torch.bmm(low.flatten(1, 2), self.dt).reshape(sequences.shape) + self.dt_bias[:, None, None])
        u, dt = (rearrange(part, "k b l d -> b l (k d)") for part in (sequences, dt))
        B, C = (rearrange(part, "k b l n -> b l k n") for part in (to_state, from_state))
        y = csi_rest_scan(u, dt, -self.log_decay.exp().flatten(0, 1), B, C, self.skip.flatten(), snr_db)
        written = [
            write(part, direction, *image.shape[-2:])
            for part, direction in zip(torch.split(y, inner, dim=-1), READINGS, strict=True)
        ]
        return torch.stack(written).sum(0)


def csi_rest_scan(
    u_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLGN: Tensor, C_BLGN: Tensor, D_D: Tensor, snr_B: Tensor
) -> Tensor:
    """A selective scan in which the SNR [B] takes the place of the state's first entry at the start and after every `RESIDUAL`
    steps. Returns y_BLD."""
    batch, length, channels = u_BLD.shape
    state_BDN = F.pad(snr_B[:, None, None].expand(-1, channels, 1), (0, A_DN.shape[1] - 1))
    if length <= RESIDUAL:
        return selective_scan(u_BLD, dt_BLD, A_DN, B_BLGN, C_BLGN, D_D, state_BDN)
    # Entries know nothing of one another. So the first is scanned alone, in pieces that all start anew, the others as ever.
    tail = -length % RESIDUAL
    pieces = (
        F.pad(part, (0, 0) * (part.ndim - 2) + (0, tail)).reshape(-1, RESIDUAL, *part.shape[2:])
        for part in (u_BLD, dt_BLD, B_BLGN[..., :1], C_BLGN[..., :1])
    )
    u, dt, B, C = pieces
    first_state = state_BDN[..., :1].repeat_interleave(len(u) // batch, 0)
    first = selective_scan(u, dt, A_DN[:, :1], B, C, torch.zeros_like(D_D), first_state)
    others = selective_scan(u_BLD, dt_BLD, A_DN[:, 1:], B_BLGN[..., 1:], C_BLGN[..., 1:], D_D, state_BDN[..., 1:])
    return others + first.reshape(batch, -1, channels)[:, :length]
