"""Tracking: every run is in MLflow exactly once, whatever died, and no stage waits for it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jscgc import files, tracking
from jscgc.tracking import deliverer, delivery, processes
from jscgc.tracking import run as running
from jscgc.tracking.spool import LINKED_BYTES, clean

PROJECT = Path(__file__).parents[1]
TAGS = {"commit": "abc", "profile": "smoke"}
DEAD_SERVER = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One project for all tests (a new database costs seconds); the space is part of the test."""
    return tmp_path_factory.mktemp("a project")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("JSCGC_REPRODUCTION", request.node.name)


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / '.jscgc' / 'mlflow.db'}")


def runs(root: Path, **tags: str) -> list[Any]:
    condition = " and ".join(f"tags.`{name.replace('__', '.')}` = '{value}'" for name, value in tags.items())
    c = client(root)
    return list(c.search_runs([c.get_experiment_by_name("jscgc").experiment_id], condition))


def points(root: Path, run: Any, name: str = "loss") -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client(root).get_metric_history(run.info.run_id, name)]


def spools(root: Path) -> list[Path]:
    return list((root / ".jscgc" / "spool").iterdir())


def test_a_run_and_its_parent_are_there_once(root: Path, request: pytest.FixtureRequest) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "a.txt").write_text("a")
    (root / "b.txt").write_text("b")
    params = {"train": {"steps": 3, "rates": [8, 16]}, "long": "x" * 7000, "bad@name": True, "none": None}
    with tracking.stage_run("train@vae", params=params, tags=TAGS, root=root) as run:
        for step in range(3):
            run.log(step, {"loss": 1.0 / (step + 1), "psnr@5dB": 20.0})
        run.artifact(root / "folder", "results")
        run.artifact(root / "b.txt")
    with tracking.stage_run("evaluate", params={}, tags={**TAGS, "dataset_hash": "d"}, root=root):
        (live,) = runs(root, jscgc__reproduction=request.node.name)
        assert live.info.status == "FINISHED"  # between stages
    (parent,) = runs(root, jscgc__reproduction=request.node.name)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name.startswith("smoke-")
    assert parent.data.tags["commit"] == "abc"
    assert parent.data.tags["dataset_hash"] == "d"
    children = runs(root, mlflow__parentRunId=parent.info.run_id)
    assert sorted(c.info.run_name for c in children) == ["evaluate", "train@vae"]
    assert {c.info.status for c in children} == {"FINISHED"}
    (train,) = (c for c in children if c.info.run_name == "train@vae")
    assert points(root, train) == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert len(points(root, train, "psnr_5dB")) == 3
    assert train.data.params["train.rates"] == "[8, 16]"
    assert train.data.params["bad_name"] == "true"
    assert len(train.data.params["long"]) == 6000
    artifacts = root / ".jscgc" / "mlartifacts" / train.info.run_id / "artifacts"
    assert (artifacts / "results" / "folder" / "a.txt").read_text() == "a"
    assert (artifacts / "b.txt").read_text() == "b"
    assert spools(root) == []


def test_nothing_is_written_beside_the_store(root: Path) -> None:
    with tracking.stage_run("s", params={}, tags={}, root=root):
        pass
    assert {p.name for p in (root / ".jscgc").iterdir()} <= {
        "mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlflow.lock", "mlartifacts", "spool",
    }  # fmt: skip
    assert not Path("mlruns").exists()


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_failed_stage_fails_its_parent_until_it_succeeds(
    root: Path, error: BaseException, status: str, request: pytest.FixtureRequest
) -> None:
    name = f"fails-{status}"
    with pytest.raises(type(error)), tracking.stage_run(name, params={}, tags={}, root=root):
        raise error
    (run,) = runs(root, jscgc__stage=name)
    assert run.info.status == status
    assert run.data.tags["jscgc.error"].startswith(type(error).__name__)
    key = clean(request.node.name)
    with tracking.stage_run("other", params={}, tags={}, root=root):
        pass
    assert runs(root, jscgc__reproduction=key)[0].info.status == status
    with tracking.stage_run(name, params={}, tags={}, root=root):
        pass
    assert runs(root, jscgc__reproduction=key)[0].info.status == "FINISHED"


def test_a_long_stage_can_be_watched(root: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
    monkeypatch.setattr(running, "UPLOAD_EVERY_S", 0.2)
    with tracking.stage_run("long", params={}, tags={}, root=root) as run:
        run.log(0, {"loss": 1.0})
        deadline = time.monotonic() + 20
        while not (found := runs(root, jscgc__stage="long")) or not points(root, found[0]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert found[0].info.status == "RUNNING"
        assert runs(root, jscgc__reproduction=request.node.name)[0].info.status == "RUNNING"
        run.log(1, {"loss": 2.0})
    assert points(root, runs(root, jscgc__stage="long")[0]) == [(0, 1.0), (1, 2.0)]


def test_a_run_whose_process_died_is_swept(root: Path) -> None:
    c = client(root)
    experiment = c.get_experiment_by_name("jscgc").experiment_id
    owner = processes.process_tags()
    dead = c.create_run(experiment, tags={**owner, "jscgc.pid_created": "1.00"}, run_name="dead")
    alive = c.create_run(experiment, tags=owner, run_name="alive")
    elsewhere = c.create_run(experiment, tags={**owner, "jscgc.pid_created": "1.00", "jscgc.host": "other"})
    with tracking.stage_run("next", params={}, tags={}, root=root):
        pass
    statuses = [c.get_run(run.info.run_id).info.status for run in (dead, alive, elsewhere)]
    assert statuses == ["KILLED", "RUNNING", "RUNNING"]
    c.set_terminated(alive.info.run_id)


def test_a_dead_server_costs_seconds_and_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], request: Any
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    monkeypatch.setattr(running, "UPLOAD_EVERY_S", 0.01)
    start = time.monotonic()
    with tracking.stage_run("offline", params={"a": 1}, tags=TAGS, root=root) as run:
        for step in range(1500):
            run.log(step, {"loss": step, "rate": 2.0 * step})
        run.artifact(root / "b.txt")
        (root / "b.txt").write_text("b")
    assert time.monotonic() - start < 15
    assert capfd.readouterr().err.count("tracking: ") == 1
    assert len([path for path in spools(root) if path.suffix == ".jsonl"]) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(root) == 1
    assert tracking.replay(root) == 0
    (run_,) = runs(root, jscgc__stage="offline")
    assert run_.info.status == "FINISHED"
    assert points(root, run_) == [(step, step) for step in range(1500)]
    assert points(root, run_, "rate") == [(step, 2.0 * step) for step in range(1500)]
    assert (root / ".jscgc" / "mlartifacts" / run_.info.run_id / "artifacts" / "b.txt").exists()
    (parent,) = runs(root, jscgc__reproduction=request.node.name)
    assert run_.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.status == "FINISHED"
    assert spools(root) == []


def test_a_server_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(running, "FINISH_S", 0.5)
        start = time.monotonic()
        with tracking.stage_run("slow", params={}, tags={}, root=tmp_path) as run:
            run.log(0, {"loss": 1.0})
        assert time.monotonic() - start < 5
        assert len(spools(tmp_path)) == 1


def break_state(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Power goes after something was sent but before we could note that it was."""
    calls = iter(range(1, 100))

    def breaks(path: Path, content: Any) -> None:
        if next(calls) == call:
            raise OSError("disk full")
        files.write_json(path, content)

    monkeypatch.setattr(delivery, "write_json", breaks)


@pytest.mark.parametrize("call", range(1, 6))
def test_an_upload_that_breaks_anywhere_is_resumed(root: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    break_state(monkeypatch, call)
    stage = f"broken-{call}"
    with tracking.stage_run(stage, params={"a": 1}, tags={}, root=root) as run:
        for step in range(1200):
            run.log(step, {"loss": 1.0})
        run.artifact(root / "b.txt")
    assert [p for p in spools(root) if p.suffix == ".jsonl"]
    with tracking.stage_run("after", params={}, tags={}, root=root):
        pass
    (found,) = runs(root, jscgc__stage=stage)
    assert found.info.status == "FINISHED"
    assert [step for step, _ in points(root, found)] == list(range(1200))
    assert spools(root) == []


def test_a_killed_stage_keeps_its_points(root: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from jscgc import tracking\n"
        "with tracking.stage_run('shot', params={}, tags={}, root=Path(sys.argv[1])) as run:\n"
        "    [run.log(i, {'loss': i}) for i in range(5)]; print('ready', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, cwd=PROJECT)
    assert child.stdout
    with child, child.stdout:
        child.stdout.readline()
        assert tracking.replay(root) == 0  # it lives: its spool is its own
        os.kill(child.pid, signal.SIGKILL)
    (spool,) = spools(root)
    with spool.open("ab") as stream:
        stream.write(b'{"step": 5, "time')  # torn in the middle of a line
    assert tracking.replay(root) == 1
    (run,) = runs(root, jscgc__stage="shot")
    assert run.info.status == "KILLED"
    assert points(root, run) == [(i, i) for i in range(5)]


def test_what_the_store_refuses_is_set_aside(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    break_state(monkeypatch, 2)
    with tracking.stage_run("refused", params={}, tags={}, root=root) as run:
        run.log(0, {"loss": 1.0})
    client(root).delete_run(runs(root, jscgc__stage="refused")[0].info.run_id)
    capfd.readouterr()
    with tracking.stage_run("fine", params={}, tags={}, root=root):
        pass
    assert capfd.readouterr().err.count("set aside") == 1
    (left,) = (p for p in spools(root) if p.suffix == ".rejected")
    assert runs(root, jscgc__stage="fine")[0].info.status == "FINISHED"
    left.unlink()
    left.with_suffix(".state.json").unlink()


def test_nan_stays_at_home(root: Path) -> None:
    with tracking.stage_run("nan", params={}, tags={}, root=root) as run:
        run.log(0, {"loss": float("nan"), "norm": float("inf"), "psnr": 1.0})
        assert '"loss": "nan"' in run._spool.read_text()
    (found,) = runs(root, jscgc__stage="nan")
    assert found.data.metrics == {"psnr": 1.0}


@pytest.mark.parametrize("later", ["rewritten", "touched", "removed"])
def test_what_a_stage_made_arrives_whatever_became_of_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], later: str
) -> None:
    """Another run rewrites it, DVC puts a copy in its place, or removes the copy of the project that it was made in."""
    model, stage = root / "made" / "model", f"gone-{later}"
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.json").write_text("{}")
    (model / "weights.safetensors").write_bytes(b"w" * (LINKED_BYTES + 1))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    with tracking.stage_run(stage, params={}, tags={}, root=root) as run:
        run.artifact(root / "b.txt")
        run.artifact(root / "never_written")
        run.artifact(model, "models")
    before = (root / "b.txt").read_bytes()
    if later == "rewritten":
        with files.atomic(root / "b.txt") as temporary:
            temporary.write_text("of another run")
    elif later == "touched":
        os.utime(root / "b.txt", (1, 1))
    else:
        shutil.rmtree(model.parent)
        (root / "b.txt").unlink()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    capfd.readouterr()
    assert tracking.replay(root) == 1
    (found,) = runs(root, jscgc__stage=stage)
    there = root / ".jscgc" / "mlartifacts" / found.info.run_id / "artifacts"
    assert (there / "b.txt").read_bytes() == before
    assert sorted(path.name for path in (there / "models/model").iterdir()) == ["model.json", "weights.safetensors"]
    assert "never_written is missing" in capfd.readouterr().err and spools(root) == []
    (root / "b.txt").write_bytes(before)


def test_a_running_stage_uploads_and_removes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As checkpoints of a training: what was removed before it was sent is never sent."""
    monkeypatch.setattr(running, "UPLOAD_EVERY_S", 1e9)  # nothing is sent before we say so
    with tracking.stage_run("keeping", params={}, tags={}, root=root) as run:
        for step in (1, 2, 3):
            (root / f"step-{step}").mkdir()
            (root / f"step-{step}" / "weights").write_text(str(step))
            run.upload(root / f"step-{step}", "checkpoints/stage-key")
            shutil.rmtree(root / f"step-{step}")
            if step == 2:
                run.remove("checkpoints/stage-key/step-1")
                assert run._upload()
                (found,) = runs(root, jscgc__stage="keeping")
                names = [file.path for file in client(root).list_artifacts(found.info.run_id, "checkpoints/stage-key")]
                assert found.info.status == "RUNNING" and names == ["checkpoints/stage-key/step-2"]
        run.remove("checkpoints/stage-key/step-2")
    names = [file.path for file in client(root).list_artifacts(found.info.run_id, "checkpoints/stage-key")]
    assert names == ["checkpoints/stage-key/step-3"] and spools(root) == []


def test_a_run_says_who_what_and_of_which_photographs(
    root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "murky-tole")
    photos = {"name": "photographs-train", "digest": "d1", "source": "builtin", "profile": '{"photographs": 7}'}
    with tracking.stage_run(
        "told",
        params={},
        tags=TAGS | {"commit": "abc-dirty"},
        root=root,
        name="murky-tole",
        datasets=[photos | {"context": "train"}],
    ) as run:
        run.describe("![grid]({artifacts}grid.png)")
        run.table("results.json", ["snr_db", "psnr"], [[0.0, 20.5], [5.0, float("nan")]])
        run.tag("step", "hundredths of a dB")
    (found,) = runs(root, jscgc__stage="told")
    (parent,) = runs(root, jscgc__reproduction=clean(request.node.name))
    assert parent.info.run_name == "murky-tole"
    for one in (found, parent):
        tags = one.data.tags
        assert tags["mlflow.source.git.commit"] == "abc" and tags["dvc.experiment"] == "murky-tole"
        assert tags["mlflow.user"] == getpass.getuser() and tags["mlflow.source.name"]
        assert tags["mlflow.note.content"] == f"![grid](get-artifact?run_uuid={found.info.run_id}&path=grid.png)"
        (dataset,) = one.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("photographs-train", "d1")
        assert json.loads(dataset.dataset.profile) == {"photographs": 7} and dataset.tags[0].value == "train"
    assert found.data.tags["step"] == "hundredths of a dB"
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"sqlite:///{root / '.jscgc' / 'mlflow.db'}"
    )  # it asks the global one, too
    table = client(root).load_table(found.info.experiment_id, "results.json", run_ids=[found.info.run_id])
    assert table["snr_db"].tolist() == [0.0, 5.0] and table["psnr"].isna().tolist() == [False, True]


@pytest.mark.parametrize("first", ["plain", "my%20project"])
def test_a_project_may_have_any_name_and_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Databases of MLflow hold absolute paths, and its URIs are decoded once more than they were encoded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JSCGC_REPRODUCTION")
    before, after = tmp_path / first, tmp_path / "re#named? 100%41"
    before.mkdir()
    (before / "a.txt").write_text("a")
    if first == "plain":  # as somebody who names the same database by what the docs say
        monkeypatch.chdir(before)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///.jscgc/mlflow.db")
    with tracking.stage_run("one", params={}, tags={}, root=before) as run:
        run.artifact(before / "a.txt")
    assert not any(before.rglob("mlruns")) and len(list(before.glob(".jscgc/mlartifacts/*/artifacts/a.txt"))) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    before.rename(after)
    with tracking.stage_run("two", params={}, tags={}, root=after) as run:
        run.artifact(after / "a.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", after.name]
    c = tracking.client(after)
    every = c.search_runs([c.get_experiment_by_name("jscgc").experiment_id])
    assert {one.data.tags["jscgc.stage"] for one in every} == {"one", "two"} and spools(after) == []
    for one in every:
        assert Path(c.download_artifacts(one.info.run_id, "a.txt")).read_text() == "a"


def test_how_to_mend_an_older_database_is_said_whole(root: Path) -> None:
    database = root / ".jscgc" / "mlflow.db"
    with tracking.stage_run("current", params={}, tags={}, root=root):
        pass
    with closing(sqlite3.connect(database)) as connection, connection:
        ((version,),) = connection.execute("SELECT version_num FROM alembic_version")
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    try:
        code = (
            "import sys; from pathlib import Path; from jscgc import tracking\n"
            "with tracking.stage_run('older', params={}, tags={}, root=Path(sys.argv[1])): pass"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, root], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stderr
        assert "mlflow db upgrade" in said and " ..." not in said and said.count("tracking: ") == 1
    finally:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    assert tracking.replay(root) == 1


def test_a_run_is_taken_up_again_and_its_last_word_is_the_last(
    root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """As a training ahead of its stage, and then the stage."""
    with (
        pytest.raises(KeyboardInterrupt),
        tracking.stage_run("ahead", params={"a": 1}, tags=TAGS, root=root, identity="theone") as run,
    ):
        run.log(1, {"loss": 1.0})
        raise KeyboardInterrupt("stopped")
    (found,) = runs(root, jscgc__stage="ahead")
    assert found.info.status == "KILLED" and "stopped" in found.data.tags["jscgc.error"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    with tracking.stage_run("ahead", params={"a": 1}, tags=TAGS, root=root, identity="theone") as run:
        run.log(2, {"loss": 0.5})
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(root) == 1
    (again,) = runs(root, jscgc__stage="ahead")
    assert again.info.run_id == found.info.run_id and again.info.status == "FINISHED"
    assert "jscgc.error" not in again.data.tags
    assert points(root, again) == [(1, 1.0), (2, 0.5)]
    (parent,) = runs(root, jscgc__reproduction=clean(request.node.name))
    assert parent.info.status == "FINISHED" and again.data.tags["mlflow.parentRunId"] == parent.info.run_id


DVC = """
import subprocess, sys, time
from pathlib import Path
from jscgc import tracking
from jscgc.tracking import run
root = Path(sys.argv[2])
class Above:
    pid = int(sys.argv[1])
    cmdline = staticmethod(lambda: ["/usr/bin/python3", "/usr/bin/dvc", "repro"])
run.dvc = lambda: Above
with tracking.stage_run(sys.argv[3], params={}, tags={}, root=root) as logged:
    logged.log(0, {"loss": 1.0})
    (root / f"{sys.argv[3]}.txt").write_text("made")
    logged.artifact(root / f"{sys.argv[3]}.txt")
assert "mlflow" not in sys.modules
"""


def test_one_process_delivers_for_all_stages_below_dvc(root: Path) -> None:
    """Stages neither import MLflow nor wait for it; what they wrote is there when `settled` says so."""
    above = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # stands for dvc
    try:
        for stage in ("one", "two"):
            command = [sys.executable, "-c", DVC, str(above.pid), str(root), stage]
            done = subprocess.run(command, cwd=PROJECT, capture_output=False, stderr=subprocess.DEVNULL, check=False)
            assert done.returncode == 0
        deadline = time.monotonic() + 60
        while (root / ".jscgc" / "deliverer").read_text() != str(above.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len([path for path in spools(root) if path.suffix == ".jsonl"]) == 2
    finally:
        above.kill()
        above.wait()
    assert tracking.settled(root)
    assert spools(root) == []
    for stage in ("one", "two"):
        (found,) = runs(root, jscgc__stage=stage)
        assert found.info.status == "FINISHED" and points(root, found) == [(0, 1.0)]
        assert [file.path for file in client(root).list_artifacts(found.info.run_id)] == [f"{stage}.txt"]


def test_what_a_living_stage_leaves_to_the_deliverer_can_be_watched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = processes.psutil.Process()
    monkeypatch.setattr(running, "dvc", lambda: me)
    monkeypatch.setattr(deliverer, "start", lambda root, above: None)
    with tracking.stage_run("watched", params={}, tags={}, root=root) as run:
        run.log(0, {"loss": 1.0})
        assert tracking.replay(root) == 0 and runs(root, jscgc__stage="watched") == []  # not everybody's
        assert delivery.replay(running.Store(root), live=True) == 0
        (found,) = runs(root, jscgc__stage="watched")
        assert found.info.status == "RUNNING" and points(root, found) == [(0, 1.0)]
        run.log(1, {"loss": 0.5})
    assert runs(root, jscgc__stage="watched")[0].info.status == "RUNNING"
    assert tracking.replay(root) == 1
    (found,) = runs(root, jscgc__stage="watched")
    assert found.info.status == "FINISHED" and points(root, found) == [(0, 1.0), (1, 0.5)]
    assert spools(root) == []


def test_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    assert tracking.commit(tmp_path) == "unknown"
    assert tracking.commit(tmp_path / "missing") == "unknown"
    git("init", "-q")
    assert tracking.commit(tmp_path) == "unknown"
    for name in ("file", "dvc.lock"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    clean = tracking.commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "dvc.lock").write_text("2")
    assert tracking.commit(tmp_path) == clean
    (tmp_path / "file").write_text("2")
    assert tracking.commit(tmp_path) == clean + "-dirty"
    (tmp_path / "inside").mkdir()
    assert tracking.commit(tmp_path / "inside") == "unknown"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/v/bin/python3.11", "-I", "/v/bin/dvc", "repro"], True),
        (["python", "-m", "dvc", "repro"], True),
        (["dvc", "repro"], True),
        (["python", "-m", "pipeline.train_vae", "dvc"], False),
        (["/bin/sh", "-c", "cd x; /v/bin/dvc"], False),
        ([], False),
    ],
)
def test_dvc_is_recognised(command: list[str], expected: bool) -> None:
    assert processes.is_dvc(command) is expected


def test_ui_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in tracking.ui_hint(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@lab.example/")
    assert "lab.example" in tracking.ui_hint(tmp_path)
    assert "secret" not in tracking.ui_hint(tmp_path)
