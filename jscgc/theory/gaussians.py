"""Gaussian data and fields that are wrong by a linear function: what each solver then draws is Gaussian, too, and known.

In one dimension the law of the samples follows from two ordinary differential equations, for its mean and its variance, so
that both sides of every statement of `bounds` and `goal` are numbers. Time is the paper's, t = 0 data and t = 1 noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad, solve_ivp

from jscgc.theory.solvers import MEAN, VARIANCE

START = 1 - 1e-6
"""Where the SDE's integration starts: at t = 1 its coefficients are infinite. The law of x_1 has not changed yet there, to first
order in 1 - START."""


@dataclass(frozen=True)
class Gaussian:
    """N(mean, variance)."""

    mean: float
    variance: float

    def noised(self, t: float) -> Gaussian:
        """The law of x_t = (1 - t) x_0 + t eps."""
        return Gaussian((1 - t) * self.mean, (1 - t) ** 2 * self.variance + t**2)

    def kl(self, other: Gaussian) -> float:
        """KL(self || other) in nats."""
        ratio = self.variance / other.variance
        return 0.5 * (ratio - 1 - math.log(ratio) + (self.mean - other.mean) ** 2 / other.variance)


SOURCE = Gaussian(MEAN, VARIANCE)


@dataclass(frozen=True)
class Wrong:
    """nu - nu* = slope(t) x + shift(t). Both vanish at t = 0 where a bound weights by 1/t."""

    name: str
    slope: Callable[[float], float]
    shift: Callable[[float], float]


RIGHT = Wrong("exact", lambda t: 0.0, lambda t: 0.0)
FIELDS = (
    Wrong("too flat", lambda t: -0.2 * t, lambda t: 0.0),
    Wrong("too steep", lambda t: 0.2 * t, lambda t: 0.0),
    Wrong("shifted", lambda t: 0.0, lambda t: 0.3 * t),
    Wrong("wrong in the middle", lambda t: 0.5 * t * (1 - t), lambda t: -0.4 * t * math.sin(3 * t)),
)


def worst_sde_shift(source: Gaussian) -> Wrong:
    """The shift for which Prop. 3 holds with equality: t / var x_t. A shift at t moves the SDE's mean at 0 by its 2 dt times
    Phi(t) = (1 - t) var x_0 / var x_t, and the bound is tight for shifts like Phi(t) t / (1 - t) (docs/theory.md)."""
    return Wrong("shift that costs the SDE most", lambda t: 0.0, lambda t: 0.2 * t / source.noised(t).variance)


def worst_ode_shift(source: Gaussian, loss: float) -> Wrong:
    """The shift that gives the ODE the largest KL of all shifts of one loss (integral over t of its square): 1 / sd x_t. The
    integral of 1 / var x_t is pi / (2 sd x_0)."""
    height = math.sqrt(loss * 2 * math.sqrt(source.variance) / math.pi)
    name = f"shift of loss {loss:g} that costs the ODE most"
    return Wrong(name, lambda t: 0.0, lambda t: height / math.sqrt(source.noised(t).variance))


def exact(t: float, source: Gaussian) -> tuple[float, float]:
    """Slope and shift of nu*."""
    slope = (t - (1 - t) * source.variance) / source.noised(t).variance
    return slope, -source.mean - slope * (1 - t) * source.mean


def squared_error(wrong: Wrong, t: float, source: Gaussian = SOURCE) -> float:
    """E (nu - nu*)^2 over p_t."""
    x_t = source.noised(t)
    a, b = wrong.slope(t), wrong.shift(t)
    return a * a * x_t.variance + (a * x_t.mean + b) ** 2


def over_time(integrand: Callable[[float], float]) -> float:
    """Its integral over t from 0 to 1."""
    value, _ = quad(integrand, 0, 1, epsabs=1e-11, epsrel=1e-11, limit=400)
    return float(value)


def likelihood_loss(wrong: Wrong, source: Gaussian = SOURCE) -> float:
    """Integral of (1 - t)/t E(nu - nu*)^2: by how much the likelihood-weighted loss is above the least one."""
    return over_time(lambda t: (1 - t) / t * squared_error(wrong, t, source))


def sampled_laws(wrong: Wrong, stochastic: bool, source: Gaussian = SOURCE) -> Callable[[float], Gaussian]:
    """t -> law of x_t of the wrong field's SDE (10) or ODE (15), from x_1 ~ N(0,1)."""

    def change(t: float, state: np.ndarray) -> list[float]:
        mean, variance = state
        a, b = (e + w for e, w in zip(exact(t, source), (wrong.slope(t), wrong.shift(t)), strict=True))
        if not stochastic:
            return [a * mean + b, 2 * a * variance]
        # dx = [2 nu - f] dt + g dw backwards in time, f = -x / (1 - t), g^2 = 2t / (1 - t).
        slope, g2 = 2 * a + 1 / (1 - t), 2 * t / (1 - t)
        return [slope * mean + 2 * b, 2 * slope * variance - g2]

    start = START if stochastic else 1.0
    path = solve_ivp(change, (start, 0), [0.0, 1.0], method="LSODA", rtol=1e-10, atol=1e-12, dense_output=True)
    assert path.sol is not None

    def law(t: float) -> Gaussian:
        mean, variance = path.sol(min(t, start)) if t else path.y[:, -1]
        return Gaussian(float(mean), float(variance))

    return law


def sampled_law(wrong: Wrong, stochastic: bool, source: Gaussian = SOURCE) -> Gaussian:
    """Law at t = 0 of what the wrong field draws."""
    return sampled_laws(wrong, stochastic, source)(0.0)
