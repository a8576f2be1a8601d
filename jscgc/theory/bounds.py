"""What a wrong field costs: Prop. 3 (KL of the SDE), Prop. 4 (KL of the ODE), Prop. 5 (Wasserstein distance of the ODE).

The paper's wording of Prop. 4 is not known to us. Our reading, with the paper's time and T = 1, is that the KL of the ODE's
law is exactly

    KL(p || q_ODE) = int_0^1 E_{p_t} (nu - nu*)^T (grad log p_t - grad log q_t) dt,

nu* the exact field, p_t its law, q_t that of nu from the same noise (Lu et al. 2022, arXiv 2206.08265, Theorem 3.1; Albergo
et al. 2023, arXiv 2303.08797, on the KL divergence of the ODE). By Cauchy and Schwarz it is at most the root of the loss times
the Fisher divergence, int E|grad log p_t - grad log q_t|^2 dt. Nothing bounds the second by the first: of shifts of one loss the
worst costs pi / (4 sd) times that loss, sd the data's, without a limit as sd goes to 0. docs/theory.md derives all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from jscgc.theory.check import Check, stated
from jscgc.theory.gaussians import (
    FIELDS,
    RIGHT,
    SOURCE,
    Gaussian,
    Wrong,
    exact,
    likelihood_loss,
    over_time,
    sampled_law,
    sampled_laws,
    squared_error,
    worst_ode_shift,
    worst_sde_shift,
)

NARROW = (0.4, 0.04, 0.004)
"""Variances of data for which the worst shift is tried."""
LOSS = 0.01
"""Of that shift."""


def bounds() -> Iterator[Check]:
    """Every statement for every wrong field; and that without an error both solvers' laws are the data's."""
    for stochastic, name in ((True, "SDE"), (False, "ODE")):
        drawn = sampled_law(RIGHT, stochastic)
        difference = max(abs(drawn.mean - SOURCE.mean), abs(drawn.variance - SOURCE.variance))
        yield Check(f"law of the exact field's {name}, largest error of a moment", 0, difference, 1e-4, "eqs. 9-15")
    for wrong in FIELDS:
        # 2 / (g^2 T^2) = (1 - t) / t
        divergence, limit = SOURCE.kl(sampled_law(wrong, stochastic=True)), likelihood_loss(wrong)
        yield Check(f"KL(p || q_SDE), field {wrong.name}", limit, divergence, 1e-9, "Prop. 3", bound=True)
        yield from _divergence_of_the_ode(wrong)
        yield _distance_of_the_ode(wrong)
    tight = worst_sde_shift(SOURCE)
    divergence = SOURCE.kl(sampled_law(tight, stochastic=True))
    yield stated(f"KL(p || q_SDE), {tight.name}", likelihood_loss(tight), divergence, 1e-4, "Prop. 3 with equality")
    for variance in NARROW:
        source = Gaussian(SOURCE.mean, variance)
        wrong = worst_ode_shift(source, LOSS)
        divergence = source.kl(sampled_law(wrong, stochastic=False, source=source))
        statement = f"KL(p || q_ODE), {wrong.name}, data of variance {variance:g}"
        yield stated(statement, math.pi / (4 * math.sqrt(variance)) * LOSS, divergence, 1e-4, "Prop. 4, our reading")


def score_terms(wrong: Wrong, p: Gaussian, q: Gaussian, t: float) -> tuple[float, float]:
    """At t, of the laws p_t and q_t: E (nu - nu*)(grad log p_t - grad log q_t), and E (grad log p_t - grad log q_t)^2."""
    a, b = wrong.slope(t), wrong.shift(t)
    apart = p.mean - q.mean
    rate = -a + (a * p.variance + (a * p.mean + b) * apart) / q.variance
    return rate, p.variance * (1 / q.variance - 1 / p.variance) ** 2 + (apart / q.variance) ** 2


def _divergence_of_the_ode(wrong: Wrong) -> Iterator[Check]:
    """Prop. 4: the integral is the KL, and Cauchy and Schwarz's bound on it."""
    laws = sampled_laws(wrong, stochastic=False)

    def terms(t: float) -> tuple[float, float]:
        return score_terms(wrong, SOURCE.noised(t), laws(t), t)

    divergence = SOURCE.kl(laws(0.0))
    integral, fisher = over_time(lambda t: terms(t)[0]), over_time(lambda t: terms(t)[1])
    loss = over_time(lambda t: squared_error(wrong, t))
    source = "Prop. 4, our reading"
    yield stated(f"KL(p || q_ODE) as an integral over time, field {wrong.name}", divergence, integral, 1e-4, source)
    statement = f"KL(p || q_ODE) by loss and Fisher divergence, field {wrong.name}"
    yield Check(statement, math.sqrt(loss * fisher), divergence, 1e-9, source, bound=True)


def _distance_of_the_ode(wrong: Wrong) -> Check:
    """Prop. 5, in the form of Albergo & Vanden-Eijnden 2023 (arXiv 2209.15571, Prop. 3): e^(1 + 2K) times the loss, K the wrong
    field's largest slope."""
    drawn = sampled_law(wrong, stochastic=False)
    distance = (drawn.mean - SOURCE.mean) ** 2 + (math.sqrt(drawn.variance) - math.sqrt(SOURCE.variance)) ** 2
    steepest = max(abs(exact(t, SOURCE)[0] + wrong.slope(t)) for t in np.linspace(0, 1, 1001))
    limit = math.exp(1 + 2 * steepest) * over_time(lambda t: squared_error(wrong, t))
    return Check(f"W2^2(p, q_ODE), field {wrong.name}", limit, distance, 1e-9, "Prop. 5", bound=True)
