"""The information estimator where the information is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jscgc.flow.gaussian import gaussian_velocity, mmse_posterior
from jscgc.flow.information import mutual_information


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=stream(seed))


@pytest.mark.parametrize("c, nats", [(0.5, 0.34657), (0.1, 1.15129), (0.01, 2.30259), (0.001, 3.45388)])
def test_gaussian_data_have_half_the_log_of_the_posterior_variance(c, nats):
    """method.md's checks, from as many points of lambda in [-7, 7]."""
    values = 40_000
    noise_var = c / (1 - c)
    x0 = normal(20, values, seed=1)
    mean, variance = mmse_posterior(x0, noise_var, normal(20, values, seed=2))
    assert variance == pytest.approx(c)
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3))
    assert found.nats.mean().item() / values == pytest.approx(nats, rel=0.01)
    assert found.bits.mean().item() == pytest.approx(found.nats.mean().item() / math.log(2))
    assert found.density.shape == found.log_snr.shape == (20, 50) and found.log_snr.abs().max() <= 7


def test_components_add_up():
    c = torch.tensor([0.5, 0.1, 0.01], dtype=torch.float64)
    x0 = normal(30, 5000, 3, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(30, 5000, 3, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3))
    assert found.nats.mean().item() / 5000 == pytest.approx(-0.5 * c.log().sum().item(), rel=0.01)


def test_the_unweighted_integral_would_be_wrong():
    """What method.md warns of: the same difference integrated in tau without its weight is no information."""
    c = 0.01
    x0 = normal(20, 2000, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(20, 2000, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3), 200)
    tau = torch.sigmoid(found.log_snr)
    # d tau = tau (1 - tau) d lambda, and the points are 14 / 200 apart.
    unweighted = (found.density / tau**2 * tau * (1 - tau)).sum(1).mean().item() * 14 / 200 / 2000
    assert abs(unweighted / (0.5 * math.log(1 / c)) - 1) > 0.2


def test_a_condition_that_says_nothing_carries_nothing():
    field = gaussian_velocity(0.0, 1.0)
    assert mutual_information(field, field, normal(2, 10, seed=1), stream()).nats.tolist() == [0, 0]


@pytest.mark.parametrize("points", [1, 4, 6])
@pytest.mark.parametrize("c", [0.5, 0.1, 0.01])
def test_few_points_are_right_in_the_mean(c, points):
    """Fixed ones would not be: the trapezoidal rule's four give .19 of the truth at c = .5."""
    images, values = 2000, 200
    x0 = normal(images, values, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(images, values, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3), points).nats
    truth = -0.5 * math.log(c) * values
    error = found.std().item() / math.sqrt(images)
    assert abs(found.mean().item() - truth) < 4 * error and error < 0.05 * truth


def test_without_points_there_is_no_integral():
    with pytest.raises(ValueError, match="points must be at least 1, got 0"):
        mutual_information(gaussian_velocity(0.0, 1.0), gaussian_velocity(0.0, 1.0), torch.zeros(1, 1), stream(), 0)
