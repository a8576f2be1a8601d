"""Sampling: from noise at t = 1 to data at t = 0 along a velocity field, by one of `flow.solvers`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.flow.path import VelocityField, VelocityFields, expand, one_by_one
from jscgc.flow.solver import SOLVERS
from jscgc.flow.solvers.euler import EULER


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
    conditional: VelocityField,
    unconditional: VelocityField,
    guidance: float | Tensor,
    both: VelocityFields | None = None,
) -> tuple[VelocityField, int]:
    """Classifier-free guidance nu_u + w (nu_c - nu_u) (Ho & Salimans 2022), and its evaluations per call.

    Args:
        conditional, unconditional: the two fields.
        guidance: w, the same for all images or one for each [B].
        both: unconditional and conditional at once, if that is cheaper than one after the other.

    Weights that are all 1 or all 0 need one network only, and cost one.
    """
    weights = torch.as_tensor(guidance)
    if (weights == 1).all():
        return conditional, 1
    if (weights == 0).all():
        return unconditional, 1

    fields = both or one_by_one(unconditional, conditional)

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        base, told = fields(x_t, t)
        w = weights.to(x_t) if weights.ndim == 0 else expand(weights.to(x_t), x_t)
        return base + w * (told - base)

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
    solver: str = EULER.name,
    evaluations: int = 1,
    rng: torch.Generator | None = None,
) -> Samples:
    """Run a solver from t = 1 to t = 0.

    Args:
        velocity: nu(x_t, t).
        noise: x_1 [B,...], of an ODE the only randomness.
        grid: where to stop.
        solver: a name; `flow.solvers` says what each costs.
        evaluations: network evaluations that one call of `velocity` costs.
        rng: of a random solver's noise, drawn on the CPU.

    Raises:
        ValueError: an unknown solver, or a random one without a generator.
    """
    kind = SOLVERS[solver]
    if kind.random and rng is None:
        raise ValueError(f"the solver {solver} draws noise at every step and needs a generator")
    calls = 0

    def counted(x: Tensor, t: float) -> Tensor:
        nonlocal calls
        calls += 1
        return velocity(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))

    x = kind.run(counted, noise, grid.times, rng)
    return Samples(x, calls * evaluations)
