"""A sweep in MLflow: one run, and below it one per trial, whatever was killed and started again in between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jscgc import tracking
from jscgc.sweep.journal import Trial

STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", None: "KILLED"}
INTERRUPTED = "interrupted; the same command goes on with it"


class Records:
    """The runs of one sweep; to be closed.

    Args:
        sweep: identity of this sweep, letters, digits, `_` and `-`. A trial's run has it and the trial's name as its own.
        params: of the sweep's run.
        root: the project's.
    """

    def __init__(self, sweep: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], root: Path) -> None:
        self._sweep, self._tags, self._root = sweep, dict(tags), root
        self._runs: dict[str, tracking.StageRun] = {}
        self._sweep_run = tracking.resumable_run(sweep, f"sweep {name}", params=params, tags=tags, root=root)
        self._done: list[tracking.StageRun] = []

    def open(self, trial: Trial, params: Mapping[str, Any]) -> None:
        """Begin a trial's run, or go on with it, with what the journal has of it."""
        if trial.name in self._runs:
            return
        tags = self._tags | {"jscgc.trial": trial.name} | {f"jscgc.value.{k}": f"{v}" for k, v in trial.values.items()}
        run = tracking.resumable_run(
            f"{self._sweep}-{trial.name}", trial.name, params=params, tags=tags, root=self._root, under=self._sweep
        )
        self._runs[trial.name] = run
        for rung in sorted(trial.scores):
            self.scored(trial, rung)

    def scored(self, trial: Trial, rung: int) -> None:
        """A rung's metrics, at its training steps."""
        metrics = trial.scores[rung]
        at = round(metrics.get("at", 0.0) * 1000)
        values = {key: value for key, value in metrics.items() if key != "at"}
        values[f"score_rung_{rung}"] = metrics["score"]
        self._runs[trial.name].log(int(metrics.get("steps", rung)), values, at or None)

    def ended(self, trial: Trial) -> None:
        """The end of a trial's run; nobody waits for its upload."""
        if run := self._runs.pop(trial.name, None):
            state = trial.state or "interrupted"
            error = trial.error or ("" if trial.state else INTERRUPTED)
            run.end(STATUS[trial.state], error, {"jscgc.ended": state})
            self._done.append(run)

    def best(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        """What the sweep has come to."""
        self._sweep_run.log(0, metrics)
        for file in files:
            self._sweep_run.artifact(file)

    def close(self, status: str, error: str, left: list[Trial]) -> None:
        """End the trials that still run, and the sweep's run, and wait for the uploads."""
        for trial in left:
            self.ended(trial)
        for run in self._done:
            run.close("FINISHED")
        self._sweep_run.close(status, error)


def now() -> float:
    """Seconds since 1970, to the millisecond."""
    return round(time.time(), 3)
