"""Every statement holds; and a statement that does not hold is seen."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from jscgc.theory import CHECKS, Check
from jscgc.theory.gaussians import FIELDS, Wrong, sampled_law
from jscgc.theory.solvers import MEAN, VARIANCE


@pytest.mark.parametrize("subject", CHECKS)
def test_the_theory_holds(subject):
    rows, figures = CHECKS[subject]()
    assert rows and json.dumps([[row.row() for row in rows], figures])
    missed = [f"{row.check}: expected {row.expected:g}, measured {row.measured:g}" for row in rows if not row.ok]
    assert not missed


def test_what_misses_its_tolerance_is_seen():
    assert Check("x", 1, 1.1, 0.2, "").ok and not Check("x", 1, 1.1, 0.05, "").ok
    assert not Check("x", 1, 0.9, 0.05, "").ok
    assert Check("x", 1, 0.2, 0.0, "", bound=True).ok and not Check("x", 1, 1.1, 0.05, "", bound=True).ok
    assert not Check("x", 1, math.nan, 0.5, "").ok


@pytest.mark.parametrize("stochastic", [True, False])
@pytest.mark.parametrize("wrong", FIELDS, ids=lambda w: w.name)
def test_the_law_of_a_wrong_field_is_that_of_its_samples(wrong: Wrong, stochastic: bool):
    """The bounds' left sides, by simulation instead of by moment equations."""
    import torch

    from jscgc.flow.gaussian import gaussian_velocity
    from jscgc.flow.samplers import Grid, sample

    exact = gaussian_velocity(MEAN, VARIANCE)

    def velocity(x, t):
        at = t[0].item()
        return exact(x, t) + wrong.slope(at) * x + wrong.shift(at)

    noise = torch.randn(1, 100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    solver, rng = ("sde" if stochastic else "heun"), torch.Generator().manual_seed(1)
    coarse, fine = (sample(velocity, noise, Grid(steps), solver, rng=rng).x0.numpy() for steps in (150, 300))
    law = sampled_law(wrong, stochastic)
    assert 2 * fine.mean() - coarse.mean() == pytest.approx(law.mean, abs=0.02)
    assert 2 * fine.var() - coarse.var() == pytest.approx(law.variance, rel=0.03)
    assert np.isfinite(fine).all()
