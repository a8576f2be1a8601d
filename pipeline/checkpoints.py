"""Checkpoints of a training as artifacts of its run of MLflow: the newest few, and the best.

Each is a folder `checkpoints/STAGE-KEY/step-N`, from which `make resume RUN=...` goes on, on any machine.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from jscgc.files import read_json, write_json
from jscgc.tracking import StageRun
from jscgc.tracking.spool import keep
from jscgc.training.curve import Curve

PLACE = "checkpoints"
"""Folder of a run's artifacts."""
ALONG = ("curve.jsonl", "threads", "run")
"""What goes on with a checkpoint: the curve so far, the threads that it began with, the run that has it."""


class Checkpoints:
    """Watches a folder of checkpoints while a training writes to it, and has the run keep what it shall.

    The best is that before which the mean of the training loss, since the checkpoint before it, is the smallest: photographs
    choose in an evaluation, not here.
    """

    def __init__(self, folder: Path, count: int, run: StageRun) -> None:
        """
        Args:
            folder: STAGE-KEY.
            count: of the newest; 0: none, and no best either.
            run: that they are uploaded to.
        """
        self._folder, self._count, self._run, self._note = folder, count, run, folder / "sent.json"
        noted = read_json(self._note) if self._note.exists() else {}
        known = noted if noted.get("run") == run.identity else {"losses": {}, "held": []}
        self._losses: dict[str, float] = known["losses"]
        self._held: list[str] = known["held"]

    def look(self) -> None:
        """Upload a checkpoint that is new, and remove those that are neither new nor the best any more."""
        new = [
            path for path in sorted(self._folder.rglob("step-*.safetensors")) if self._name(path) not in self._losses
        ]
        if not self._count or not new:
            return
        try:
            self._send(new[-1])
        except OSError:  # a newer one has taken its place, or there is no room: the next one's turn
            return
        for path in new:
            self._losses[self._name(path)] = self._loss(_step(path))
        self._held.append(self._name(new[-1]))
        best = min(self._held, key=lambda name: self._losses[name])
        wanted = {best, *self._held[-self._count :]}
        for name in [name for name in self._held if name not in wanted]:
            self._run.remove(f"{PLACE}/{self._folder.name}/{name}")
            self._held.remove(name)
        self._run.tag("best_checkpoint", best)
        write_json(self._note, {"run": self._run.identity, "losses": self._losses, "held": self._held})

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).with_suffix("").as_posix().replace("/", "-")

    def _send(self, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".sent-") as folder:
            place = Path(folder) / self._name(path)
            keep(path, place / path.relative_to(self._folder).parent)
            for name in ALONG:
                if (self._folder / name).exists():
                    shutil.copyfile(self._folder / name, place / name)
            self._run.upload(place, f"{PLACE}/{self._folder.name}")

    def _loss(self, step: int) -> float:
        """Mean since the checkpoint before; of one without a row (trained ahead, by another process) the largest."""
        before = max((step_of(name) for name in self._losses if step_of(name) < step), default=0)
        losses = [row["loss"] for row in Curve(self._folder).rows() if before < row["step"] <= step and "loss" in row]
        return sum(losses) / len(losses) if losses else sys.float_info.max


def _step(path: Path) -> int:
    return step_of(path.stem)


def step_of(name: str) -> int:
    """The step in the name, or path, of a checkpoint."""
    return int(name.rpartition("-")[2])
