"""Data on DVC's S3 remote and artifacts on MLflow's, as a lab keeps them, against moto's S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jscgc import tracking

ROOT = Path(__file__).parents[1]
BUCKET = "lab"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a server that holds an empty bucket; the environment names the server as a user's would."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "canary-of-s3",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": url,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket=BUCKET)
        yield client
    server.stop()


def keys(s3: Any, prefix: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


def run(*command: str, cwd: Path) -> str:
    """Output of a command of a user in a checkout."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JSCGC_", "RAY_", "DVC_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env=clean | {"PATH": path, "PYTHONPATH": str(cwd)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checkout(folder: Path) -> Path:
    """What git has of the pipeline."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    parts = (".dvc", "dvc.yaml", "params.yaml", "pipeline/", "jscgc/")
    for name in (name for name in listed if name.startswith(parts) and (ROOT / name).is_file()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    run("git", "init", "--quiet", cwd=folder)
    return folder


def test_what_one_machine_made_another_pulls(s3: Any, tmp_path: Path) -> None:
    maker = checkout(tmp_path / "maker")
    run(sys.executable, "-m", "pipeline.profile", "smoke", cwd=maker)
    run("dvc", "remote", "add", "--local", "--default", "lab", f"s3://{BUCKET}/jscgc", cwd=maker)
    run("dvc", "remote", "modify", "--local", "lab", "endpointurl", s3.meta.endpoint_url, cwd=maker)
    run("dvc", "repro", "prepare", cwd=maker)
    run("dvc", "push", "--run-cache", cwd=maker)
    assert keys(s3, "jscgc/files/md5/")
    other = checkout(tmp_path / "other")
    for name in ("params.yaml", ".dvc/config.local"):
        shutil.copyfile(maker / name, other / name)
    said = run("dvc", "repro", "--pull", "prepare", cwd=other)  # no dvc.lock here: found by what the stage depends on
    assert "Stage 'prepare' is cached" in said
    assert "Running stage" not in said
    assert content(other / "data/photos") == content(maker / "data/photos")
    assert (other / "dvc.lock").read_text() == (maker / "dvc.lock").read_text()


def test_artifacts_of_runs_lie_on_s3(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment's owner names the place once (`mlflow experiments create`, or the server's default)."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'lab.db'}"
    MlflowClient(uri).create_experiment("jscgc", f"s3://{BUCKET}/mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    weights = tmp_path / "model" / "weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(os.urandom(3000))
    with tracking.stage_run("train_vae", params={}, tags={"profile": "smoke"}, root=tmp_path) as logged:
        logged.log(1, {"loss": 0.5})
        logged.artifact(weights.parent, "models")
    found = [key for key in keys(s3, "mlflow/") if key.endswith("weights.safetensors")]
    assert len(found) == 1
    assert s3.get_object(Bucket=BUCKET, Key=found[0])["Body"].read() == weights.read_bytes()
    assert not list((tmp_path / ".jscgc" / "spool").glob("*.jsonl"))
    assert b"canary-of-s3" not in (tmp_path / "lab.db").read_bytes()


def test_a_store_that_is_away_keeps_the_run(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket is gone: the stage ends well, its record waits in the spool and is uploaded once the bucket is there."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'lab.db'}"
    MlflowClient(uri).create_experiment("jscgc", "s3://not-yet/mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "result.txt").write_text("kept")
    with tracking.stage_run("report", params={}, tags={"profile": "smoke"}, root=tmp_path) as logged:
        logged.artifact(tmp_path / "result.txt")
    assert len(list((tmp_path / ".jscgc" / "spool").glob("*.jsonl"))) == 1
    s3.create_bucket(Bucket="not-yet")
    assert tracking.replay(tmp_path) == 1
    listed = s3.list_objects_v2(Bucket="not-yet").get("Contents", [])
    assert [item["Key"].rsplit("/", 1)[1] for item in listed] == ["result.txt"]
