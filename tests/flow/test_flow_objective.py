"""The loss (paper, eq. 4) where it is known: fields of Gaussian data."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate
from scipy.stats import norm
from torch import Tensor

from jscgc.flow.gaussian import gaussian_velocity
from jscgc.flow.objective import flow_matching_loss, lagrangian_weights
from jscgc.flow.path import expand, preconditioning
from jscgc.flow.times import LOG_SNR, Times


def error_at(t: float, c: float) -> float:
    """docs/theory.md: V = c / ((1-tau)^2 + tau^2 c) with tau = 1 - t."""
    return c / (t**2 + (1 - t) ** 2 * c)


def data(images: int = 2000, values: int = 500, seed: int = 0) -> Tensor:
    return torch.randn(images, values, generator=torch.Generator().manual_seed(seed))


def test_doing_nothing_costs_two():
    loss = flow_matching_loss(lambda x_t, t: torch.zeros_like(x_t), data(), torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(2, rel=0.005)


def test_the_exact_field_of_white_data_costs_half_pi():
    x0 = data()
    loss = flow_matching_loss(gaussian_velocity(0.0, 1.0), x0, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(math.pi / 2, rel=0.005)

    def preconditioned(x_t: Tensor, t: Tensor) -> Tensor:
        return expand(preconditioning(t)[0], x_t) * x_t

    again = flow_matching_loss(preconditioned, x0, torch.Generator().manual_seed(1))
    assert again.item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("c", [0.5, 0.1, 0.01])
def test_the_loss_is_half_pi_times_the_posterior_standard_deviation(c):
    closed, _ = integrate.quad(error_at, 0, 1, args=(c,), points=[math.sqrt(c) / 2])
    assert closed == pytest.approx(math.pi / 2 * math.sqrt(c), rel=1e-6)
    mean = math.sqrt(1 - c) * data(seed=3)
    x0 = mean + math.sqrt(c) * data(seed=4)
    loss = flow_matching_loss(gaussian_velocity(mean, c), x0, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(closed, rel=0.01)


def test_logit_normal_times_weigh_the_same_error_by_their_density():
    closed, _ = integrate.quad(lambda z: error_at(1 / (1 + math.exp(-z)), 0.1) * norm.pdf(z), -12, 12)
    mean = math.sqrt(0.9) * data(seed=3)
    x0 = mean + math.sqrt(0.1) * data(seed=4)
    rng = torch.Generator().manual_seed(1)
    loss = flow_matching_loss(gaussian_velocity(mean, 0.1), x0, rng, Times("logit_normal"))
    assert loss.item() == pytest.approx(closed, rel=0.01)
    assert abs(closed / (math.pi / 2 * math.sqrt(0.1)) - 1) > 0.05  # it is another number than the uniform law's


@pytest.mark.parametrize("c", [0.5, 0.1])
def test_the_likelihood_weighting_measures_the_information_that_is_lost(c):
    """docs/theory.md: weighted by tau / (1 - tau), the difference to c = 1 is 0.5 ln(1/c)."""
    losses = []
    for variance in (1.0, c):
        mean = math.sqrt(1 - variance) * data(seed=3)
        x0 = mean + math.sqrt(variance) * data(seed=4)
        field = gaussian_velocity(mean, variance)
        losses.append(flow_matching_loss(field, x0, torch.Generator().manual_seed(1), Times(weight_power=1.0)).item())
    assert losses[0] - losses[1] == pytest.approx(0.5 * math.log(1 / c), rel=0.05)
    # Cut at |lambda| = 7, the integral itself is int (1-t)^2 V d lambda.
    closed, _ = integrate.quad(
        lambda x: error_at(1 / (1 + math.exp(x)), c) / (1 + math.exp(-x)) ** 2, -LOG_SNR, LOG_SNR
    )
    assert losses[1] == pytest.approx(closed, rel=0.01)


@pytest.mark.parametrize("dropout, weight", [(0.1, 0.1), (0.25, 1.0), (0.5, 0.0)])
def test_the_lagrangian_is_the_sum_of_its_two_terms(dropout, weight):
    """A field that is right with the condition and wrong without it: E = conditional + weight * unconditional."""
    c, images = 0.2, 20_000
    mean = math.sqrt(1 - c) * data(images, 20, seed=3)
    x0 = mean + math.sqrt(c) * data(images, 20, seed=4)
    keep = (torch.rand(images, generator=torch.Generator().manual_seed(5)) >= dropout).float()
    known, unknown = gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0)

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.where(keep[:, None] > 0, known(x_t, t), unknown(x_t, t))

    weights = lagrangian_weights(keep, dropout, weight)
    loss = flow_matching_loss(velocity, x0, torch.Generator().manual_seed(1), weights=weights).item()
    assert loss == pytest.approx(math.pi / 2 * (math.sqrt(c) + weight), rel=0.02)


def test_a_wrong_field_costs_more():
    x0, losses = data(), {}
    for factor in (0.8, 1.0, 1.2):
        exact = gaussian_velocity(0.0, 1.0)
        rng = torch.Generator().manual_seed(1)
        losses[factor] = flow_matching_loss(lambda x, t, f=factor, v=exact: f * v(x, t), x0, rng).item()
    assert losses[1.0] < min(losses[0.8], losses[1.2])


def test_same_generator_same_loss_and_gradients_flow():
    scale = torch.tensor(0.5, requires_grad=True)
    losses = [
        flow_matching_loss(lambda x_t, t: scale * x_t, data(4, 8), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert losses[0].item() == losses[1].item() != losses[2].item()
    losses[0].backward()
    assert scale.grad.abs().item() > 0
