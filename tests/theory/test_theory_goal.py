"""Prop. 1 and 4 in our reading: every side by quadrature or finite differences instead of its formula; wrong factors are seen."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from jscgc.theory import bounds, goal
from jscgc.theory.gaussians import FIELDS, SOURCE, Gaussian, Wrong, sampled_laws
from jscgc.theory.goal import GAIN, LEFT, NOISE, RECEIVERS, Receiver

X = np.linspace(-9, 9, 1201)
Y = np.linspace(-10, 11, 1201)


def density(x: np.ndarray, mean: np.ndarray | float, variance: float) -> np.ndarray:
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def integral(values: np.ndarray) -> float:
    return float(np.trapezoid(np.trapezoid(values, X, axis=0), Y))


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.name)
def test_both_sides_of_prop_1_are_those_of_the_densities(receiver: Receiver):
    x, y = X[:, None], Y[None]
    prior = density(x, SOURCE.mean, SOURCE.variance)
    joint = prior * density(y, x, NOISE)
    p_y = np.trapezoid(joint, X, axis=0)[None]
    q = density(x, receiver.gain * y + receiver.shift, receiver.variance) + 1e-300
    q_x = np.trapezoid(q * p_y, Y, axis=1)[:, None]
    information = integral(joint * np.log((joint + 1e-300) / (prior * p_y + 1e-300)))
    divergence = float(np.trapezoid((prior * np.log((prior + 1e-300) / (q_x + 1e-300)))[:, 0], X))
    crossed = integral(-joint * np.log(q))
    entropy = float(np.trapezoid((-prior * np.log(prior + 1e-300))[:, 0], X))
    assert goal.goal(receiver) == pytest.approx(divergence - information, abs=1e-5)
    assert receiver.cross_entropy() - goal.entropy(SOURCE.variance) == pytest.approx(crossed - entropy, abs=1e-5)
    assert receiver.conditional_kl() == pytest.approx(
        integral(joint * np.log((joint + 1e-300) / (q * p_y + 1e-300))), abs=1e-5
    )


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: r.name)
def test_prop_1_holds_for_every_multiplier_up_to_one(receiver: Receiver):
    limit = receiver.cross_entropy() - goal.entropy(SOURCE.variance)
    assert all(goal.goal(receiver, multiplier) <= limit + 1e-12 for multiplier in (0, 0.3, 1))


def test_prop_1_holds_for_no_multiplier_much_larger():
    """A receiver of little gain that is shifted: its marginal is nearly as wrong as its conditionals."""
    found = Receiver("", GAIN, (1 - GAIN) * SOURCE.mean + 5.0, LEFT)
    limit = found.cross_entropy() - goal.entropy(SOURCE.variance)
    assert goal.goal(found, 1.0) < limit < goal.goal(found, 1.1 * SOURCE.variance / LEFT)


@pytest.mark.parametrize("wrong", FIELDS, ids=lambda w: w.name)
def test_the_integrand_of_prop_4_is_the_rate_of_the_divergence(wrong: Wrong):
    """Sign, factor and Fisher divergence: against finite differences in t, and by Monte Carlo over x."""
    laws, step = sampled_laws(wrong, stochastic=False), 1e-4

    def divergence(t: float) -> float:
        return SOURCE.noised(t).kl(laws(t))

    noise = np.random.default_rng(0).standard_normal(400_000)
    for t in (0.15, 0.5, 0.9):
        p, q = SOURCE.noised(t), laws(t)
        rate, fisher = bounds.score_terms(wrong, p, q, t)
        assert rate == pytest.approx(-(divergence(t + step) - divergence(t - step)) / (2 * step), abs=1e-6)
        x = p.mean + math.sqrt(p.variance) * noise
        scores = -(x - p.mean) / p.variance + (x - q.mean) / q.variance
        assert rate == pytest.approx(((wrong.slope(t) * x + wrong.shift(t)) * scores).mean(), abs=2e-3)
        assert fisher == pytest.approx((scores**2).mean(), abs=2e-3)


def test_no_shift_of_that_loss_costs_the_ode_more_than_the_worst():
    """Prop. 4's remark, against shifts of other forms."""
    source = Gaussian(0.3, 0.04)
    limit = math.pi / (4 * math.sqrt(source.variance))
    for form in (lambda t: 1.0, lambda t: t, lambda t: 1 - t, lambda t: float(t < 0.2), lambda t: math.exp(-6 * t)):
        shift = Wrong("", lambda t: 0.0, form)
        loss = bounds.over_time(lambda t, f=form: f(t) ** 2)
        assert 0 < source.kl(sampled_laws(shift, False, source)(0.0)) < limit * loss


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("module", [goal, bounds])
def test_a_wrong_weight_of_the_loss_is_seen(monkeypatch, module, factor):
    right = module.likelihood_loss
    monkeypatch.setattr(module, "likelihood_loss", lambda *a: factor * right(*a))
    rows = goal.goals() if module is goal else bounds.bounds()
    assert not all(row.ok for row in rows)


@pytest.mark.parametrize("factor", [-1.0, 0.5, 2.0])
def test_a_wrong_factor_or_sign_of_prop_4_is_seen(monkeypatch, factor):
    right = bounds.score_terms
    monkeypatch.setattr(bounds, "score_terms", lambda *a: (factor * right(*a)[0], right(*a)[1]))
    missed = [row.check for row in bounds.bounds() if not row.ok]
    assert len(missed) == len(FIELDS) and all("as an integral over time" in name for name in missed)


def test_a_wrong_entropy_is_seen(monkeypatch):
    """The constant of the evidence bound."""
    right = goal.entropy
    monkeypatch.setattr(goal, "entropy", lambda variance: right(variance) + 0.01)
    assert not all(row.ok for row in goal.goals())


def test_what_a_receiver_draws_is_the_mixture_over_y():
    """The linear law of `sampled` against each y's own."""
    for wrong in FIELDS:
        found = goal.sampled(wrong)
        for y in (-1.0, 2.5):
            mean = GAIN * y + (1 - GAIN) * SOURCE.mean
            own = sampled_laws(wrong, True, Gaussian(mean, LEFT))(0.0)
            assert (found.gain * y + found.shift, found.variance) == pytest.approx(dataclasses.astuple(own), abs=1e-6)
