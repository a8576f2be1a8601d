"""The OFDM grid of the multipath channels: slots of 14 OFDM symbols, two of them pilots, and its price.

    time ->    0  1  P  3  4  5  6  7  8  9 10  P 12 13 | 0  1  P ...      P: QPSK pilots on all subcarriers (like NR DM-RS)

An image's symbols fill the data elements in order: slot after slot, OFDM symbol after OFDM symbol, subcarrier after
subcarrier. Whole slots are sent: the last one's unused elements stay empty but are charged, even if an image is small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

SLOT = 14
"""OFDM symbols per slot."""
PILOTS = (2, 11)
"""OFDM symbols of a slot that are pilots."""
DATA = tuple(symbol for symbol in range(SLOT) if symbol not in PILOTS)
CYCLIC_PREFIX = Fraction(144, 2048)
"""Length of NR's normal cyclic prefix relative to an OFDM symbol; every OFDM symbol has one."""


@dataclass(frozen=True)
class Grid:
    """Slots of `subcarriers` subcarriers, [slots, 14, subcarriers] resource elements per image."""

    subcarriers: int

    def slots(self, data: int) -> int:
        """Slots that `data` symbols of an image need."""
        return -(-data // (len(DATA) * self.subcarriers))

    def overhead(self, data: int) -> int:
        """Channel uses beside the data: pilots, empty elements, and the cyclic prefix rounded up to whole uses."""
        elements = self.slots(data) * SLOT * self.subcarriers
        return elements + math.ceil(elements * CYCLIC_PREFIX) - data

    def data_elements(self, grid: Tensor, shape: torch.Size) -> Tensor:
        """[B, slots, 14, S] -> the elements that carry an image's symbols, shaped [B,...] like them."""
        flat = grid[:, :, list(DATA)].flatten(1)
        return flat[:, : math.prod(shape[1:])].reshape(shape)

    def pilots(self) -> Tensor:
        """The pilots' QPSK symbols of unit power, complex [2, S]; fixed, so both sides know them."""
        bits = torch.randint(0, 2, (len(PILOTS), self.subcarriers, 2), generator=torch.Generator().manual_seed(0))
        return torch.view_as_complex((2.0 * bits - 1) / math.sqrt(2))
