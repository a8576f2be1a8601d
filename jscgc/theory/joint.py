"""What joint training can gain over two stages with the same prior, by the spectrum of the latents alone.

Two stages send what was trained for least squared error; joint training lets the encoder share its power for loss (4) instead,
with exponent 1/3 in place of 1/2 (see `allocation`). For Gaussian components and a linear code both optima and their losses are
known in closed form, and the difference is all that a linear encoder can gain. It is no bound for networks, whose code is not
linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jscgc.channel.accounting import SOURCE_DIMENSIONS
from jscgc.channel.power import shared_power

SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
RATES = (2, 8)
FLOW, SQUARES = 1 / 3, 1 / 2
"""Exponents of the optimal powers."""


def posterior_variances(variances: Tensor, axes: int, snr_db: float, exponent: float) -> Tensor:
    """Of components [N] sent with the powers of an exponent; those that are not sent keep their own."""
    powers = shared_power(variances, axes, snr_db, exponent)
    return variances / (1 + 2 * powers * 10 ** (snr_db / 10))


def gain(variances: Tensor, axes: int, snr_db: float) -> float:
    """Share of loss (4) that the powers for the squared error have too much, for uniform t: sums of sqrt(c_i)."""
    two_stages, joint = (
        posterior_variances(variances, axes, snr_db, exponent).sqrt().sum() for exponent in (SQUARES, FLOW)
    )
    return float(two_stages / joint) - 1


def prediction(variances: Sequence[float], positions: int) -> list[dict[str, Any]]:
    """{cbr, snr_db, gain} at every link, for the components' variances of blocks of so many positions of the symbol grid."""
    components = torch.tensor(variances, dtype=torch.float64)
    return [
        {
            "cbr": f"{rate}/{SOURCE_DIMENSIONS}",
            "snr_db": snr_db,
            "gain": gain(components, min(2 * rate * positions, len(components)), snr_db),
        }
        for rate in RATES
        for snr_db in SNRS_DB
    ]
