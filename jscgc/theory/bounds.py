"""Bounds on what a wrong field costs: Prop. 3 (KL of the SDE) and Prop. 5 (Wasserstein distance of the ODE).

In one dimension with a field that is wrong by a linear function of x, samples stay Gaussian: their law follows from two ordinary
differential equations, and both sides of a bound are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad, solve_ivp

from jscgc.theory.check import Check
from jscgc.theory.solvers import MEAN, VARIANCE

START = 1 - 1e-6
"""Where integration starts: at t = 1 the SDE's coefficients are infinite."""


@dataclass(frozen=True)
class Wrong:
    """nu - nu* = slope(t) x + shift(t). Both vanish at t = 0: the KL bound's weight 1/t asks for it."""

    name: str
    slope: Callable[[float], float]
    shift: Callable[[float], float]


FIELDS = (
    Wrong("too flat", lambda t: -0.2 * t, lambda t: 0.0),
    Wrong("too steep", lambda t: 0.2 * t, lambda t: 0.0),
    Wrong("shifted", lambda t: 0.0, lambda t: 0.3 * t),
    Wrong("wrong in the middle", lambda t: 0.5 * t * (1 - t), lambda t: -0.4 * t * math.sin(3 * t)),
)


def _exact(t: float) -> tuple[float, float]:
    """Slope and shift of nu*."""
    total = (1 - t) ** 2 * VARIANCE + t**2
    slope = (t - (1 - t) * VARIANCE) / total
    return slope, -MEAN - slope * (1 - t) * MEAN


def _marginal(t: float) -> tuple[float, float]:
    """Mean and variance of x_t."""
    return (1 - t) * MEAN, (1 - t) ** 2 * VARIANCE + t**2


def _squared_error(wrong: Wrong, t: float) -> float:
    """E (nu - nu*)^2 over p_t."""
    mean, variance = _marginal(t)
    a, b = wrong.slope(t), wrong.shift(t)
    return a * a * variance + (a * mean + b) ** 2


def sampled_law(wrong: Wrong, stochastic: bool) -> tuple[float, float]:
    """Mean and variance at t = 0 of what the wrong field's SDE (10) or ODE (15) draws from x_1 ~ N(0,1)."""

    def change(t: float, state: np.ndarray) -> list[float]:
        mean, variance = state
        a, b = (e + w for e, w in zip(_exact(t), (wrong.slope(t), wrong.shift(t)), strict=True))
        if not stochastic:
            return [a * mean + b, 2 * a * variance]
        # dx = [2 nu - f] dt + g dw backwards in time, f = -x / (1 - t), g^2 = 2t / (1 - t).
        slope, g2 = 2 * a + 1 / (1 - t), 2 * t / (1 - t)
        return [slope * mean + 2 * b, 2 * slope * variance - g2]

    # At START the law of x_1 has not changed yet, to first order in 1 - START.
    solution = solve_ivp(change, (START, 0), [0.0, 1.0], method="LSODA", rtol=1e-9, atol=1e-11)
    return float(solution.y[0, -1]), float(solution.y[1, -1])


def bounds() -> Iterator[Check]:
    """Both bounds for every wrong field; and that without an error both solvers' laws are the data's."""
    right = Wrong("exact", lambda t: 0.0, lambda t: 0.0)
    for stochastic, name in ((True, "SDE"), (False, "ODE")):
        mean, variance = sampled_law(right, stochastic)
        difference = max(abs(mean - MEAN), abs(variance - VARIANCE))
        yield Check(f"law of the exact field's {name}, largest error of a moment", 0, difference, 1e-4, "eqs. 9-15")
    for wrong in FIELDS:
        mean, variance = sampled_law(wrong, stochastic=True)
        divergence = 0.5 * (VARIANCE / variance + (MEAN - mean) ** 2 / variance - 1 + math.log(variance / VARIANCE))

        # 2 / (g^2 T^2) = (1 - t) / t
        limit, _ = quad(lambda t, w=wrong: (1 - t) / t * _squared_error(w, t), 0, 1)
        yield Check(f"KL(p || q_SDE), field {wrong.name}", limit, divergence, 1e-9, "Prop. 3", bound=True)

        mean, variance = sampled_law(wrong, stochastic=False)
        distance = (mean - MEAN) ** 2 + (math.sqrt(variance) - math.sqrt(VARIANCE)) ** 2
        # The form of Albergo & Vanden-Eijnden 2023 (arXiv 2209.15571, Prop. 3): e^(1 + 2K), K the wrong field's largest slope.
        steepest = max(abs(_exact(t)[0] + wrong.slope(t)) for t in np.linspace(0, 1, 1001))
        error, _ = quad(lambda t, w=wrong: _squared_error(w, t), 0, 1)
        limit = math.exp(1 + 2 * steepest) * error
        yield Check(f"W2^2(p, q_ODE), field {wrong.name}", limit, distance, 1e-9, "Prop. 5", bound=True)
