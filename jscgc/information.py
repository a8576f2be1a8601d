"""How many bits about an image reach the receiver, and how many the channel could have carried.

`flow.information` estimates the first, `channel.capacity` bounds the second; their ratio is the *information efficiency* of a
transmitter and its symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jscgc.channel.accounting import Bandwidth

TRUSTED_EFFICIENCY = 0.5
"""Above this share of the capacity the estimate is not to be trusted: what the unconditional field has not learnt counts as
information too, and there is no more room to tell the two apart."""


@dataclass(frozen=True)
class InformationRate:
    """bits: estimate of I(X; Y_hat) of an image. uses: its data symbols. capacity_bits: their Shannon limit."""

    bits: float
    uses: int
    capacity_bits: float

    @property
    def bits_per_use(self) -> float:
        return self.bits / self.uses

    @property
    def efficiency(self) -> float:
        """Share of the capacity; above 1 the estimate is certainly wrong (the fields are not exact)."""
        return self.bits / self.capacity_bits


def information_rate(bits: float, spent: Bandwidth, channel: str, snr_db: float) -> InformationRate:
    """The rate of an image that `bits` were estimated for.

    Args:
        bits: estimate of I(X; Y_hat), as `flow.information.mutual_information` gives it.
        spent: what the image cost.
        channel, snr_db: over which it was sent.
    """
    # Not before: the report, which needs no torch, knows this module.
    from jscgc.channel.capacity import ergodic_capacity

    return InformationRate(bits, spent.data, spent.data * ergodic_capacity(channel, snr_db))
