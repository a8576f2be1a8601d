"""Gaussian data, for which every field, sample and bit is known in closed form: what tests and `jscgc theory` compare with."""

from __future__ import annotations

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, expand


def gaussian_velocity(mean: Tensor | float, variance: Tensor | float) -> VelocityField:
    """E[eps - x0 | x_t] for x0 ~ N(mean, variance), value by value (Prop. 2 with the score of a Gaussian).

    With a posterior's mean and variance it is the conditional field nu*(x_t, t, y).
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        s = expand(t, x_t)
        total = (1 - s) ** 2 * variance + s**2
        return -mean + (s - (1 - s) * variance) / total * (x_t - (1 - s) * mean)

    return velocity


def gaussian_flow(x: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """Where the exact ODE takes x_1 = x: the monotone map of N(0,1) to N(mean, variance)."""
    return mean + torch.as_tensor(variance, dtype=x.dtype).sqrt() * x


def mmse_posterior(x0: Tensor, noise_var: Tensor | float, noise: Tensor) -> tuple[Tensor, Tensor | float]:
    """Posterior mean y / (1 + v) and variance v / (1 + v) of x0 ~ N(0,1) from y = x0 + sqrt(v) noise, v = noise_var."""
    y = x0 + torch.as_tensor(noise_var, dtype=x0.dtype).sqrt() * noise
    return y / (1 + noise_var), noise_var / (1 + noise_var)
