"""Euler, the paper's solver of the ODE."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from jscgc.flow.solver import SolverKind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from jscgc.flow.solver import Slope


def run(nu: Slope, x: Tensor, times: list[float], rng: torch.Generator | None) -> Tensor:
    for t, following in pairwise(times):
        x = x + (following - t) * nu(x, t)
    return x


EULER = SolverKind("euler", "first order, one call a step (the paper's)", run, order=10)
