"""`jscgc sweep`: arguments and what is printed. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import options
from jscgc.files import check_folder
from jscgc.parser import add_json

if TYPE_CHECKING:
    from jscgc.sweep.plan import Plan
    from jscgc.sweep.run import Outcome

DESCRIPTION = """\
Search the values of params.yaml's keys that give the best score on validation photographs: trials side by side on Ray, bad ones
stopped early (ASHA), the next ones chosen by Optuna. Every trial is a run in MLflow, below the sweep's. An interrupted or killed
sweep goes on with the same command: finished trials are kept, others go on from their checkpoints.

  jscgc sweep pipeline/sweeps/jscgc.yaml --dry-run     check the space, print the plan and the first trials
  jscgc sweep pipeline/sweeps/jscgc.yaml --trials 12   twelve instead of the space's; more may follow later
  RAY_ADDRESS=auto jscgc sweep pipeline/sweeps/jscgc.yaml     on the cluster's nodes

It leaves trials.csv, and the best values as best.yaml, a profile for `python -m pipeline.profile`, and prints them as a line
`dvc exp run -S ...`.
"""
DRAWS = 50
"""Random sets of values by which a dry run estimates how many do not work together."""
SHOWN = 5
"""First trials that a dry run prints."""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `sweep` can be told."""
    sub.add_argument("space", type=Path, metavar="SPACE.yaml", help="what is searched, and how it is scored")
    sub.add_argument("--trials", type=options.count, metavar="N", help="trials in all, instead of the space's")
    sub.add_argument(
        "--workers", type=options.natural, default=0, metavar="N", help="trials at a time; 0: one per core"
    )
    sub.add_argument("--out", type=Path, metavar="DIR", help="the sweep's folder (default: .jscgc/sweeps/NAME)")
    sub.add_argument("--fresh", action="store_true", help="forget what an earlier run of this sweep left")
    sub.add_argument(
        "--dry-run", action="store_true", help="print the plan and the first trials; run and write nothing"
    )
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="the configuration that is varied")
    sub.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="photos, latents and models that `dvc repro` left",
    )
    add_json(sub)


def run(arguments: argparse.Namespace) -> None:
    """Search, or show the plan.

    Raises:
        ValueError: see `sweep.plan.prepare` and `sweep.run.sweep`.
    """
    from jscgc.sweep.plan import prepare

    a = arguments
    if a.out and not a.dry_run:
        check_folder(a.out)
    plan = prepare(a.space, a.params, a.data, a.out, a.trials)
    if a.dry_run:
        document = _planned(plan)
        print(json.dumps(document, indent=2) if a.json else "\n".join(_plan_lines(plan, document)))
        return
    from jscgc.sweep.run import sweep

    outcome = sweep(plan, workers=a.workers, fresh=a.fresh)
    document = _outcome(plan, outcome)
    print(json.dumps(document, indent=2) if a.json else "\n".join(_outcome_lines(plan, outcome, document)))
    if outcome.best is None:
        raise ValueError(f"no trial was trained to its end; {outcome.table} says why")


def _planned(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON document; the first trials follow from the seed alone."""
    from jscgc.sweep.chain import training_steps
    from jscgc.sweep.propose import STARTUP, Proposer

    space = plan.space
    total = training_steps(space.system, plan.base)
    proposer = Proposer(space, plan.works, plan.better)
    rejected, why = proposer.rejected(DRAWS)
    known = space.trials if space.search == "random" else min(space.trials, STARTUP)
    return {
        "sweep": space.name,
        "system": space.system,
        "metric": space.metric,
        "better": plan.better,
        "search": space.search,
        "trials": space.trials,
        "trained": plan.retrained(),
        "rung_steps": [space.asha.steps(rung, total) for rung in range(space.asha.rungs)] if plan.retrained() else [],
        "space": {key: axis.model_dump(exclude_none=True) for key, axis in space.space.items()},
        "first": [proposer.propose(index) for index in range(min(SHOWN, known))],
        "rejected": {"draws": DRAWS, "count": rejected, "such_as": why},
        "missing": [str(path) for path in plan.missing],
        "out": str(plan.origin.out),
    }


def _plan_lines(plan: Plan, document: dict[str, Any]) -> list[str]:
    space, steps = plan.space, document["rung_steps"]
    lines = [
        f"{space.name}: {space.trials} trials of {space.system} by {space.search}, {document['better']} {space.metric} is better",
        f"scored on {space.evaluate.photos} validation photographs, {' '.join(space.evaluate.channels)}, "
        f"SNR {' '.join(f'{snr:g}' for snr in space.evaluate.snr_db)} dB, rates {' '.join(map(str, space.evaluate.rates))}",
        f"trained in trials: {', '.join(document['trained'])}"
        if steps
        else "nothing is trained: only how it samples varies",
    ]
    if len(steps) > 1:
        by = space.asha.reduction
        lines.append(f"scored after {', '.join(map(str, steps))} steps; of {by} at a rung about one goes on")
    lines += ["searched:", *(f"  {key}: {_axis(axis)}" for key, axis in document["space"].items()), "first trials:"]
    lines += [f"  {number}  {_values(values)}" for number, values in enumerate(document["first"])]
    if rejected := document["rejected"]["count"]:
        lines.append(
            f"{rejected} of {DRAWS} draws do not work together and are drawn again: {document['rejected']['such_as']}"
        )
    lines += [f"missing: {path}" for path in document["missing"]]
    return [*lines, f"folder: {document['out']}"]


def _outcome(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    states = [trial.state or "unfinished" for trial in outcome.trials]
    best = outcome.best
    return {
        "sweep": plan.space.name,
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "best": {"trial": best.name, "score": best.score, "values": best.values} if best else None,
        "table": str(outcome.table),
        "overlay": str(outcome.overlay) if outcome.overlay else None,
        "command": outcome.command,
    }


def _outcome_lines(plan: Plan, outcome: Outcome, document: dict[str, Any]) -> list[str]:
    said = ", ".join(f"{count} {state}" for state, count in document["trials"].items())
    lines = [f"{plan.space.name}: {said}; {outcome.table}"]
    if outcome.best is not None:
        lines += [
            f"best: {outcome.best.name}, {plan.space.metric} {outcome.best.score:.6g}",
            f"  {_values(outcome.best.values)}",
            "to reproduce with it, one of:",
            f"  python -m pipeline.profile {outcome.overlay} && dvc repro",
            f"  {outcome.command}",
        ]
    return lines


def _axis(axis: dict[str, Any]) -> str:
    ((kind, ends),) = axis.items()
    return f"{kind} {json.dumps(ends)}"


def _values(values: dict[str, Any]) -> str:
    return "  ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
