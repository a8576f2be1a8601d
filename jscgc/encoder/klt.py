"""Where the linear codes beside encoder and decoder start: the Karhunen-Loeve transform of the latents.

Symbols are ordered: every prefix is a transmission, so the first must carry most. Gradient descent finds such an order
slowly, as many rates pull at the same weights; for linear codes it is known: the principal components by decreasing
variance. So codecs start as that linear code, and learn from there. Our choice; neither paper has it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.encoder.symbols import SymbolEncoder


class Reading(nn.Sequential):
    """Latents [B,C,h,w] -> planes of symbols [B,2 max_rate,h',w']: of every position's own patch, and linear.

    Args:
        down: latent positions per side of a patch.
        spread: positions of the symbol grid per side that a patch becomes.
    """

    def __init__(self, channels: int, max_rate: int, down: int, spread: int = 1) -> None:
        convolution = nn.Conv2d(channels * down**2, 2 * max_rate * spread**2, 1, bias=False)
        super().__init__(nn.PixelUnshuffle(down), convolution, nn.PixelShuffle(spread))
        self.down, self.spread = down, spread


class Writing(nn.Sequential):
    """The mirror: feature planes [B,3 max_rate,h',w'] -> latents [B,C,h,w]."""

    def __init__(self, channels: int, max_rate: int, down: int, spread: int = 1) -> None:
        convolution = nn.Conv2d(3 * max_rate * spread**2, channels * down**2, 1, bias=False)
        super().__init__(nn.PixelUnshuffle(spread), convolution, nn.PixelShuffle(down))


def silent(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Start a network's last layer with nothing to add to the linear code beside it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def start_linear(encoder: SymbolEncoder, decoder: nn.Module, latents: Tensor) -> None:
    """Set both linear codes (`linear` of either) from the second moments of normalised latents [N,C,h,w].

    Component i, of decreasing variance, goes to the real part of symbol i / 2, or to the imaginary part if i is odd; where
    there are more of these than components, the components are sent again. All are sent with the same power, so that
    the decoder's gain is the same for every rate. The decoder starts by reading the first time that each is sent.
    """
    reading, writing = encoder.linear, decoder.linear
    assert isinstance(reading, Reading) and isinstance(writing, Writing)
    down, spread = reading.down, reading.spread
    patches = F.pixel_unshuffle(latents.float(), down).movedim(1, -1).flatten(0, -2)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    # Ascending, as eigh returns them. Two real parts make a symbol of unit power: each has the variance 1/2.
    deviations = (2 * variances.flip(0)).clamp_min(1e-8).sqrt()
    components = components.flip(1)
    to_symbols, to_latents = _weights(reading), _weights(writing)
    to_symbols.zero_()
    to_latents.zero_()
    for i in range(len(to_symbols)):
        # All positions that one latent position spreads to belong to the same plane, hence to the same rate.
        plane, position = divmod(i // 2, spread**2)
        channel = (plane + encoder.max_rate * (i % 2)) * spread**2 + position
        k = i % len(deviations)
        to_symbols[channel, :, 0, 0] = components[:, k] / deviations[k]
        if i < len(deviations):
            to_latents[:, channel, 0, 0] = components[:, k] * deviations[k]


def _weights(linear: nn.Sequential) -> Tensor:
    convolution = linear[1]
    assert isinstance(convolution, nn.Conv2d)
    return convolution.weight
