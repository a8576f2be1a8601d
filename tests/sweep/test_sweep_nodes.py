"""A sweep on a cluster: a worker killed at its trial, then a whole node; every trial comes to its end, nothing is run twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jscgc.sweep.journal import Journal
from jscgc.sweep.plan import prepare
from jscgc.sweep.run import sweep

TRIALS = 6


def test_a_killed_worker_and_a_dead_node_lose_nothing_and_repeat_nothing(
    nodes: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notes = project / "notes"
    notes.mkdir()

    doomed = nodes.add_node(num_cpus=1, object_store_memory=150_000_000)
    leaving = doomed.node_id
    victim, dead = project / "victim", project / "dead"

    def bowl(assigned: Any):  # of this function's own, so that it travels to the nodes by value
        import ray

        file = notes / f"{assigned.trial}.jsonl"
        rate = assigned.values["jscgc.train.learning_rate"]
        at = {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}

        def note(**what: Any) -> None:
            with file.open("a") as lines:
                lines.write(json.dumps(what | at) + "\n")

        done = {json.loads(line)["rung"] for line in file.read_text().splitlines()} if file.exists() else set()
        note(rung=-1)
        if at["node"] == leaving or not victim.exists():
            if at["node"] != leaving:
                victim.write_text(str(os.getpid()))
            time.sleep(100)  # what is to die does so in the middle of its trial
        for rung in range(3):
            if rung not in done:  # as a training goes on from its checkpoint
                note(rung=rung)
            yield rung, {"score": abs(rate - 0.002) + 0.001 / (rung + 1), "steps": 2.0**rung}

    def noted() -> dict[str, list[dict[str, Any]]]:
        return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in notes.iterdir()}

    def kill() -> None:
        while not (victim.exists() and victim.read_text()):
            time.sleep(0.05)
        os.kill(int(victim.read_text()), signal.SIGKILL)
        while not any(line["node"] == leaving for ls in noted().values() for line in ls):
            time.sleep(0.05)
        nodes.remove_node(doomed, allow_graceful=False)
        dead.touch()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    plan = prepare(*(Path(name) for name in ("space.yaml", "params.yaml", "data", "out")), trials=TRIALS)
    outcome = sweep(plan, workers=3, root=project, objective=bowl)
    killer.join(5)
    assert dead.exists()

    trials = Journal(project / "out" / "journal.jsonl").in_order()
    assert [trial.index for trial in trials] == list(range(TRIALS)) and len(outcome.trials) == TRIALS
    assert {trial.state for trial in trials} <= {"finished", "stopped"} and all(trial.recorded for trial in trials)
    for trial in trials:
        lines = noted()[trial.name]
        # Each rung was computed once, and its score is what it is without deaths.
        assert [line["rung"] for line in lines if line["rung"] >= 0] == list(range(len(trial.scores)))
        for rung, scores in trial.scores.items():
            rate = trial.values["jscgc.train.learning_rate"]
            assert scores["score"] == pytest.approx(abs(rate - 0.002) + 0.001 / (rung + 1))
    begun = Counter(trial for trial, lines in noted().items() for line in lines if line["rung"] == -1)
    assert sum(begun.values()) == TRIALS + 2  # the two that died were begun again
    (moved,) = [lines for lines in noted().values() if leaving in {line["node"] for line in lines}]
    assert moved[-1]["node"] != leaving and moved[-1]["rung"] >= 0
    best = min((trial for trial in trials if trial.state == "finished"), key=lambda trial: trial.score or 0.0)
    assert outcome.best is not None and outcome.best.name == best.name
    assert "broken off" not in capfd.readouterr().err
