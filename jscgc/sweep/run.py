"""A sweep from its start, or from where it was interrupted, to its end.

The order of writing is what makes every run appear exactly once: the journal first, then MLflow's spool; at the next start the
journal is told to MLflow again, where the same run takes the same points once.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jscgc import stages, tracking
from jscgc.cluster.tune import Objective, Rungs, tune
from jscgc.config import digest
from jscgc.sweep import outcome
from jscgc.sweep.journal import Journal, State, Trial
from jscgc.sweep.plan import Plan, opened
from jscgc.sweep.propose import Proposer
from jscgc.sweep.records import Records, now

GOES_ON = "the same command goes on from here"


@dataclass(frozen=True)
class Outcome:
    """trials: all of the sweep. best: None if none was trained to the end; then there are no overlay and no command."""

    trials: list[Trial]
    best: Trial | None
    table: Path
    overlay: Path | None
    command: str


def sweep(
    plan: Plan, *, workers: int = 0, fresh: bool = False, root: Path = Path(), objective: Objective | None = None
) -> Outcome:
    """Run what is left of a sweep, and write trials.csv and best.yaml into its folder.

    Args:
        workers: trials at a time, 0 for one per core of the cluster.
        fresh: forget what an earlier run of it left.
        root: the project's, where MLflow's records go.
        objective: runs a trial in a worker; None: trains and evaluates as the space says.

    Raises:
        ValueError: see `plan.opened`; or trials that could not be run to an end, though others were.
        KeyboardInterrupt: interrupted; it can be resumed.
    """
    with opened(plan, fresh) as (identity, journal):
        tags = {"commit": tracking.commit(root), "profile": plan.params.profile, "jscgc.sweep": plan.space.name}
        described = {"space": plan.space.model_dump(mode="json", exclude_none=True), "params": digest(plan.params)}
        records = Records(identity, plan.space.name, described, tags, root)
        driver = Driver(plan, journal, records)
        status, error = "FAILED", ""
        try:
            if driver.left:
                driver.run(objective or plan.task, workers)
            outcome = driver.outcome()
            status = "FINISHED"
        except KeyboardInterrupt:
            status, error = "KILLED", f"interrupted; {GOES_ON}"
            raise KeyboardInterrupt(f"{plan.origin.out} has what is done; {GOES_ON}") from None
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            raise
        finally:
            records.close(status, error, journal.unfinished())
        return outcome


class Driver:
    """Hands out trials and takes their results: all that is written is written here."""

    def __init__(self, plan: Plan, journal: Journal, records: Records) -> None:
        self._plan, self._journal, self._records = plan, journal, records
        self._last = plan.space.asha.rungs - 1
        self._proposer = Proposer(plan.space, plan.works, plan.better)
        self._broken: dict[str, str] = {}
        for trial in journal.in_order():
            if trial.state is None and self._last in trial.scores:  # killed between its last score and its end
                journal.ended(trial.name, "finished")
            if trial.state is not None and not trial.recorded:
                records.open(trial, self._params(trial))
                self._close(trial)
        self._queue = journal.unfinished()

    @property
    def left(self) -> int:
        """Trials that are not run to an end."""
        return max(0, self._plan.space.trials - len(self._journal.trials)) + len(self._journal.unfinished())

    def run(self, objective: Objective, workers: int) -> None:
        """Run them."""
        done = [trial for trial in self._journal.in_order() if trial.state in ("finished", "stopped")]
        past = [(trial.name, {rung: scores["score"] for rung, scores in trial.scores.items()}) for trial in done]
        if done or self._queue:
            _say(f"{len(done)} trials are done, {len(self._queue)} go on, {self.left - len(self._queue)} are to come")
        asha = self._plan.space.asha
        folder = self._plan.origin.out / "ray"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        rungs = Rungs(asha.rungs, asha.reduction, self._plan.better)
        tune(objective, self, rungs, past=past, workers=workers, folder=folder)
        shutil.rmtree(folder, ignore_errors=True)

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """See `cluster.tune.Search`."""
        if self._queue:
            trial = self._queue.pop(0)
        elif len(self._journal.trials) < self._plan.space.trials:
            trials = self._journal.in_order()
            self._proposer.learn(trials, self._last + 1)
            pending = [trial.values for trial in trials if trial.state is None]
            index = len(trials)
            values = self._proposer.propose(index, pending)
            trial = self._journal.proposed(self._plan.space.name, index, values)
        else:
            return None
        self._records.open(trial, self._params(trial))
        return trial.name, trial.values

    def _params(self, trial: Trial) -> dict[str, Any]:
        return self._plan.works(trial.values).model_dump(mode="json")

    def scored(self, name: str, rung: int, metrics: Mapping[str, float]) -> None:
        """See `cluster.tune.Search`."""
        if not self._journal.scored(name, rung, {**metrics, "at": now()}):
            return
        trial = self._journal.trials[name]
        self._records.scored(trial, rung)
        _say(f"{name}: {self._plan.space.metric} {metrics['score']:.5g} at rung {rung + 1} of {self._last + 1}")

    def ended(self, name: str, error: str, final: bool) -> None:
        """See `cluster.tune.Search`."""
        trial = self._journal.trials[name]
        if (error and not final) or (not error and not trial.scores):
            trial.error = error or "it reported nothing"  # it stays unfinished: the next run of the sweep tries again
            self._broken[name] = trial.error
            _say(f"{name}: broken off: {trial.error}")
        else:
            state: State = "failed" if error else "finished" if self._last in trial.scores else "stopped"
            self._journal.ended(name, state, error)
            ended = sum(t.state is not None for t in self._journal.trials.values())
            _say(
                f"{name}: {state}{f': {error}' if error else ''} ({ended} of {self._plan.space.trials} trials are done)"
            )
        self._close(trial)

    def _close(self, trial: Trial) -> None:
        self._records.ended(trial)
        if trial.state is not None:
            self._journal.recorded(trial.name)

    def outcome(self) -> Outcome:
        """Write the results.

        Raises:
            ValueError: trials were broken off.
        """
        plan, out = self._plan, self._plan.origin.out
        trials = self._journal.in_order()
        table = out / "trials.csv"
        outcome.write_table(trials, plan.keys, table)
        best = outcome.best(trials, plan.better)
        overlay = None
        if best is not None:
            overlay = out / "best.yaml"
            ended = sum(trial.state is not None for trial in trials)
            head = [
                f"{best.name}: {plan.space.metric} {best.score:.6g} on validation photographs, best of {ended} trials"
            ]
            outcome.write_overlay(best, f"{plan.params.profile}-{plan.space.name}", head, overlay)
            self._records.best({"best_score": best.score or 0.0, "best_trial": best.index}, [table, overlay])
        if self._broken:
            name, why = next(iter(self._broken.items()))
            raise ValueError(f"{len(self._broken)} trials were broken off, such as {name}: {why}; {GOES_ON}")
        self._forget(best)
        command = outcome.experiment(best.values, plan.present) if best is not None else ""
        return Outcome(trials, best, table, overlay, command)

    def _forget(self, best: Trial | None) -> None:
        """Remove what was trained, but for the best trial's system and what it was trained from."""
        plan, kept = self._plan, set()
        if best is not None:
            params, system = plan.works(best.values), plan.space.system
            kept = {plan.origin.folder(stage, params) for stage in (*stages.before(system), system)}
            if folder := plan.origin.folder(system, params):
                models = f"step-{plan.task.steps(params, self._last):08d}"
                others = [path for path in folder.glob("*") if path.is_dir() and path.name not in (models, system)]
                for path in others:
                    shutil.rmtree(path)
        for path in (plan.origin.out / "trained").glob("*"):
            if path not in kept:
                shutil.rmtree(path)


def _say(line: str) -> None:
    print(f"sweep: {line}", file=sys.stderr, flush=True)
