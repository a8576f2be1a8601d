"""The information estimator where 0.5 ln(1/c) is the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jscgc.flow.gaussian import gaussian_velocity, mmse_posterior
from jscgc.flow.information import mutual_information
from jscgc.theory.check import Check, stated
from jscgc.theory.solvers import normal, stream

VARIANCES = (0.5, 0.1, 0.01, 0.001)


def information() -> Iterator[Check]:
    """Per value, for posterior variances c: 0.5 ln(1/c) nats."""
    values = 400_000
    for c in VARIANCES:
        x0 = normal(20, 2, values)
        mean, _ = mmse_posterior(x0, c / (1 - c), normal(21, 2, values))
        estimate = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(22))
        measured = estimate.nats.mean().item() / values
        yield stated(f"I(X; Y) in nats, posterior variance {c:g}", 0.5 * math.log(1 / c), measured, 0.01, "I-MMSE")
