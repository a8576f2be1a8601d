"""A linear analogue code in closed form: what any learned codec on pixels has to beat.

    block of 32x32 pixels -> its mean off -> Karhunen-Loeve transform -> powers by the link -> symbols of unit power
    equalised symbols -> linear MMSE estimate of every component -> transposed transform -> block

Powers are those of the least squared error over AWGN (Lee & Petersen, "Optimal linear coding for vector channels", 1976), see
`channel.power`: as many components are sent as the link is good for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.channel.accounting import GRID
from jscgc.channel.power import shared_power
from jscgc.channel.receiver import Received
from jscgc.flow.samplers import Samples
from jscgc.systems.base import Sampling

BLOCK = 32
"""Pixels per side of a block."""
POSITIONS = (BLOCK // GRID) ** 2
"""Of the symbol grid in a block."""
SCALE_SHARE = 64
"""One symbol of so many tells the image's scale."""
SCALE_LEAST = 4
"""But at least so many, where there are as many blocks."""
MIDDLE, HALF_RANGE = -0.35, 1.6
"""Of the natural logarithm of an image's scale, which is sent as a phase: from 0.14 to 3.5."""
PHASE = 0.9 * math.pi
"""Of the ends of that range: noise must turn the phase by a fifth of a circle before one end is taken for the other."""
LEAST = 1e-6
"""Scales, reliabilities and variances below this count as this."""
GRID_OF_BLOCKS = "b (h w) (r p q) -> b r (h p) (w q)"
BLOCKS_OF_GRID = "b r (h p) (w q) -> b (h w) (r p q)"


class LinearCode(nn.Module):
    """Transmitter and receiver between pixels [B,3,H,W] in [-1,1], sides multiples of 32, and symbols.

    Every image is sent with unit power, so the receiver must learn how much it was scaled by: one symbol in SCALE_SHARE, of unit
    modulus, has that as its phase. It stands in place of the weakest component's.

    Args:
        max_rate: complex symbols per position at most; the transform has as many components as these have axes.
    """

    generative = False
    own_steps = 0

    def __init__(self, max_rate: int) -> None:
        super().__init__()
        count = 2 * max_rate * POSITIONS
        self.mean = nn.Parameter(torch.zeros(3, BLOCK, BLOCK), requires_grad=False)
        self.variances = nn.Parameter(torch.ones(count), requires_grad=False)
        self.synthesis = nn.ConvTranspose2d(count, 3, BLOCK, BLOCK, bias=False).requires_grad_(False)
        nn.init.normal_(self.synthesis.weight, std=1 / 3**0.5 / BLOCK)

    @torch.no_grad()
    def fit(self, pixels: Iterable[Tensor]) -> None:
        """Take the leading components of the blocks of these batches [B,3,H,W], turned and mirrored in all eight ways."""
        size = self.mean.numel()
        total, squares, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
        for batch in pixels:
            blocks = rearrange(batch, "b c (h p) (w q) -> (b h w) (c p q)", p=BLOCK, q=BLOCK)
            total += blocks.sum(0)
            squares += blocks.T @ blocks
            count += len(blocks)
        mean = _symmetric((total / count).reshape(self.mean.shape))
        second = (squares / count).reshape(*self.mean.shape, *self.mean.shape)
        covariance = _symmetric(second, pairs=2).reshape(size, size) - torch.outer(mean.flatten(), mean.flatten())
        variances, components = _principal(covariance, len(self.variances))
        self.mean.copy_(mean)
        self.variances.copy_(variances.clamp_min(0))
        self.synthesis.weight.copy_(components.T.reshape(self.synthesis.weight.shape))

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter."""
        powers = self._powers(snr_db, rate)
        basis = self.synthesis.weight[: powers.shape[1]]
        with torch.autocast(latents.device.type, enabled=False):
            components = F.conv2d(latents - self._everywhere(latents.shape[-2:]), basis, stride=BLOCK)
        height, width = components.shape[-2:]
        sent = rearrange(components, "b (s a) h w -> b (h w) s a", a=2) * self._gains(powers)[:, None]
        symbols = torch.view_as_complex(sent.contiguous())
        told = scale_blocks(height * width, rate)
        symbols[:, told, -1] = 0
        scale = (symbols.abs().square().sum((1, 2)) / (symbols[0].numel() - len(told))).sqrt().clamp_min(LEAST)
        symbols = symbols / scale[:, None, None]
        # Where nothing is left beside the mean, all power goes to the phases.
        rest = (symbols[0].numel() - symbols.abs().square().sum((1, 2))) / len(told)
        symbols[:, told, -1] = torch.polar(rest.clamp_min(0).sqrt(), phase_of(scale))[:, None]
        return rearrange(symbols, GRID_OF_BLOCKS, h=height, p=BLOCK // GRID, q=BLOCK // GRID)

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver; there is nothing to sample."""
        return Samples(self.reconstruct(received), 0)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> None:
        """There are no velocity fields to estimate it from."""
        return None

    def reconstruct(self, received: Received) -> Tensor:
        """Pixels [B,3,H,W] in [-1,1] from received symbols."""
        rate = received.estimate.shape[1]
        height, width = (side * GRID // BLOCK for side in received.estimate.shape[-2:])
        estimate, reliability = (
            rearrange(part, BLOCKS_OF_GRID, p=BLOCK // GRID, q=BLOCK // GRID)
            for part in (received.estimate, received.reliability)
        )
        told = scale_blocks(height * width, rate)
        scale = scale_of(torch.angle(estimate[:, told, -1].sum(1)))
        # Estimate / reliability is the symbol and noise of variance (1 - reliability) / reliability, half of it on each axis.
        reliability = reliability.clamp_min(LEAST)
        axes = torch.view_as_real(estimate / reliability)
        noise = ((1 - reliability) / reliability / 2).clone()
        noise[:, told, -1] = torch.inf
        powers = self._powers(received.snr_db, rate)
        p = rearrange(powers, "b (s a) -> b 1 s a", a=2)
        sent = axes * (p / (p + noise[..., None]).clamp_min(LEAST))
        components = sent * scale[:, None, None, None] * self._gains(powers).reciprocal().nan_to_num(0, 0, 0)[:, None]
        planes = rearrange(components, "b (h w) s a -> b (s a) h w", h=height)
        unsent = len(self.variances) - planes.shape[1]
        with torch.autocast(planes.device.type, enabled=False):
            decoded: Tensor = self.synthesis(F.pad(planes, (0, 0, 0, 0, 0, unsent)))
        return decoded + self._everywhere(decoded.shape[-2:])

    def _powers(self, snr_db: Tensor, rate: int) -> Tensor:
        slots = 2 * rate * POSITIONS
        each = [shared_power(self.variances, slots, float(one))[:slots] for one in snr_db]
        return torch.stack(each)

    def _gains(self, powers: Tensor) -> Tensor:
        """What components are multiplied by, [B,symbols,2]."""
        variances = self.variances[: powers.shape[1]].clamp_min(LEAST)
        return rearrange((powers / variances).sqrt(), "b (s a) -> b s a", a=2)

    def _everywhere(self, size: tuple[int, ...] | torch.Size) -> Tensor:
        """The mean of every block of an image."""
        return self.mean.repeat(1, size[0] // BLOCK, size[1] // BLOCK)


def _symmetric(moment: Tensor, pairs: int = 1) -> Tensor:
    """The mean of a moment [(3,32,32) x pairs] over the eight ways in which a block can lie."""
    rows, columns = [1 + 3 * i for i in range(pairs)], [2 + 3 * i for i in range(pairs)]
    turned = moment
    for row, column in zip(rows, columns, strict=True):
        turned = turned.transpose(row, column)
    ways = (moment + turned) / 2
    ways = (ways + ways.flip(rows)) / 2
    return (ways + ways.flip(columns)) / 2


def _principal(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading variances [count] and components [3072,count] of a covariance that mirroring leaves as it is.

    Then components are even or odd along either axis, and four problems of a quarter of the size have them all.
    """
    half = torch.eye(BLOCK // 2, dtype=covariance.dtype) / 2**0.5
    even, odd = torch.cat([half, half.flip(1)], 1), torch.cat([half, -half.flip(1)], 1)
    variances, components = [], []
    for rows in (even, odd):
        for columns in (even, odd):
            part = torch.kron(torch.eye(3, dtype=covariance.dtype), torch.kron(rows, columns))
            found, vectors = torch.linalg.eigh(part @ covariance @ part.T)
            variances.append(found)
            components.append(part.T @ vectors)
    every = torch.cat(variances)
    leading = every.argsort(descending=True)[:count]
    return every[leading], torch.cat(components, 1)[:, leading]


def scale_blocks(blocks: int, rate: int) -> Tensor:
    """Numbers of the blocks whose last symbol tells the scale, spread evenly over so many blocks of `rate` symbols a position."""
    count = min(blocks, max(SCALE_LEAST, math.ceil(blocks * rate * POSITIONS / SCALE_SHARE)))
    return torch.arange(count) * blocks // count


def phase_of(scale: Tensor) -> Tensor:
    """The phase that tells a scale."""
    return PHASE * ((scale.log() - MIDDLE) / HALF_RANGE).clamp(-1, 1)


def scale_of(phase: Tensor) -> Tensor:
    """The scale that a phase tells."""
    return torch.exp(MIDDLE + HALF_RANGE * (phase / PHASE).clamp(-1, 1))
