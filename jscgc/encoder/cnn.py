"""DeepJSCC's convolutional encoder and decoder (Bourtsoulatze, Kurka & Gunduz 2019, arXiv 1809.01733), for comparison.

Five convolutions of 5x5 with PReLU, down-sampling by stride in the first ones, as published; the last one goes to the
symbols. It knows no SNR, as the original: one model a condition. Ours: a linear code beside it, see klt.py.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

from torch import Tensor, nn

from jscgc.encoder.klt import Reading, Writing, silent
from jscgc.encoder.symbols import SymbolEncoder

LAYERS = 5
KERNEL = 5


def strides(down: int) -> list[int]:
    """Strides of the five layers for a total down-sampling of a power of two up to 32, halving as early as possible.

    Raises:
        ValueError: another number.
    """
    halvings = down.bit_length() - 1
    if 2**halvings != down or halvings > LAYERS:
        raise ValueError(f"down-sampling must be a power of two up to {2**LAYERS}, got {down}")
    return [2] * halvings + [1] * (LAYERS - halvings)


Convolution = TypeVar("Convolution", nn.Conv2d, nn.ConvTranspose2d)


def _started(convolution: Convolution) -> Convolution:
    """Initialised by He et al. for PReLU: torch's default halves the signal at every one of the ten layers."""
    mode: Literal["fan_in", "fan_out"] = "fan_out" if isinstance(convolution, nn.ConvTranspose2d) else "fan_in"
    nn.init.kaiming_normal_(convolution.weight, a=0.25, mode=mode, nonlinearity="leaky_relu")
    return convolution


class CnnEncoder(SymbolEncoder):
    """[B,channels,h,w] -> symbols at 1/down of the input's grid.

    Args:
        channels: of the input: 3 for pixels, C for latents.
        width: channels of the hidden layers (the original: 16, 32, 32, 32).
        max_rate: complex symbols per position.
        down: down-sampling from the input to the grid of symbols.
        linear: whether a linear code stands beside it.
    """

    def __init__(self, channels: int, width: int, max_rate: int, down: int, linear: bool = False) -> None:
        super().__init__(max_rate)
        layers: list[nn.Module] = []
        given = channels
        for i, stride in enumerate(strides(down)):
            out = width if i < LAYERS - 1 else 2 * max_rate
            convolution = _started(nn.Conv2d(channels, out, KERNEL, stride, padding=KERNEL // 2))
            layers += [convolution, nn.PReLU(out)]
            channels = out
        self.net = nn.Sequential(*layers[:-1])
        self.linear = Reading(given, max_rate, down) if linear else None
        if linear:
            silent(convolution)

    def planes(self, latents: Tensor, snr_db: Tensor) -> Tensor:
        symbols: Tensor = self.net(latents)
        return symbols + self.linear(latents) if self.linear else symbols


class CnnDecoder(nn.Module):
    """The mirror: feature planes [B,3 max_rate,h',w'] -> [B,channels,h,w], by transposed convolutions."""

    def __init__(self, channels: int, width: int, max_rate: int, down: int, linear: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3 * max_rate
        for i, stride in enumerate(reversed(strides(down))):
            out = width if i < LAYERS - 1 else channels
            convolution = nn.ConvTranspose2d(previous, out, KERNEL, stride, KERNEL // 2, output_padding=stride - 1)
            layers += [_started(convolution), nn.PReLU(out)]
            previous = out
        self.net = nn.Sequential(*layers[:-1])
        self.linear = Writing(channels, max_rate, down) if linear else None
        if linear:
            silent(convolution)
        assert math.prod(strides(down)) == down

    def forward(self, planes: Tensor, snr_db: Tensor) -> Tensor:
        """Feature planes [B,3 max_rate,h',w'] -> latents [B,C,h,w]; the SNR is not used, as in the original."""
        latents: Tensor = self.net(planes)
        return latents + self.linear(planes) if self.linear else latents
