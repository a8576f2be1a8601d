"""The training curve of a run: one JSON line per logged step, kept beside the checkpoints, so that it survives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

RATE = "steps_per_second"
"""The scalar that no two trainings have in common."""


class Curve:
    """Appends to `folder`/curve.jsonl."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "curve.jsonl"

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        line = json.dumps({"step": step, **metrics}) + "\n"
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line  # a kill cut the last line short: it must not swallow this one
            file.write(line.encode())

    def rows(self) -> list[dict[str, float]]:
        """One row per logged step, in order. A resumed run repeats the steps after its checkpoint: the last one counts."""
        if not self._path.exists():
            return []
        rows: dict[int, dict[str, float]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line that a kill cut short; its step was repeated
            rows[row["step"]] = row
        return [rows[step] for step in sorted(rows)]

    def seconds(self) -> float:
        """What the steps up to the last row took, in whatever processes they were computed; what was repeated counts once."""
        total, before = 0.0, 0.0
        for row in self.rows():
            if rate := row.get(RATE):
                total += (row["step"] - before) / rate
            before = row["step"]
        return total

    def write_csv(self, path: Path) -> None:
        """The rows as CSV: step, then every scalar but times, so that the same training gives the same file; of what was passed
        through untrained the heading alone."""
        from jscgc.files import atomic

        rows = self.rows()
        columns = [key for key in dict.fromkeys(["step", *(key for row in rows for key in row)]) if key != RATE]
        with atomic(path) as temporary:
            lines = [",".join(columns)] + [",".join(repr(row.get(column, "")) for column in columns) for row in rows]
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
