"""The path and the preconditioning, against closed forms."""

from __future__ import annotations

import pytest
import torch

from jscgc.flow.path import expand, interpolate, preconditioning


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_zero_is_data_and_one_is_noise():
    x0, noise = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    x_t = interpolate(x0, noise, torch.tensor([0.0, 1.0, 0.25]))
    assert torch.equal(x_t[0], x0[0])
    assert torch.equal(x_t[1], noise[1])
    assert torch.allclose(x_t[2], 0.75 * x0[2] + 0.25 * noise[2])


def test_the_velocity_of_the_path_is_noise_minus_data():
    x0, noise = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    h = 1e-4
    before, after = (interpolate(x0, noise, torch.tensor([0.3 + d], dtype=torch.float64)) for d in (-h, h))
    assert torch.allclose((after - before) / (2 * h), noise - x0)


def test_expand_multiplies_per_image():
    assert expand(torch.arange(3.0), torch.zeros(3, 4, 5, 6)).shape == (3, 1, 1, 1)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_preconditioning_is_the_best_linear_velocity_of_white_data(t):
    """For independent x0, eps ~ N(0,1): E[eps - x0 | x_t] = cov(eps - x0, x_t) / var(x_t) x_t, regressed here."""
    g = stream()
    x0, noise = torch.randn(400_000, generator=g).double(), torch.randn(400_000, generator=g).double()
    x_t = (1 - t) * x0 + t * noise
    regressed = ((noise - x0) * x_t).mean() / x_t.square().mean()
    skip, out, scale = (c.item() for c in preconditioning(torch.tensor(t, dtype=torch.float64)))
    assert skip == pytest.approx(regressed.item(), abs=0.01)
    assert skip == pytest.approx((t - (1 - t)) / ((1 - t) ** 2 + t**2))
    # The network's input and target have unit variance at every t.
    assert (scale * x_t).var().item() == pytest.approx(1, rel=0.01)
    assert ((noise - x0 - skip * x_t) / out).var().item() == pytest.approx(1, rel=0.01)
