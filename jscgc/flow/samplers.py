"""Samplers: from noise at t = 1 to data at t = 0 along a velocity field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField


@dataclass(frozen=True)
class Samples:
    """What a sampler returns: x0 like the noise it started from, and the network evaluations it spent."""

    x0: Tensor
    nfe: int


def guided(conditional: VelocityField, unconditional: VelocityField, guidance: float) -> tuple[VelocityField, int]:
    """Classifier-free guidance nu_u + w (nu_c - nu_u) (Ho & Salimans 2022), and its evaluations per step.

    A weight of 1 or 0 needs one network only, and costs one.
    """
    if guidance == 1:
        return conditional, 1
    if guidance == 0:
        return unconditional, 1

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        base = unconditional(x_t, t)
        return base + guidance * (conditional(x_t, t) - base)

    return velocity, 2


@torch.no_grad()
def euler(velocity: VelocityField, noise: Tensor, steps: int, evaluations: int = 1) -> Samples:
    """Euler on the ODE dx/dt = nu (paper, eq. 15, T = 1), equal steps from t = 1 down to 0.

    Args:
        velocity: nu(x_t, t).
        noise: x_1 [B,...], the only randomness of the sample.
        steps: number of steps, at least 1.
        evaluations: network evaluations that one call of `velocity` costs.

    Raises:
        ValueError: steps below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    x = noise
    times = torch.linspace(1, 0, steps + 1, dtype=noise.dtype)
    for t, following in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x = x + (following - t) * velocity(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))
    return Samples(x, steps * evaluations)
