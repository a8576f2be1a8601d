"""Laws and weights of t against closed forms and quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from jscgc.flow.times import EDGE, LOG_SNR, Times

LOW, HIGH = 1 / (1 + math.exp(LOG_SNR)), 1 / (1 + math.exp(-LOG_SNR))
LAWS = [Times(), Times("logit_normal"), Times("shifted", 3.0), Times("shifted", 0.4)]
WEIGHTED = [*LAWS[1:], Times(weight_power=1.0), Times(weight_power=0.5), Times("logit_normal", weight_power=1.0)]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def density(times: Times, t: float) -> float:
    """p(t) w(t), written down independently of the implementation."""
    law = 1.0
    if times.law == "logit_normal":
        law = norm.pdf(math.log(t / (1 - t))) / (t * (1 - t))
    elif times.law == "shifted":
        s = times.shift
        law = s / (s - (s - 1) * t) ** 2
    return law * ((1 - t) / t) ** times.weight_power


def moment(times: Times, power: int) -> float:
    """int t^power p w dt over the range that is drawn from; in log-SNR, where the integrand is smooth."""

    def integrand(x: float) -> float:
        t = 1 / (1 + math.exp(x))
        return t**power * density(times, t) * t * (1 - t)

    return integrate.quad(integrand, -LOG_SNR, LOG_SNR, limit=200)[0]


@given(count=st.integers(1, 50), seed=st.integers(0, 99))
def test_one_time_in_each_equal_share(count, seed):
    uniform = Times().sample(count, stream(seed))
    assert torch.equal((uniform * count).floor().clamp(max=count - 1).long().sort().values, torch.arange(count))
    normal = Times("logit_normal").sample(count, stream(seed)).double()
    # The logit-normal law in its own probability, Phi(logit t), is the uniform draw.
    probability = torch.special.ndtr(torch.logit(normal))
    assert torch.allclose(probability, uniform.double(), atol=1e-4)


@pytest.mark.parametrize("times", [*LAWS, *WEIGHTED], ids=str)
def test_times_are_inside_and_in_random_order(times):
    t = times.sample(10_000, stream())
    assert t.shape == (10_000,) and t.dtype == torch.float32
    assert t.min() >= (EDGE if times == Times() else LOW - 1e-6)
    assert t.max() <= (1 - EDGE if times == Times() else HIGH + 1e-6)
    firsts = torch.stack([times.sample(10, stream(seed))[0] for seed in range(200)])
    assert firsts.std() > 0.5 * t.std()


@pytest.mark.parametrize("times", WEIGHTED, ids=str)
def test_density_and_mass_are_those_of_law_and_weight(times):
    assert times.mass == pytest.approx(moment(times, 0), rel=1e-4)
    t = times.sample(100_000, stream()).double()
    for power in (1, 2):
        assert t.pow(power).mean().item() == pytest.approx(moment(times, power) / moment(times, 0), rel=1e-3)


def test_the_likelihood_weight_has_the_mass_of_its_integral():
    """int (1 - t) / t dt from a to b is ln(b / a) - (b - a)."""
    expected = math.log(HIGH / LOW) - (HIGH - LOW)
    assert Times(weight_power=1.0).mass == pytest.approx(expected, rel=1e-4)


def test_the_shifted_law_shifts():
    u = Times().sample(1000, stream()).double()
    shifted = Times("shifted", 3.0).sample(1000, stream()).double()
    assert torch.allclose(shifted, 3 * u / (1 + 2 * u), atol=2e-3)
    assert (
        Times("shifted", 1.0).mass == 1
        and torch.equal(Times("shifted", 1.0).sample(9, stream()), u[:9].float()) is False
    )


@pytest.mark.parametrize("times", [Times(), Times("logit_normal")], ids=str)
def test_small_batches_are_unbiased(times):
    means = torch.stack([times.sample(2, stream(seed)) for seed in range(5000)]).double()
    assert means.mean().item() == pytest.approx(0.5, abs=0.01)
    variance = 1 / 12 if times == Times() else moment(times, 2) / moment(times, 0) - 0.25
    assert means.var().item() == pytest.approx(variance, rel=0.05)
