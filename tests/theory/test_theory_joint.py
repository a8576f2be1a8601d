"""What joint training can gain, by another's optimiser and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from jscgc.latent.spectrum import spectrum
from jscgc.theory.joint import FLOW, SQUARES, gain, posterior_variances, prediction

VARIANCES = torch.tensor([5.0, 1.8, 1.6, 1.5, 0.6, 0.4, 0.2, 0.1], dtype=torch.float64)


@pytest.mark.parametrize(("axes", "snr_db"), [(4, 0.0), (8, 5.0), (8, 12.0)])
def test_it_is_the_difference_of_the_two_optima(axes, snr_db):
    """Both losses minimised numerically over the powers, with no exponent assumed."""
    noise = 10 ** (-snr_db / 10) / 2

    def left(powers: np.ndarray) -> np.ndarray:
        return VARIANCES[:axes].numpy() / (1 + powers / noise)

    def best(order: float) -> np.ndarray:
        found = minimize(
            lambda p: (left(p) ** order).sum(),
            np.full(axes, 0.5),
            bounds=[(0, None)] * axes,
            constraints={"type": "eq", "fun": lambda p: p.sum() - axes / 2},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 2000},
        )
        return found.x

    unsent = VARIANCES[axes:].sqrt().sum().item()
    joint, two_stages = (np.sqrt(left(best(order))).sum() + unsent for order in (0.5, 1.0))
    assert gain(VARIANCES, axes, snr_db) == pytest.approx(two_stages / joint - 1, rel=0.02, abs=2e-5)


def test_each_is_the_best_by_its_own_loss_and_equal_components_leave_nothing_to_gain():
    flow, squares = (posterior_variances(VARIANCES, 8, 5.0, exponent) for exponent in (FLOW, SQUARES))
    assert flow.sqrt().sum() < squares.sqrt().sum() and squares.sum() < flow.sum()
    assert gain(torch.ones(6, dtype=torch.float64), 4, 5.0) == pytest.approx(0, abs=1e-12)


def test_of_a_spectrum_there_is_a_row_for_every_link():
    rows = prediction(VARIANCES.tolist(), 1)
    assert len(rows) == 8 and {row["cbr"] for row in rows} == {"2/768", "8/768"}
    assert all(0 <= row["gain"] < 0.2 for row in rows)


def test_the_spectrum_is_that_of_the_blocks_covariance():
    """Of components that are independent with known variances; pieces smaller than a block are left out."""
    rng = torch.Generator().manual_seed(0)
    deviations = torch.tensor([3.0, 1.0])[:, None, None]
    parts = [deviations * torch.randn(4, 2, 32, 34, generator=rng) for _ in range(4)]
    whole = spectrum([*parts, torch.ones(1, 2, 1, 1)], 32)  # two positions of 32 pixels a side
    found = whole.variances
    assert whole.positions == 16 and len(found) == 8 and found == sorted(found, reverse=True)
    assert np.mean(found[:4]) == pytest.approx(9, rel=0.05) and np.mean(found[4:]) == pytest.approx(1, rel=0.05)
    assert len(spectrum([torch.ones(1, 2, 3, 5)], 8).variances) == 2 * 3 * 3
    with pytest.raises(ValueError, match="no latents"):
        spectrum([], 8)
