"""Bandwidth and power: the one place where k, n and CBR are counted and symbols are normalised.

What the receiver gets: the k received symbols, its CSI, and constants of the session that both sides agreed on before
(image size, channel model, rate). They describe the format, not the content; nothing else crosses the link.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

GRID = 16
"""Pixels per side that one position of the symbol grid stands for."""
SOURCE_DIMENSIONS = 3 * GRID * GRID
"""Source dimensions per position: c symbols per position are CBR = c / 768."""


SIDE_INFORMATION_BITS = 0
"""What crosses the link beside the k channel uses: nothing; per-image scales or masks do not exist."""


@dataclass(frozen=True)
class Bandwidth:
    """The exact price of an image: k complex channel uses for n = 3 H W source dimensions.

    data: symbols that carry the image. overhead: what the channel charges beside them.
    """

    data: int
    overhead: int
    n: int

    @property
    def k(self) -> int:
        """Channel uses, all included."""
        return self.data + self.overhead

    @property
    def cbr(self) -> float:
        """Channel bandwidth ratio k / n, padding and overhead included."""
        return self.k / self.n


def bandwidth(
    height: int, width: int, rate: int, multiple: int = GRID, overhead: Callable[[int], int] = lambda data: 0
) -> Bandwidth:
    """k and n of an image of height x width pixels sent with `rate` complex symbols per position of the 1/16 grid.

    Both sides are padded to multiples of `multiple` pixels (16, or more for a coarser VAE); padding is paid for, and so
    is what `overhead`, a channel's, charges beside the data symbols.

    Raises:
        ValueError: an empty image.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image needs at least one pixel, got {height}x{width}")
    rows, columns = (-(-side // multiple) * multiple // GRID for side in (height, width))
    data = rate * rows * columns
    return Bandwidth(data, overhead(data), 3 * height * width)


RATES = tuple(range(1, 61))
"""Complex symbols per position that any method may send (`config.Rate`)."""


def parse_rate(cbr: str, rates: tuple[int, ...]) -> int:
    """Complex symbols per position of a CBR written as `8/768`, `1/96` or a decimal number.

    Raises:
        ValueError: not a CBR, or none that `rates` can send; says which it can.
    """
    allowed = ", ".join(f"{rate}/{SOURCE_DIMENSIONS}" for rate in rates)
    try:
        # Fraction reads huge exponents into huge integers, so only plain forms pass.
        if not re.fullmatch(r"\d{1,6}/\d{1,6}|\d?\.?\d{1,18}", cbr):
            raise ValueError
        value = Fraction(cbr)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"cbr must be a ratio such as 8/768, got {cbr!r}; this model sends {allowed}") from None
    for rate in rates:
        if abs(float(value) - rate / SOURCE_DIMENSIONS) < 1e-6:
            return rate
    raise ValueError(f"cbr {cbr} is none that this model sends; it sends {allowed}")


def normalise_power(symbols: Tensor) -> Tensor:
    """Scale complex symbols [B,...] to mean |y|^2 = 1 per image, whoever else is in the batch."""
    power = symbols.abs().square().flatten(1).mean(1).clamp_min(1e-12)
    return symbols * power.rsqrt().reshape(-1, *[1] * (symbols.ndim - 1))
