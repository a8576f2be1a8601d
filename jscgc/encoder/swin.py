"""SwinJSCC's transformer encoder and decoder (Yang et al. 2024, arXiv 2308.09361), for comparison; blocks from torchvision.

Four stages of shifted-window attention on pixels, each halving the resolution, and the Channel ModNet that scales the
features by the SNR. Rates are nested here (any prefix of the symbols is a transmission), where SwinJSCC's Rate ModNet
chooses channels by a mask of its own, which would have to be sent. Ours, too: a linear code beside it, see
klt.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock

from jscgc.encoder.klt import Reading, Writing, silent
from jscgc.encoder.params import SwinParams
from jscgc.encoder.symbols import SymbolEncoder

SIZE = 16
"""Pixels per side of a position: four stages that halve."""
MODULATIONS = 3
"""Layers of the Channel ModNet (SwinJSCC: seven)."""


class ChannelModNet(nn.Module):
    """Features [B,h,w,D] scaled channel by channel by gates in (0,2), layer after layer, that depend on the SNR."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(MODULATIONS))
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.Sigmoid())
            for _ in range(MODULATIONS)
        )
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        told = (snr_db / 10).to(x)[:, None]
        modulated = x
        for layer, gate in zip(self.layers, self.gates, strict=True):
            modulated = 2 * layer(modulated) * gate(told)[:, None, None]
        scaled: Tensor = x * torch.sigmoid(self.out(modulated)) * 2
        return scaled


def _blocks(width: int, depth: int, heads: int, window: int) -> nn.Sequential:
    """Windows and shifted windows by turns."""
    return nn.Sequential(
        *(
            SwinTransformerBlock(width, heads, [window, window], [window // 2 * (i % 2)] * 2, norm_layer=nn.LayerNorm)
            for i in range(depth)
        )
    )


class SwinEncoder(SymbolEncoder):
    """Pixels [B,3,H,W] -> symbols at 1/16; H and W multiples of 16.

    Args:
        channels: of the input.
        params: the stages' sizes.
        max_rate: complex symbols per position.
    """

    def __init__(self, channels: int, params: SwinParams, max_rate: int) -> None:
        super().__init__(max_rate)
        stages: list[nn.Module] = []
        previous = channels
        for width, depth, heads in zip(params.widths, params.depths, params.heads, strict=True):
            # Patches of 2x2 are embedded (at the start) and merged (later) alike: four neighbours to one.
            merge = nn.Sequential(nn.Conv2d(previous, width, 2, stride=2), _ChannelsLast(), nn.LayerNorm(width))
            stages.append(nn.Sequential(merge, _blocks(width, depth, heads, params.window), _ChannelsFirst()))
            previous = width
        self.stages = nn.Sequential(*stages)
        self.modulate = ChannelModNet(previous)
        self.to_symbols = nn.Linear(previous, 2 * max_rate)
        self.linear = Reading(channels, max_rate, SIZE) if params.linear else None
        if params.linear:
            silent(self.to_symbols)

    def planes(self, latents: Tensor, snr_db: Tensor) -> Tensor:
        x = self.modulate(self.stages(latents).movedim(1, -1), snr_db)
        symbols: Tensor = self.to_symbols(x)
        planes = symbols.movedim(-1, 1)
        return planes + self.linear(latents) if self.linear else planes


class SwinDecoder(nn.Module):
    """The mirror: feature planes [B,3 max_rate,h,w] -> [B,channels,16 h,16 w]."""

    def __init__(self, channels: int, params: SwinParams, max_rate: int) -> None:
        super().__init__()
        widths = params.widths[::-1]
        self.from_symbols = nn.Linear(3 * max_rate, widths[0])
        self.modulate = ChannelModNet(widths[0])
        stages: list[nn.Module] = []
        sizes = zip(widths, [*widths[1:], channels], params.depths[::-1], params.heads[::-1], strict=True)
        for width, following, depth, heads in sizes:
            enlarge = nn.Linear(width, 4 * following)
            up = nn.Sequential(enlarge, _ChannelsFirst(), nn.PixelShuffle(2))
            stages.append(nn.Sequential(_ChannelsLast(), _blocks(width, depth, heads, params.window), up))
        self.stages = nn.Sequential(*stages)
        self.linear = Writing(channels, max_rate, SIZE) if params.linear else None
        if params.linear:
            silent(enlarge)

    def forward(self, planes: Tensor, snr_db: Tensor) -> Tensor:
        """Feature planes [B,3 max_rate,h',w'] and average SNR [B] -> [B,channels,16 h',16 w']."""
        x = self.modulate(self.from_symbols(planes.movedim(1, -1)), snr_db)
        output: Tensor = self.stages(x.movedim(-1, 1))
        return output + self.linear(planes) if self.linear else output


class _ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1)


class _ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(-1, 1)
