"""What a channel gives, does, and can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # declarations name these types, and import no torch
    from torch import Generator, Tensor

OUTAGE = 0.1
"""Share of the images that may be lost, where the transmitter has to choose a rate and one image's h decides."""
DRAWS, SYMBOLS = 200, 3000
"""Channels drawn, and symbols sent over each, for what a channel can carry where no law says it."""
LEVELS = 512
"""Equally likely values that stand for a law, or for the symbols of one drawn channel."""


@dataclass(frozen=True)
class ChannelOutput:
    """What arrives on the data symbols, and what the receiver believes of the link.

    received: h y + n, complex [B,...], like the symbols.
    gain: h as the receiver believes it, complex, [B,...] or [B,1,...].
    gain_var: error variance of that belief, float, shaped like `gain`; 0 where h is known, or taken for known.
    noise_var: sigma^2 per complex symbol as the receiver believes it, float [B].
    shrunk: whether the belief is the mean of h given what was observed, so that its error is uncorrelated with it. That of least
        squares is not: its error is uncorrelated with h, and part of what it shows.
    """

    received: Tensor
    gain: Tensor
    gain_var: Tensor
    noise_var: Tensor
    shrunk: bool = True


class Channel(Protocol):
    """A channel, and the channel uses it needs beside the data."""

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: Generator) -> ChannelOutput:
        """Symbols complex [B,...] of unit power and average SNR float [B] -> what the receiver has.

        Raises:
            ValueError: not one finite SNR per image.
        """
        ...

    def overhead(self, data: int) -> int:
        """Channel uses charged beside `data` symbols of an image: pilots, empty elements, cyclic prefix."""
        ...


class Law(Protocol):
    """What a channel can carry at an average SNR, with a receiver that knows h and a transmitter that knows h's law alone."""

    def ergodic(self, snr_db: float) -> float:
        """E log2(1 + |h|^2 SNR) in bits per data symbol."""
        ...

    def outage(self, snr_db: float) -> float:
        """Bits per data symbol that a share 1 - OUTAGE of the images carries."""
        ...

    def snrs(self, snr_db: float) -> Tensor:
        """SNRs of D equally likely images with S equally likely symbols each, linear, float64 [D, S]."""
        ...
