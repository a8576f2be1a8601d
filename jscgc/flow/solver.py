"""What a solver declares: its name, and how it goes from noise at t = 1 to data at t = 0. No torch here.

A solver is a module-level `SolverKind` in a module of `flow.solvers`, or of a plugin (see `registry`):

    MIDPOINT = SolverKind("midpoint", "second order, two calls a step", run)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jscgc.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Slope = Callable[[Tensor, float], Tensor]
    """nu(x [B,...], t) like x; every call is counted."""


@dataclass(frozen=True)
class SolverKind:
    """A solver that can be named.

    help: order and cost, for people. order: where it is listed. random: whether it draws noise on its way.

    run: (nu, x_1 [B,...], times, rng) -> x_0. Times fall from 1 to 0. The generator is of the CPU, and never None for a random
    solver.
    """

    name: str
    help: str
    run: Callable[[Slope, Tensor, list[float], torch.Generator | None], Tensor]
    order: int = 100
    random: bool = False


SOLVERS = Registry("solver", SolverKind, "jscgc.flow.solvers", "jscgc.solvers")
