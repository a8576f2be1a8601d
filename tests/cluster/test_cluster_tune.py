"""Ray Tune's ASHA, told of what happened before a driver was killed. Whole searches are in tests/sweep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from jscgc.cluster.tune import Rungs, _asha

PAST = [(f"t{index}", {0: float(index), 1: float(index)}) for index in range(1, 5)]


@pytest.mark.parametrize(("better", "score", "decision"), [("lower", 0.5, "CONTINUE"), ("lower", 9.0, "STOP"),
                                                           ("higher", 0.5, "STOP"), ("higher", 9.0, "CONTINUE")])  # fmt: skip
@pytest.mark.parametrize("rung", [0, 1])
def test_a_new_trial_is_compared_with_those_of_an_earlier_run(
    better: Literal["lower", "higher"], score: float, decision: str, rung: int
) -> None:
    scheduler = _asha(Rungs(3, 2, better), PAST)
    trial: Any = SimpleNamespace(trial_id="new")
    nobody: Any = None
    scheduler.on_trial_add(nobody, trial)
    assert scheduler.on_trial_result(nobody, trial, {"effort": 2**rung, "score": score}) == decision


def test_one_rung_stops_nobody_early() -> None:
    scheduler = _asha(Rungs(1, 2, "lower"), [])
    nobody: Any = None
    for score in (1.0, 5.0):
        trial: Any = SimpleNamespace(trial_id=f"{score}")
        scheduler.on_trial_add(nobody, trial)
        # The only rung is the end of the training.
        assert scheduler.on_trial_result(nobody, trial, {"effort": 1, "score": score}) == "STOP"
