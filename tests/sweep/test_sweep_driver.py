"""A whole sweep through Ray Tune, its driver killed on the way: every trial once, in the journal and in MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jscgc.sweep.journal import Journal
from jscgc.sweep.plan import prepare
from jscgc.sweep.run import sweep

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
TRIALS = 5


def start(root: Path, pause: float, trials: int = TRIALS) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, str(HERE / "driver.py"), str(root), str(trials), "2", str(pause)]
    return subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def entries(root: Path) -> list[dict[str, Any]]:
    path = root / "out" / "journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line]


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_a_killed_driver_loses_nothing_and_repeats_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(project, 0.4)
    wait_for(lambda: sum(e["event"] == "ended" for e in entries(project)) >= 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = entries(project)
    running = {e["trial"] for e in before if e["event"] == "proposed"} - {
        e["trial"] for e in before if e["event"] == "ended"
    }
    assert running, "it was killed too late"

    process = start(project, 0.0)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err

    after = entries(project)
    assert after[: len(before)] == before
    counts = Counter((e["event"], e["trial"], e.get("rung")) for e in after)
    assert set(counts.values()) == {1}
    trials = Journal(project / "out" / "journal.jsonl").in_order()
    assert [trial.index for trial in trials] == list(range(TRIALS))
    assert all(trial.state for trial in trials) and all(trial.recorded for trial in trials)
    # No rung was computed twice: what ran when the driver was killed went on.
    for trial in trials:
        rungs = [
            json.loads(line)["rung"] for line in (project / "notes" / f"{trial.name}.jsonl").read_text().splitlines()
        ]
        assert rungs == list(range(len(rungs)))
    finished = [trial for trial in trials if trial.state == "finished"]
    best = min(finished, key=lambda trial: trial.score or 0.0)
    assert json.loads(out.splitlines()[-1]) == {"trials": TRIALS, "best": best.name}
    assert f"learning_rate: {best.values['jscgc.train.learning_rate']}" in (project / "out" / "best.yaml").read_text()
    assert not (project / "out" / "ray").exists()

    runs = recorded(project)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "sweep tiny")
    assert parent.data.metrics["best_score"] == pytest.approx(best.score)
    children = {run.data.tags["jscgc.trial"]: run for run in runs if run is not parent}
    assert len(children) == len(runs) - 1 == TRIALS
    for trial in trials:
        run = children[trial.name]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == ("FAILED" if trial.state == "failed" else "FINISHED")
        assert run.data.tags["jscgc.ended"] == trial.state
        assert float(run.data.params["jscgc.train.learning_rate"]) == trial.values["jscgc.train.learning_rate"]
        assert {key: value for key, value in run.data.metrics.items() if key.startswith("score_rung_")} == {
            f"score_rung_{rung}": pytest.approx(metrics["score"]) for rung, metrics in trial.scores.items()
        }
        history = client(project).get_metric_history(run.info.run_id, "score") if trial.scores else []
        assert len(history) == len(trial.scores)

    # The same command once more: nothing is left to do.
    monkeypatch.chdir(project)
    plan = prepare(*(Path(name) for name in ("space.yaml", "params.yaml", "data", "out")), trials=TRIALS)
    again = sweep(plan, root=project)
    assert again.best is not None and again.best.name == best.name
    assert entries(project) == after
    assert len(recorded(project)) == TRIALS + 1


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")


def recorded(root: Path) -> list[Any]:
    store = client(root)
    return list(store.search_runs([store.get_experiment_by_name("jscgc").experiment_id]))
