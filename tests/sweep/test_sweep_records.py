"""A sweep's runs in MLflow, without Ray: interrupted, gone on with, each once, in whatever order the records arrive."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from jscgc import tracking
from jscgc.sweep.journal import Journal
from jscgc.sweep.records import Records
from jscgc.tracking import run as running
from jscgc.tracking import spool

VALUES = {"jscgc.train.learning_rate": 0.001}
DEAD_SERVER = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One project for all tests (a new database costs seconds)."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")


def runs(root: Path, sweep: str) -> tuple[Any, dict[str, Any]]:
    """The sweep's run, and its trials'."""
    store = client(root)
    found = store.search_runs([store.get_experiment_by_name("jscgc").experiment_id], f"tags.`jscgc.sweep` = '{sweep}'")
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if run is not parent]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in children)
    assert len({run.data.tags["jscgc.trial"] for run in children}) == len(children)
    return parent, {run.data.tags["jscgc.trial"]: run for run in children}


def opened(root: Path, sweep: str) -> Records:
    return Records(sweep, sweep, {"space": {"trials": 2}}, {"jscgc.sweep": sweep, "profile": "test"}, root)


def test_an_interrupted_trial_is_marked_and_goes_on_in_the_same_run(root: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    trial = journal.proposed("one", 0, VALUES)
    records = opened(root, "one")
    records.open(trial, VALUES)
    journal.scored(trial.name, 0, {"score": 0.5, "steps": 3.0, "at": 1e9})
    records.scored(trial, 0)
    records.close("KILLED", "interrupted", [trial])
    parent, children = runs(root, "one")
    before = children[trial.name]
    assert (parent.info.status, before.info.status) == ("KILLED", "KILLED")
    assert before.data.tags["jscgc.ended"] == "interrupted" and "goes on" in before.data.tags["jscgc.error"]

    trial = Journal(tmp_path / "j.jsonl").in_order()[0]
    records = opened(root, "one")
    records.open(trial, VALUES)
    trial.scores[1] = {"score": 0.25, "steps": 6.0, "at": 1e9 + 1}
    records.scored(trial, 1)
    trial.state = "finished"
    records.ended(trial)
    records.best({"best_score": 0.25}, [])
    records.close("FINISHED", "", [])
    parent, children = runs(root, "one")
    after = children[trial.name]
    assert (after.info.run_id, len(children)) == (before.info.run_id, 1)
    assert (parent.info.status, after.info.status, after.data.tags["jscgc.ended"]) == (
        "FINISHED",
        "FINISHED",
        "finished",
    )
    assert "jscgc.error" not in after.data.tags and "jscgc.error" not in parent.data.tags
    points = client(root).get_metric_history(after.info.run_id, "score")
    assert [(point.step, point.value) for point in points] == [(3, 0.5), (6, 0.25)]
    assert after.data.params == {key: str(value) for key, value in VALUES.items()}
    assert parent.data.metrics["best_score"] == 0.25 and parent.data.params == {"space.trials": "2"}


@pytest.mark.parametrize("clock", [None, 0, -3_600_000], ids=["runs", "stands_still", "set_back_an_hour"])
def test_what_a_dead_server_did_not_take_arrives_later_in_order(
    clock: int | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted and finished while the server is away: the last word is finished, whichever spool is delivered first.

    Args:
        clock: milliseconds between two looks at it; None: the real one.
    """
    sweep = f"two{'_' if clock is None else abs(clock)}"
    if clock is not None:
        times = itertools.count(1_800_000_000_000, clock)
        monkeypatch.setattr(spool, "now_ms", lambda: next(times))
    journal = Journal(tmp_path / "j.jsonl")
    trial = journal.proposed(sweep, 0, VALUES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    monkeypatch.setattr(running, "FINISH_S", 20.0)
    monkeypatch.setattr(running.StageRun, "_upload", lambda self: False)  # as if nobody answered, without the waiting
    records = opened(root, sweep)
    records.open(trial, VALUES)
    records.close("KILLED", "interrupted", [trial])
    records = opened(root, sweep)
    records.open(trial, VALUES)
    trial.scores[0] = {"score": 0.5, "steps": 3.0, "at": 1e9}
    records.scored(trial, 0)
    trial.state = "failed"
    trial.error = "loss nan"
    records.ended(trial)
    records.close("FINISHED", "", [])
    monkeypatch.undo()
    assert len(list((root / ".jscgc" / "spool").glob(f"{sweep}*.jsonl"))) == 4
    # The newest of the trial first: it sees to the older ones itself.
    newest = max((root / ".jscgc" / "spool").glob(f"{sweep}-{trial.name}-*.jsonl"))
    delivery, store = running.delivery, running.Store(root)
    delivery.deliver(store, newest, live=False)
    tracking.replay(root)
    parent, children = runs(root, sweep)
    assert (parent.info.status, children[trial.name].info.status) == ("FINISHED", "FAILED")
    assert children[trial.name].data.tags["jscgc.error"] == "loss nan" and parent.info.run_name == f"sweep {sweep}"
    assert not list((root / ".jscgc" / "spool").iterdir())
