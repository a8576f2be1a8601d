"""Euler's order on a field with a known solution, and guidance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jscgc.flow.path import expand
from jscgc.flow.samplers import euler, guided


def gaussian_field(variance: float):
    """The exact velocity for data N(0, variance); its ODE takes x_1 to sqrt(variance) x_1."""

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        s = expand(t, x_t)
        return (s - (1 - s) * variance) / ((1 - s) ** 2 * variance + s**2) * x_t

    return velocity


@pytest.mark.parametrize("variance", [0.25, 4.0])
def test_euler_converges_with_order_one_to_the_right_variance(variance):
    noise = torch.randn(1, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = [20, 40, 80, 160, 320]
    exact = math.sqrt(variance) * noise
    errors = [(euler(gaussian_field(variance), noise, n).x0 - exact).abs().max().item() for n in counts]
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(1, abs=0.1)
    got = euler(gaussian_field(variance), noise, 1000).x0.var().item()
    assert got == pytest.approx(variance * noise.var().item(), rel=0.01)


def test_euler_runs_from_noise_at_one_to_data_at_zero():
    seen = []

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(t.tolist())
        return torch.full_like(x_t, 2.0)

    samples = euler(velocity, torch.zeros(2, 3), steps=4)
    assert seen == [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]
    assert torch.equal(samples.x0, torch.full((2, 3), -2.0))
    assert samples.nfe == 4


def test_one_step_from_the_exact_field_is_the_mean():
    """At t = 1 nothing is known: nu = x_1 - E[x0], so a single step lands on the mean."""
    samples = euler(gaussian_field(0.3), torch.randn(2, 5), steps=1)
    assert torch.allclose(samples.x0, torch.zeros(2, 5), atol=1e-6)


@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_steps_than_one_are_an_error(steps):
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        euler(gaussian_field(1.0), torch.zeros(1, 1), steps)


def test_sampling_keeps_no_gradients():
    weight = torch.tensor(1.0, requires_grad=True)
    assert not euler(lambda x, t: weight * x, torch.ones(1, 1), 2).x0.requires_grad


@pytest.mark.parametrize("weight, expected, cost", [(0.0, 1.0, 1), (1.0, 3.0, 1), (2.5, 6.0, 2), (0.5, 2.0, 2)])
def test_guidance_extrapolates_and_counts_its_evaluations(weight, expected, cost):
    calls = []

    def constant(value: float):
        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            calls.append(value)
            return torch.full_like(x_t, value)

        return velocity

    field, evaluations = guided(constant(3.0), constant(1.0), weight)
    assert torch.equal(field(torch.zeros(2, 2), torch.zeros(2)), torch.full((2, 2), expected))
    assert evaluations == cost == len(calls)
    assert euler(field, torch.zeros(1, 1), 5, evaluations).nfe == 5 * cost
    assert len(calls) == 6 * cost
