"""What others on the network can reach while we run, and what others can read in what we leave behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from jscgc import tracking


def listening(pid: int) -> list[str]:
    """Addresses at which a process or one of its descendants accepts connections."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    connections = [c for process in family for c in process.net_connections("inet")]
    return sorted({c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_dashboard_is_for_this_machine_only(tmp_path: Path) -> None:
    with tracking.stage_run("prepare", params={}, tags={}, root=tmp_path):
        pass
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[2])}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "pipeline.dashboard"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as page:
        try:
            deadline = time.monotonic() + 120
            while not answers(port):
                assert page.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
            assert listening(page.pid) == ["127.0.0.1"]
        finally:
            page.send_signal(signal.SIGTERM)
            page.communicate(timeout=60)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


RAY = """
import os, sys, time
from jscgc.cluster.session import session
with session(2):
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_local_ray_is_for_this_machine_only() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    command = [sys.executable, "-c", RAY]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        found = listening(driver.pid)
        driver.communicate("")
    assert found and set(found) <= {"127.0.0.1", "::ffff:127.0.0.1"}, found


SECRETS = {
    "AWS_ACCESS_KEY_ID": "CANARYID",
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
    "AWS_SESSION_TOKEN": "canary-session",
    "HF_TOKEN": "canary-hf",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow",
    "MLFLOW_TRACKING_TOKEN": "canary-token",
}
STAGE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import logging
logging.basicConfig(level=logging.DEBUG)
from jscgc import tracking
from jscgc.cluster.session import session
with session(2):
    import ray
    print(ray.get(ray.remote(lambda: 7).remote()))
    with tracking.stage_run("train_vae", params={{"seed": 0}}, tags={{"commit": "abc"}}, root=Path()) as run:
        run.log(1, {{"loss": 1.0}})
"""


@pytest.mark.parametrize("uri", ["", "http://somebody:canary-address@127.0.0.1:{port}"], ids=["local", "server"])
def test_no_secret_is_left_behind(tmp_path: Path, uri: str) -> None:
    """Not in runs, spools, what is printed, nor in what Ray's processes write."""
    project, ray = (
        tmp_path / "project",
        Path("/tmp") / f"jscgc-canary-{os.getpid()}",
    )  # short: Ray's sockets have long names
    project.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    environment |= {**SECRETS, "RAY_TMPDIR": str(ray)}
    if uri:
        environment["MLFLOW_TRACKING_URI"] = uri.format(port=free_port())
    ray.mkdir()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", STAGE.format(root=str(Path(__file__).parents[2]))],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        written = {path: path.read_bytes() for place in (project, ray) for path in place.rglob("*") if path.is_file()}
    finally:
        subprocess.run(["rm", "-rf", str(ray)], check=True)
    assert any(path.is_relative_to(project) for path in written) and any(path.is_relative_to(ray) for path in written)
    for secret in (*SECRETS.values(), "canary-address"):
        assert secret not in ended.stdout + ended.stderr
        assert [str(path) for path, content in written.items() if secret.encode() in content] == []
