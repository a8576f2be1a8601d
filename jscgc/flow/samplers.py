"""Samplers: from noise at t = 1 to data at t = 0 along a velocity field. One file, one table of solvers.

ODE (paper, eq. 15, T = 1): dx/dt = nu. SDE (eq. 10): dx = [2 nu - f] dt + g dw with f = -x / (1 - t), g^2 = 2t / (1 - t),
run backwards in time. Both have the law of the data at t = 0 if nu is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, expand

Solver = Literal["euler", "heun", "multistep", "sde"]
SOLVERS: tuple[str, ...] = get_args(Solver)


@dataclass(frozen=True)
class Samples:
    """What a sampler returns: x0 like the noise it started from, and the network evaluations it spent."""

    x0: Tensor
    nfe: int


@dataclass(frozen=True)
class Grid:
    """At which times a sampler stops.

    steps: at least 1. shift: s of t = s u / (1 + (s - 1) u) for equally spaced u: 1 equal steps, above 1 more of them at
    high noise (Esser et al. 2024, eq. 23).

    Raises:
        ValueError: steps below 1, or a shift that is not positive.
    """

    steps: int
    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"time_shift must be a positive number, got {self.shift}")

    @property
    def times(self) -> list[float]:
        """From 1 down to 0, steps + 1 of them."""
        u = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        between = self.shift * u / (1 + (self.shift - 1) * u)
        return [1.0, *between[1:-1].tolist(), 0.0]


def guided(
    conditional: VelocityField, unconditional: VelocityField, guidance: float | Tensor
) -> tuple[VelocityField, int]:
    """Classifier-free guidance nu_u + w (nu_c - nu_u) (Ho & Salimans 2022), and its evaluations per call.

    Args:
        conditional, unconditional: the two fields.
        guidance: w, the same for all images or one for each [B].

    Weights that are all 1 or all 0 need one network only, and cost one.
    """
    weights = torch.as_tensor(guidance)
    if (weights == 1).all():
        return conditional, 1
    if (weights == 0).all():
        return unconditional, 1

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        base = unconditional(x_t, t)
        w = weights.to(x_t) if weights.ndim == 0 else expand(weights.to(x_t), x_t)
        return base + w * (conditional(x_t, t) - base)

    return velocity, 2


def towards(velocity: VelocityField, anchor: Tensor, weight: float) -> VelocityField:
    """The field whose posterior mean is pulled to `anchor` (like x_t) by `weight`: 0 leaves it, 1 leads to the anchor itself.

    From x_0(t) = x_t - t nu and x_0' = x_0 - weight (x_0 - anchor): nu' = nu + weight (x_0 - anchor) / t.
    """
    if weight == 0:
        return velocity

    def pulled(x_t: Tensor, t: Tensor) -> Tensor:
        nu, s = velocity(x_t, t), expand(t, x_t)
        return nu + weight * ((x_t - s * nu) - anchor) / s

    return pulled


def guidance_at(guidance: float | list[tuple[float, float]], snr_db: Tensor) -> float | Tensor:
    """The weight w for images of SNR snr_db [B]: a number, or linear between points (snr_db, w) and constant beyond them."""
    if isinstance(guidance, int | float):
        return float(guidance)
    points = torch.tensor(sorted(guidance), dtype=torch.float64)
    at, value = points.T.contiguous()
    if len(points) == 1:
        return float(value)
    snr = snr_db.detach().cpu().double().clamp(at[0], at[-1])
    right = torch.searchsorted(at, snr).clamp(1, len(at) - 1)
    share = (snr - at[right - 1]) / (at[right] - at[right - 1])
    return torch.lerp(value[right - 1], value[right], share).float()


@torch.no_grad()
def sample(
    velocity: VelocityField,
    noise: Tensor,
    grid: Grid,
    solver: Solver = "euler",
    evaluations: int = 1,
    rng: torch.Generator | None = None,
) -> Samples:
    """Run a solver from t = 1 to t = 0.

    Args:
        velocity: nu(x_t, t).
        noise: x_1 [B,...], of an ODE the only randomness.
        grid: where to stop.
        solver: `euler`: first order, one call a step (the paper's). `heun`: second order, two calls a step, one in the last.
            `multistep`: second order, one call a step (Adams-Bashforth on unequal steps, the first step Euler's). `sde`:
            Euler-Maruyama on (10), one call a step, new noise in each but the last.
        evaluations: network evaluations that one call of `velocity` costs.
        rng: of the SDE's noise, drawn on the CPU.

    Raises:
        ValueError: an unknown solver, or `sde` without a generator.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose from {', '.join(SOLVERS)}")
    calls = 0

    def counted(x: Tensor, t: float) -> Tensor:
        nonlocal calls
        calls += 1
        return velocity(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))

    if solver == "sde":
        if rng is None:
            raise ValueError("the solver sde draws noise at every step and needs a generator")
        x = _euler_maruyama(counted, noise, grid.times, rng)
    else:
        x = {"euler": _euler, "heun": _heun, "multistep": _multistep}[solver](counted, noise, grid.times)
    return Samples(x, calls * evaluations)


_Field = Callable[[Tensor, float], Tensor]


def _euler(nu: _Field, x: Tensor, times: list[float]) -> Tensor:
    for t, following in pairwise(times):
        x = x + (following - t) * nu(x, t)
    return x


def _heun(nu: _Field, x: Tensor, times: list[float]) -> Tensor:
    for t, following in pairwise(times):
        slope = nu(x, t)
        ahead = x + (following - t) * slope
        # At t = 0 the data's density itself would be asked for, where a trained field is least sure: Euler's step ends it.
        x = ahead if following == 0 else x + (following - t) * (slope + nu(ahead, following)) / 2
    return x


def _multistep(nu: _Field, x: Tensor, times: list[float]) -> Tensor:
    before: Tensor | None = None
    last = 0.0
    for t, following in pairwise(times):
        slope, step = nu(x, t), following - t
        # The line through this slope and the one before, integrated over the step.
        x = x + step * (slope if before is None else slope + step / (2 * last) * (slope - before))
        before, last = slope, step
    return x


def _euler_maruyama(nu: _Field, x: Tensor, times: list[float], rng: torch.Generator) -> Tensor:
    """Eq. (10). At t = 1 its coefficients are infinite: x_1 is pure noise, whose step to the next time is known in closed form.

    A step is taken as x <- mean + deviation * noise with x0_hat = x - t nu, eps_hat = x + (1 - t) nu: to first order in the step
    it is Euler-Maruyama on (10), and it stays finite.
    """
    for t, following in pairwise(times):
        slope = nu(x, t)
        data, noise = x - t * slope, x + (1 - t) * slope
        if following == 0:
            return data
        # x_s = (1 - s) x0 + s eps. The SDE keeps the share r of eps_hat and renews the rest, with the same total variance.
        keep = (following * (1 - t)) / (t * (1 - following)) if t < 1 else 0.0
        fresh = torch.randn(x.shape, generator=rng).to(x)
        x = (1 - following) * data + following * (keep * noise + math.sqrt(1 - keep**2) * fresh)
    return x
