"""What a sweep has proposed, measured and ended: one JSON line each, on disk before anything follows from it.

The journal alone decides what is left to do. A driver that was killed at any moment and is started again proposes the same trials
with the same names, runs the unfinished ones on, and no finished one twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jscgc.config import digest

State = Literal["finished", "stopped", "failed"]
"""finished: trained to the end; stopped: early, by ASHA; failed: its training diverged, or its values do not work together."""


@dataclass
class Trial:
    """One set of values.

    name: made of the sweep's name, the index and the values. scores: rung -> metrics, the sweep's own under `score`.
    state: None while it is unfinished.
    """

    name: str
    index: int
    values: dict[str, Any]
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    state: State | None = None
    error: str = ""
    recorded: bool = False
    """Whether its end is in MLflow's spool."""

    @property
    def score(self) -> float | None:
        """At its last rung; None before the first."""
        return self.scores[max(self.scores)]["score"] if self.scores else None


def trial_name(sweep: str, index: int, values: Mapping[str, Any]) -> str:
    """The same for the same sweep, index and values, whenever and wherever they are proposed."""
    return f"{sweep}-{index:04d}-{digest(sweep, index, dict(values))[:8]}"


class Journal:
    """Appends to a file, and knows what is in it.

    Raises:
        ValueError: a line in the middle of the file is no entry of a journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trials: dict[str, Trial] = {}
        self._torn = False
        if path.exists():
            self._read()

    def _read(self) -> None:
        lines = self._path.read_bytes().split(b"\n")
        self._torn = bool(lines[-1])
        for number, line in enumerate(lines[:-1], 1):
            # A kill cuts the last line only; it was ended when the next entry came, and nothing had followed from it.
            try:
                entry = json.loads(line) if line else None
            except ValueError:
                continue
            try:
                if entry is not None:
                    self._apply(entry)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{self._path}: line {number} is no entry of a sweep's journal ({error})") from None

    def _apply(self, entry: Mapping[str, Any]) -> None:
        event, name = entry["event"], entry["trial"]
        if event == "proposed":
            self.trials[name] = Trial(name, int(entry["index"]), dict(entry["values"]))
        elif event == "scored":
            self.trials[name].scores[int(entry["rung"])] = {key: float(v) for key, v in entry["metrics"].items()}
        elif event == "ended":
            self.trials[name].state, self.trials[name].error = entry["state"], entry["error"]
        elif event == "recorded":
            self.trials[name].recorded = True
        else:
            raise ValueError(f"unknown event {event!r}")

    def _append(self, entry: dict[str, Any]) -> None:
        line = (b"\n" if self._torn else b"") + json.dumps(entry, allow_nan=False).encode() + b"\n"
        with self._path.open("ab") as file:
            self._torn = True
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._apply(entry)

    def proposed(self, sweep: str, index: int, values: Mapping[str, Any]) -> Trial:
        """Record that a trial is to be run, before it is."""
        name = trial_name(sweep, index, values)
        self._append({"event": "proposed", "trial": name, "index": index, "values": dict(values)})
        return self.trials[name]

    def scored(self, name: str, rung: int, metrics: Mapping[str, float]) -> bool:
        """Record a rung's metrics, the first time only; returns whether it was that."""
        if rung in self.trials[name].scores:
            return False
        self._append({"event": "scored", "trial": name, "rung": rung, "metrics": dict(metrics)})
        return True

    def ended(self, name: str, state: State, error: str = "") -> bool:
        """Record how a trial ended, the first time only; returns whether it was that."""
        if self.trials[name].state is not None:
            return False
        self._append({"event": "ended", "trial": name, "state": state, "error": error})
        return True

    def recorded(self, name: str) -> None:
        """Record that MLflow's spool has a trial's end."""
        if not self.trials[name].recorded:
            self._append({"event": "recorded", "trial": name})

    def in_order(self) -> list[Trial]:
        """All trials, as they were proposed."""
        return sorted(self.trials.values(), key=lambda trial: trial.index)

    def unfinished(self) -> list[Trial]:
        """Those that have not ended."""
        return [trial for trial in self.in_order() if trial.state is None]
