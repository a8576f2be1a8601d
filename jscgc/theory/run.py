"""All checks in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from jscgc.machine import cores
from jscgc.theory.allocation import allocation
from jscgc.theory.bounds import bounds
from jscgc.theory.check import Check
from jscgc.theory.goal import goals
from jscgc.theory.information import information
from jscgc.theory.joint import prediction
from jscgc.theory.solvers import loss_values, optimum, orders, posterior

Outcome = tuple[list[Check], dict[str, Any]]


def _plain(checks: Callable[[], Any]) -> Callable[[], Outcome]:
    return lambda: (list(checks()), {})


def _shown(name: str, checks: Callable[[], Outcome]) -> Callable[[], Outcome]:
    def named() -> Outcome:
        rows, figure = checks()
        return rows, {name: figure}

    return named


CHECKS: dict[str, Callable[[], Outcome]] = {
    "the best velocity": _plain(optimum),
    "solvers": _shown("orders", orders),
    "posterior sampling": _plain(posterior),
    "information": _plain(information),
    "the goal and its bounds": _plain(goals),
    "what a wrong field costs": _plain(bounds),
    "the value of the loss": _plain(loss_values),
    "what the loss optimises": _shown("allocation", allocation),
}
"""Subject -> its checks; results do not depend on the order or on each other."""


def run(spectrum: Sequence[float] = (), positions: int = 1) -> dict[str, Any]:
    """All of them.

    Args:
        spectrum, positions: of latents, as of `joint.prediction`; none: nothing is predicted.

    Returns:
        {"rows": [{subject, check, expected, measured, tolerance, ok, kind, source}], "figures": {"orders", "allocation"},
        "joint": what `joint.prediction` returns}
    """
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    # Two take nearly all of the time, in torch, which holds no lock meanwhile and shares out small work at a loss.
    with ThreadPoolExecutor(cores(), initializer=partial(torch.set_num_threads, 1)) as pool:
        outcomes = list(pool.map(lambda checks: checks(), CHECKS.values()))
    for subject, (results, shown) in zip(CHECKS, outcomes, strict=True):
        rows += [{"subject": subject, **check.row()} for check in results]
        figures |= shown
    return {"rows": rows, "figures": figures, "joint": prediction(spectrum, positions) if spectrum else []}
