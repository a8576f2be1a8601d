"""Prop. 1: the goal (2) is bounded by a cross-entropy, and that by the likelihood-weighted loss.

The paper's wording of Prop. 1 is not known to us. Our reading: with d_p = KL and the multiplier 1 (so for all in [0, 1])

    -I(X; Y) + KL(p(x) || q(x)) <= E[-log q(x|y)] - H(X),                                         (a)

equal for the exact posterior q(x|y) = p(x|y); and of the law that the SDE (10) draws from, T = 1,

    E[-log q(x|y)] <= (1/2) ln(2 pi e) + int_0^1 (1 - t)/t (L_t - V_t) dt                         (b)

per dimension, with L_t = E|(eps - x0) - nu(x_t, t, y)|^2 the loss (4) at t and V_t = 1/((1 - t)^2 + t^2) the least one for white
Gaussian data, equal for the exact field: a constant and the weighted loss. docs/theory.md derives both. Here X is Gaussian,
Y = X + noise, and every side a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from jscgc.flow.gaussian import gaussian_velocity
from jscgc.flow.objective import flow_matching_loss
from jscgc.flow.times import Times
from jscgc.theory.check import Check, stated
from jscgc.theory.gaussians import (
    FIELDS,
    RIGHT,
    SOURCE,
    Gaussian,
    Wrong,
    likelihood_loss,
    over_time,
    sampled_law,
    worst_sde_shift,
)
from jscgc.theory.solvers import normal, stream

NOISE = 10 ** (-5 / 10)
"""Variance of the noise of Y: 5 dB."""
GAIN = SOURCE.variance / (SOURCE.variance + NOISE)
LEFT = GAIN * NOISE
"""Variance of X given y, whose mean is GAIN y + (1 - GAIN) E X."""
_SOURCE = "Prop. 1, our reading"


@dataclass(frozen=True)
class Receiver:
    """q(x|y) = N(gain y + shift, variance)."""

    name: str
    gain: float
    shift: float
    variance: float

    @property
    def law(self) -> Gaussian:
        """q(x), of all y together."""
        mean = self.gain * SOURCE.mean + self.shift
        return Gaussian(mean, self.gain**2 * (SOURCE.variance + NOISE) + self.variance)

    def cross_entropy(self) -> float:
        """E[-log q(x|y)] in nats, by the mean squared error of the receiver's mean."""
        bias = (1 - self.gain) * SOURCE.mean - self.shift
        error = (1 - self.gain) ** 2 * SOURCE.variance + self.gain**2 * NOISE + bias**2
        return 0.5 * (math.log(2 * math.pi * self.variance) + error / self.variance)

    def conditional_kl(self) -> float:
        """E KL(p(x|y) || q(x|y)), over y."""
        bias = (GAIN - self.gain) * SOURCE.mean + (1 - GAIN) * SOURCE.mean - self.shift
        apart = (GAIN - self.gain) ** 2 * (SOURCE.variance + NOISE) + bias**2
        return Gaussian(0.0, LEFT).kl(Gaussian(0.0, self.variance)) + apart / (2 * self.variance)


_SHIFT = (1 - GAIN) * SOURCE.mean
RECEIVERS = (
    Receiver("exact", GAIN, _SHIFT, LEFT),
    Receiver("too sure", GAIN, _SHIFT, LEFT / 2),
    Receiver("too unsure", GAIN, _SHIFT, 2 * LEFT),
    Receiver("hears too little", GAIN / 2, (1 - GAIN / 2) * SOURCE.mean, LEFT),
    Receiver("shifted", GAIN, _SHIFT + 0.3, LEFT),
    Receiver("deaf", 0.0, SOURCE.mean, SOURCE.variance),
)


def entropy(variance: float) -> float:
    """Of a Gaussian, in nats."""
    return 0.5 * math.log(2 * math.pi * math.e * variance)


def information() -> float:
    """I(X; Y) in nats."""
    return 0.5 * math.log(SOURCE.variance / LEFT)


def goal(receiver: Receiver, multiplier: float = 1.0) -> float:
    """-I(X; Y) + multiplier KL(p(x) || q(x)), which (2) minimises."""
    return -information() + multiplier * SOURCE.kl(receiver.law)


def sampled(wrong: Wrong) -> Receiver:
    """What the SDE of nu*(x, t, y) + wrong draws given y: a Gaussian with a mean that is linear in y."""
    at_zero, at_one = (sampled_law(wrong, stochastic=True, source=Gaussian(mean, LEFT)) for mean in (0.0, 1.0))
    slope = at_one.mean - at_zero.mean
    return Receiver(wrong.name, slope * GAIN, slope * _SHIFT + at_zero.mean, at_zero.variance)


def evidence_bound(wrong: Wrong) -> float:
    """The right side of (b)."""

    def least(t: float, variance: float) -> float:
        return variance / ((1 - t) ** 2 * variance + t**2)

    # L_t is the least loss of a posterior's variance and the field's own error; x_t of all y together is that of the source.
    best = over_time(lambda t: (1 - t) / t * (least(t, LEFT) - least(t, 1.0)))
    return entropy(1.0) + best + likelihood_loss(wrong)


def goals() -> Iterator[Check]:
    """(a) for every receiver, with what is left to the bound; (b) for every field, with equality where it is due; and the loss
    that trains as what (b) says of it."""
    for receiver in RECEIVERS:
        limit = receiver.cross_entropy() - entropy(SOURCE.variance)
        statement = f"-I(X; Y) + KL(p || q), receiver {receiver.name}"
        yield Check(statement, limit, goal(receiver), 1e-9, _SOURCE, bound=True)
        left = receiver.conditional_kl() - SOURCE.kl(receiver.law)
        yield Check(
            f"what it leaves to the bound, receiver {receiver.name}", left, limit - goal(receiver), 1e-9, _SOURCE
        )
    for wrong in FIELDS:
        found = sampled(wrong).cross_entropy()
        yield Check(f"E[-log q_SDE(x|y)], field {wrong.name}", evidence_bound(wrong), found, 1e-6, _SOURCE, bound=True)
    for wrong in (RIGHT, worst_sde_shift(Gaussian(SOURCE.mean, LEFT))):
        found = sampled(wrong).cross_entropy()
        name = "the exact field" if wrong is RIGHT else wrong.name
        yield Check(f"E[-log q_SDE(x|y)], {name}", evidence_bound(wrong), found, 1e-4, f"{_SOURCE}, with equality")
    yield from _training_loss()


def _training_loss() -> Iterator[Check]:
    """The likelihood weighting of the loss that trains, of wrong fields above the exact one's: what (b) adds for them.

    Each field and its mirror image about the exact one have the same error; in their mean the draws' own noise cancels.
    """
    count = (4000, 100)
    x0 = SOURCE.mean + math.sqrt(SOURCE.variance) * normal(50, *count)
    y = x0 + math.sqrt(NOISE) * normal(51, *count)
    exact = gaussian_velocity(GAIN * y + _SHIFT, LEFT)
    times = Times(weight_power=1.0)

    def loss(wrong: Wrong, sign: float) -> float:
        def velocity(x: Tensor, t: Tensor) -> Tensor:
            parts = [[f(s) for s in t.tolist()] for f in (wrong.slope, wrong.shift)]
            slope, shift = torch.tensor(parts, dtype=x.dtype)[:, :, None]
            found: Tensor = exact(x, t) + sign * (slope * x + shift)
            return found

        return flow_matching_loss(velocity, x0, stream(52), times).item()

    least = loss(RIGHT, 1.0)
    for wrong in FIELDS:
        above = (loss(wrong, 1.0) + loss(wrong, -1.0)) / 2 - least
        statement = f"likelihood-weighted loss above the least one, field {wrong.name}"
        yield stated(statement, likelihood_loss(wrong), above, 0.03, f"eq. 4, {_SOURCE}")
