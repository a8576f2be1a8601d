"""Powers of least loss, by another's optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from jscgc.channel.power import shared_power

SPECTRUM = torch.tensor([9.0, 4.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05], dtype=torch.float64)


def loss(powers, axes: int, snr_db: float, order: float) -> float:
    """Sum of the posterior variances to a power, over the components that are sent."""
    noise = 10 ** (-snr_db / 10) / 2
    return float(((SPECTRUM[:axes].numpy() / (1 + powers / noise)) ** order).sum())


@pytest.mark.parametrize("exponent", [1 / 2, 1 / 3, 1 / 4])
@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 12.0])
@pytest.mark.parametrize("axes", [2, 5, 8])
def test_they_are_what_an_optimiser_finds(axes, snr_db, exponent):
    powers = shared_power(SPECTRUM, axes, snr_db, exponent)
    assert powers.sum().item() == pytest.approx(axes / 2) and (powers >= 0).all() and not powers[axes:].any()
    order = exponent / (1 - exponent)
    found = minimize(
        loss,
        np.full(axes, 0.5),
        args=(axes, snr_db, order),
        bounds=[(0, None)] * axes,
        constraints={"type": "eq", "fun": lambda p: p.sum() - axes / 2},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    ours = loss(powers[:axes].numpy(), axes, snr_db, order)
    # It keeps the sum to a part in 10^8 only.
    assert ours <= found.fun * (1 + 1e-6) and ours == pytest.approx(found.fun, rel=1e-4)


def test_the_law_is_a_power_of_the_variance_where_all_are_sent():
    snr = 1 + 2 * 10**3.0 * shared_power(SPECTRUM, 8, 30.0, 1 / 3)
    slope = np.polyfit(SPECTRUM.log().numpy(), snr.log().numpy(), 1)[0]
    assert slope == pytest.approx(1 / 3, abs=1e-9)


def test_a_component_that_is_nothing_gets_nothing():
    powers = shared_power(torch.tensor([1.0, 0.0]), 2, 20.0)
    assert powers.tolist() == [1.0, 0.0]
