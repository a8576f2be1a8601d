"""DVC's experiments, under a real dvc: queued, in a temporary copy, interrupted; what they leave in MLflow and in the project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jscgc import project, tracking

ROOT = Path(__file__).parents[1]
DEAD_SERVER = "http://127.0.0.1:9"
STAGE = """
import json, os, sys, time
from pathlib import Path
from jscgc.params import load_params
from jscgc.signals import end_with_parent
from pipeline import runs
from pipeline.stage import recorded
end_with_parent()
params, name = load_params(), sys.argv[1]
with recorded(name, params, params) as run:
    folder = runs.folder_of(name, "key")
    folder.mkdir(parents=True, exist_ok=True)
    begun = (folder / "begun").exists()
    run.log(2 if begun else 1, {"loss": 1.0})
    (folder / "begun").write_text("")
    Path("out.json").write_text(json.dumps(params.sample.steps))
    if "WAIT" in os.environ and not begun:
        Path(os.environ["WAIT"]).write_text("")
        time.sleep(60)
    run.artifact(Path("out.json"))
runs.close_record(name, params)
"""
DVC_YAML = """
stages:
  train_jscgc:
    cmd: python stage.py train_jscgc
    deps: [stage.py]
    params: [sample.steps]
    outs: [out.json]
"""


def environment(**more: str) -> dict[str, str]:
    dropped = ("MLFLOW_TRACKING_URI", "JSCGC_REPRODUCTION")
    kept = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("DVC_")}
    bin_ = str(Path(sys.executable).parent)
    return (
        kept
        | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        | more
    )


def dvc(folder: Path, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one stage, which is tracked as ours are, committed and run once."""
    folder = tmp_path_factory.mktemp("experiments") / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "pipeline" / "profiles", folder / "pipeline" / "profiles")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / ".gitignore").write_text(".jscgc\n__pycache__\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", "-b", "main"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "repro", "-q")
    subprocess.run([*git, "add", "-A"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-qm", "made"], cwd=folder, check=True)
    for key, value in (("user.name", "n"), ("user.email", "a@b")):
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    assert tracking.settled(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield


def found(folder: Path, **tags: str) -> list[Any]:
    client = tracking.client(folder)
    condition = " and ".join(f"tags.`{name.replace('__', '.')}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([client.get_experiment_by_name("jscgc").experiment_id], condition))


def of_experiment(folder: Path, name: str, steps: int) -> None:
    """An experiment's run lies below the one that bears its name, with what its stage made, in the project's own database."""
    (run,) = found(folder, dvc__experiment=name, jscgc__stage="train_jscgc")
    client = tracking.client(folder)
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert run.info.status == parent.info.status == "FINISHED"
    assert parent.info.run_name == parent.data.tags["dvc.experiment"] == name
    assert parent.data.params["sample.steps"] == str(steps) and f"sample.steps={steps}" in parent.data.tags["changed"]
    assert Path(client.download_artifacts(run.info.run_id, "out.json")).read_text() == str(steps)
    assert not any((folder / ".jscgc" / "spool").iterdir())
    assert not any(folder.glob(".dvc/tmp/exps/**/.jscgc"))


def test_a_copy_of_the_project_has_the_folder_of_the_project(made: Path) -> None:
    copy = made / ".dvc/tmp/exps/standalone/tmpabc"
    assert project.main_checkout(copy) == made and project.home(copy) == made / ".jscgc"
    assert project.home(made) == made / ".jscgc" and project.main_checkout(made / "reports") == made / "reports"


def test_an_experiment_in_a_temporary_copy(made: Path) -> None:
    dvc(made, "exp", "run", "--temp", "--name", "in-a-copy", "-S", "sample.steps=3")
    assert tracking.settled(made)
    of_experiment(made, "in-a-copy", 3)
    assert (made / ".jscgc/runs/train_jscgc-key/begun").exists()


def test_queued_experiments(made: Path) -> None:
    names = {"queued-a": 5, "queued-b": 6}
    for name, steps in names.items():
        dvc(made, "exp", "run", "--queue", "--name", name, "-S", f"sample.steps={steps}")
    try:
        dvc(made, "queue", "start")
        deadline = time.monotonic() + 240
        while (status := dvc(made, "queue", "status")).count("Success") < 2:
            assert "Failed" not in status and time.monotonic() < deadline, status
            time.sleep(1)
    finally:
        dvc(made, "queue", "stop", "--kill")
    assert tracking.settled(made)
    for name, steps in names.items():
        of_experiment(made, name, steps)


def test_an_experiment_without_a_server_is_kept_and_arrives_later(made: Path) -> None:
    dvc(made, "exp", "run", "--temp", "--name", "offline", "-S", "sample.steps=7", MLFLOW_TRACKING_URI=DEAD_SERVER)
    assert tracking.settled(made) and not found(made, dvc__experiment="offline")
    assert any((made / ".jscgc" / "spool").iterdir()) and not any(made.glob(".dvc/tmp/exps/standalone/*/stage.py"))
    assert tracking.replay(made) == 1
    of_experiment(made, "offline", 7)


def test_an_interrupted_reproduction_goes_on_in_its_own_runs(made: Path, tmp_path: Path) -> None:
    folder, begun = tmp_path / "project", tmp_path / "begun"
    shutil.copytree(made, folder)
    shutil.rmtree(folder / ".jscgc/runs")
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(
        params.replace("steps: 4              # chosen", "steps: 9              # chosen")
    )
    command = [sys.executable, "-m", "dvc", "repro"]
    first = subprocess.Popen(command, cwd=folder, env=environment(WAIT=str(begun)), start_new_session=True)
    deadline = time.monotonic() + 120
    while not begun.exists():
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)  # Ctrl-C in a terminal
    first.wait(60)
    assert tracking.settled(folder)
    (run,) = found(folder, jscgc__stage="train_jscgc", changed="sample.steps=9")
    assert run.info.status == "KILLED"
    dvc(folder, "repro")
    assert tracking.settled(folder)
    (again,) = found(folder, jscgc__stage="train_jscgc", changed="sample.steps=9")
    client = tracking.client(folder)
    parents = [one for one in found(folder, changed="sample.steps=9") if "jscgc.reproduction" in one.data.tags]
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert [parent.info.run_id for parent in parents] == [again.data.tags["mlflow.parentRunId"]]
    assert parents[0].info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
    dvc(folder, "repro", "-f")  # a new one, since the last is finished
    assert tracking.settled(folder)
    assert len(found(folder, jscgc__stage="train_jscgc", changed="sample.steps=9")) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_reproduction_ends_its_stage_and_says_so(made: Path, tmp_path: Path, number: int) -> None:
    """Sent to the command alone, as `kill` does."""
    folder, begun = tmp_path / "project", tmp_path / "begun"
    shutil.copytree(made, folder)
    shutil.rmtree(folder / ".jscgc/runs")
    shutil.copytree(ROOT / "jscgc", folder / "jscgc", ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    (folder / "stage.py").write_text(STAGE + "# changed\n")
    code = "import sys; from pipeline import graph, reproduce; graph.write = lambda params: None; sys.exit(reproduce.main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment(WAIT=str(begun)), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not begun.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=100)[1]
    assert (
        process.returncode == 130
        and "reproduce: interrupted; run the command again" in said
        and "Traceback" not in said
    )
    (run,) = found(folder, jscgc__stage="train_jscgc", mlflow__source__name="python stage.py train_jscgc")[:1]
    assert run.info.status == "KILLED"
