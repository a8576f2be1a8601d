"""The loss (paper, eq. 4) where it is known: fields of Gaussian data."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate
from scipy.stats import norm
from torch import Tensor

from jscgc.flow.objective import flow_matching_loss
from jscgc.flow.path import expand, preconditioning


def posterior_field(mean: Tensor, c: float):
    """E[eps - x0 | x_t] for x0 ~ N(mean, c): the mean is what the receiver knows, c what it does not."""

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        s = expand(t, x_t)
        variance = (1 - s) ** 2 * c + s**2
        return -mean + (s - (1 - s) * c) / variance * (x_t - (1 - s) * mean)

    return velocity


def error_at(t: float, c: float) -> float:
    """method.md: V = c / ((1-tau)^2 + tau^2 c) with tau = 1 - t."""
    return c / (t**2 + (1 - t) ** 2 * c)


def data(images: int = 2000, values: int = 500, seed: int = 0) -> Tensor:
    return torch.randn(images, values, generator=torch.Generator().manual_seed(seed))


def test_doing_nothing_costs_two():
    loss = flow_matching_loss(lambda x_t, t: torch.zeros_like(x_t), data(), torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(2, rel=0.005)


def test_the_exact_field_of_white_data_costs_half_pi():
    x0 = data()
    loss = flow_matching_loss(posterior_field(torch.zeros(()), 1.0), x0, torch.Generator().manual_seed(1))
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
    loss = flow_matching_loss(posterior_field(mean, c), x0, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(closed, rel=0.01)


def test_logit_normal_times_weigh_the_same_error_by_their_density():
    closed, _ = integrate.quad(lambda z: error_at(1 / (1 + math.exp(-z)), 0.1) * norm.pdf(z), -12, 12)
    mean = math.sqrt(0.9) * data(seed=3)
    x0 = mean + math.sqrt(0.1) * data(seed=4)
    generator = torch.Generator().manual_seed(1)
    loss = flow_matching_loss(posterior_field(mean, 0.1), x0, generator, "logit_normal")
    assert loss.item() == pytest.approx(closed, rel=0.01)
    assert abs(closed / (math.pi / 2 * math.sqrt(0.1)) - 1) > 0.05  # it is another number than the uniform law's


def test_a_wrong_field_costs_more():
    x0, losses = data(), {}
    for factor in (0.8, 1.0, 1.2):
        exact = posterior_field(torch.zeros(()), 1.0)
        generator = torch.Generator().manual_seed(1)
        losses[factor] = flow_matching_loss(lambda x, t, f=factor, v=exact: f * v(x, t), x0, generator).item()
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
