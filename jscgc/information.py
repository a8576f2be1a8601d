"""How many bits about an image reach the receiver, how many the channel could have carried, and whether the first is known.

`flow.information` measures the first in two forms, and with another image's symbols; `channel.capacity` bounds it; the ratio of
the two is the *information efficiency* of a transmitter and its symbols.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jscgc.channel.accounting import Bandwidth
    from jscgc.flow.information import Information

FORMS_AGREE = 0.2
"""Largest difference of the two forms, as a share of the larger one."""
CONTROL_IS_ZERO = 0.1
"""Largest excess of the control, as a share of the larger form."""


@dataclass(frozen=True)
class InformationRate:
    """What was measured of I(X; Y_hat) of an image, or its mean over images.

    bits, bits_losses: as difference of fields and of losses. control_bits, control_bits_losses: the same with the symbols of
    another image. uses: its data symbols. capacity_bits: their Shannon limit.
    """

    bits: float
    bits_losses: float
    control_bits: float
    control_bits_losses: float
    uses: int
    capacity_bits: float

    @property
    def control_excess_bits(self) -> float:
        """Bits that symbols of no meaning seem to carry: 0 if the unconditional field is exact.

        It is the sum of the control's two forms. Exact fields give D and -D with a large D, which neither form alone says
        anything against: a receiver that trusts its symbols is led astray by wrong ones.
        """
        return self.control_bits + self.control_bits_losses

    @property
    def failures(self) -> tuple[str, ...]:
        """What speaks against calling this an estimate: `forms`, `control`, `capacity`; nothing: it is one.

        forms: they differ by more than 20 % of the larger (the conditional field is not exact). control: its excess is more
        than 10 % of the larger form (the unconditional one is not). capacity: a form is above it.
        """
        forms = self.bits, self.bits_losses
        larger = max(map(abs, forms))
        holds = {
            "forms": abs(self.bits - self.bits_losses) <= FORMS_AGREE * larger,
            "control": abs(self.control_excess_bits) <= CONTROL_IS_ZERO * larger,
            "capacity": max(forms) <= self.capacity_bits,
        }
        return tuple(name for name, right in holds.items() if not right)

    @property
    def is_estimate(self) -> bool:
        """Whether `bits` may be called an estimate of I(X; Y_hat); otherwise it indicates, and no more."""
        return not self.failures

    @property
    def bits_per_use(self) -> float:
        return self.bits / self.uses

    @property
    def efficiency(self) -> float:
        """Share of the capacity; above 1 the fields are certainly not exact."""
        return self.bits / self.capacity_bits

    def scores(self) -> dict[str, float]:
        """As results have them."""
        return {
            "information_bits": self.bits,
            "information_bits_losses": self.bits_losses,
            "information_control_bits": self.control_bits,
            "information_control_bits_losses": self.control_bits_losses,
            "information_control_excess_bits": self.control_excess_bits,
            "capacity_bits": self.capacity_bits,
            "information_bits_per_use": self.bits_per_use,
            "information_efficiency": self.efficiency,
            "information_is_estimate": float(self.is_estimate),
        }


def information_rate(found: Information, spent: Bandwidth, channel: str, snr_db: float) -> InformationRate:
    """The rate of the one image that `found` was measured of, with a control.

    Args:
        spent: what the image cost.
        channel, snr_db: over which it was sent.
    """
    # Not before: the report, which needs no torch, knows this module.
    from jscgc.channel.capacity import ergodic_capacity

    assert found.control is not None
    forms = (found.forms.fields, found.forms.losses, found.control.fields, found.control.losses)
    bits, bits_losses, control_bits, control_bits_losses = ((form / math.log(2)).item() for form in forms)
    capacity_bits = spent.data * ergodic_capacity(channel, snr_db)
    return InformationRate(bits, bits_losses, control_bits, control_bits_losses, spent.data, capacity_bits)
