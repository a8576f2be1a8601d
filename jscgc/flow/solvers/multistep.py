"""Adams-Bashforth on unequal steps, for the ODE."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from jscgc.flow.solver import SolverKind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from jscgc.flow.solver import Slope


def run(nu: Slope, x: Tensor, times: list[float], rng: torch.Generator | None) -> Tensor:
    before: Tensor | None = None
    last = 0.0
    for t, following in pairwise(times):
        slope, step = nu(x, t), following - t
        # The line through this slope and the one before, integrated over the step.
        x = x + step * (slope if before is None else slope + step / (2 * last) * (slope - before))
        before, last = slope, step
    return x


MULTISTEP = SolverKind("multistep", "second order, one call a step, the first step Euler's", run, order=30)
