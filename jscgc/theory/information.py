"""The information estimator where 0.5 ln(1/c) is the truth, and its control where the truth is known, too."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jscgc.flow.gaussian import gaussian_velocity, mmse_posterior
from jscgc.flow.information import mutual_information
from jscgc.theory.check import Check, stated
from jscgc.theory.solvers import normal, stream

VARIANCES = (0.5, 0.1, 0.01, 0.001)


def information() -> Iterator[Check]:
    """Per value, for posterior variances c: 0.5 ln(1/c) nats in both forms. Of an independent y' the losses give
    E ln p(x|y') / p(x) = 1 - 1/c - 0.5 ln c, and the fields as much above 0."""
    values = 400_000
    for c in VARIANCES:
        x0 = normal(20, 2, values)
        mean, _ = mmse_posterior(x0, c / (1 - c), normal(21, 2, values))
        other, _ = mmse_posterior(normal(23, 2, values), c / (1 - c), normal(24, 2, values))
        right, unconditional, wrong = (
            gaussian_velocity(mean, c),
            gaussian_velocity(0.0, 1.0),
            gaussian_velocity(other, c),
        )
        found = mutual_information(right, unconditional, x0, stream(22), wrong=wrong)
        assert found.control is not None
        truth, of = 0.5 * math.log(1 / c), f"posterior variance {c:g}"
        for form, nats in (("fields", found.forms.fields), ("losses", found.forms.losses)):
            measured = nats.mean().item() / values
            yield stated(f"I(X; Y) in nats by {form}, {of}", truth, measured, 0.01, "I-MMSE")
        against = 1 - 1 / c - 0.5 * math.log(c)
        measured = found.control.losses.mean().item() / values
        yield stated(f"the same by losses of an independent Y, {of}", against, measured, 0.01, "I-MMSE")
        excess = (found.control.fields + found.control.losses).mean().item() / values
        yield Check(f"both forms of an independent Y together, {of}", 0, excess, 0.01 * abs(against), "orthogonality")
