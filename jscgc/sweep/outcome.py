"""What a sweep leaves: the table of trials, the best values as a profile, and the line for `dvc exp run`."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from jscgc.files import atomic
from jscgc.sweep.journal import Trial
from jscgc.sweep.space import nested


def best(trials: Iterable[Trial], better: Literal["lower", "higher"]) -> Trial | None:
    """Of those that were trained to the end; None without one. Of equal ones the first."""
    done = [trial for trial in trials if trial.state == "finished" and trial.score is not None]
    sign = 1 if better == "lower" else -1
    return min(done, key=lambda trial: (sign * (trial.score or 0.0), trial.index), default=None)


def write_table(trials: Iterable[Trial], keys: Iterable[str], path: Path) -> None:
    """One row per trial: trial, state, rung, score, steps, the values, the error."""
    names = list(keys)
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["trial", "state", "rungs", "score", "steps", *names, "error"])
        for trial in trials:
            last = trial.scores[max(trial.scores)] if trial.scores else {}
            scores = [len(trial.scores), last.get("score", ""), int(last["steps"]) if "steps" in last else ""]
            values = [_cell(trial.values[name]) for name in names]
            rows.writerow([trial.name, trial.state or "unfinished", *scores, *values, trial.error])


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, Mapping | list) else value


def write_overlay(trial: Trial, profile: str, head: Iterable[str], path: Path) -> None:
    """The values as a profile, to be laid over params.yaml by `python -m pipeline.profile FILE`.

    Args:
        profile: its name.
        head: lines of comment.
    """
    lines = [*(f"# {line}" for line in head), f"profile: {profile}", *_yaml(nested(trial.values))]
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _yaml(content: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from _yaml(value, f"{indent}  ")
        else:
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"  # JSON is YAML


def experiment(values: Mapping[str, Any], present: Iterable[str]) -> str:
    """The command that reproduces with these values: `dvc exp run -S KEY=VALUE ...`.

    Args:
        present: dotted keys that params.yaml has; DVC wants a `+` before any other.
    """
    known = set(present)
    words = ["dvc", "exp", "run"]
    for key, value in leaves(nested(values)):
        words += ["-S", f"{'' if key in known else '+'}{key}={_hydra(value)}"]
    return shlex.join(words)


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of values that are no sections."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _hydra(value: Any) -> str:
    """A value in the grammar of Hydra's overrides, which DVC reads."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if isinstance(value, str):
        return value if value.replace("_", "a").isalnum() and not value[0].isdigit() else json.dumps(value)
    return json.dumps(value)
