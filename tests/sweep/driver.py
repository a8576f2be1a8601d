"""A sweep with a made-up objective in a process that can be killed. Arguments: the project, trials, workers, seconds a rung."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jscgc.cluster.tune import Assignment, TrialFailed
from jscgc.sweep.plan import prepare
from jscgc.sweep.run import sweep


@dataclass(frozen=True)
class Bowl:
    """Scores by distance from a learning rate of 0.002; notes every rung that is computed in a file of the trial's. The worker
    that comes first to the second rung is killed."""

    notes: Path
    pause: float

    def __call__(self, assigned: Assignment) -> Iterator[tuple[int, dict[str, float]]]:
        rate = assigned.values["jscgc.train.learning_rate"]
        done = self.notes / f"{assigned.trial}.jsonl"
        finished = len(done.read_text().splitlines()) if done.exists() else 0
        for rung in range(3):
            if rung == 1 and not (self.notes / "killed").exists():  # a worker dies once
                (self.notes / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if rung >= finished:  # as a training goes on from its checkpoint
                time.sleep(self.pause)
                with done.open("a") as file:
                    file.write(json.dumps({"rung": rung}) + "\n")
            if rate > 0.0095:
                raise TrialFailed("loss nan at step 3")
            yield rung, {"score": abs(rate - 0.002) + 0.001 / (rung + 1), "steps": 2.0**rung}


def main() -> None:
    root, trials, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    notes = root / "notes"
    notes.mkdir(exist_ok=True)
    plan = prepare(root / "space.yaml", root / "params.yaml", root / "data", root / "out", trials)
    outcome = sweep(plan, workers=workers, root=root, objective=Bowl(notes, float(sys.argv[4])))
    print(json.dumps({"trials": len(outcome.trials), "best": outcome.best.name if outcome.best else None}))


if __name__ == "__main__":
    main()
