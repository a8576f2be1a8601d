"""RAY_ADDRESS of a head that will not have us: within seconds one line says why."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from jscgc.cluster import head
from jscgc.cluster.session import session

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
TOKEN = "0123456789abcdef" * 4
SOON_S = 15.0
"""Of a loaded machine; Ray alone needs 30 on an idle one."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return clean | {"HOME": str(home), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"} | more


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """`ray start --head` in a home with a token, as docs/cluster.md has it, and a node that has joined."""
    place = tmp_path_factory.mktemp("r")
    (place / ".ray").mkdir()
    (place / ".ray" / "auth_token").write_text(TOKEN)
    address = f"127.0.0.1:{free_port()}"
    short = Path(f"/tmp/jscgc-test-{os.getpid()}")
    own = environment(place, RAY_AUTH_MODE="token", RAY_TMPDIR=str(short))
    common = [str(RAY), "start", "--block", "--num-cpus", "1", "--object-store-memory", "150000000"]
    dashboard = f"http://127.0.0.1:{free_port()}"
    start = [*common, "--head", "--node-ip-address", "127.0.0.1", "--port", address.split(":")[1]]
    start += ["--dashboard-port", dashboard.split(":")[2], "--dashboard-agent-listen-port", "0"]
    join = [*common, "--address", address]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in (start, join):
            processes.append(
                subprocess.Popen(command, env=own, cwd=place, start_new_session=True, stdout=subprocess.DEVNULL)
            )
            wait_for(address, len(processes), own)
        yield SimpleNamespace(address=address, home=place, environment=own, dashboard=dashboard)
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(short, ignore_errors=True)


def wait_for(address: str, nodes: int, own: dict[str, str]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        told = subprocess.run(
            [str(RAY), "status", "--address", address], env=own, capture_output=True, text=True, check=False
        )
        if told.stdout.count("node_") >= nodes:
            return
        time.sleep(0.5)
    raise AssertionError("no cluster")


CONNECT = "from jscgc.cluster.session import session\nwith session() as has:\n    print(int(has['CPU']))"


def connect(address: str, own: dict[str, str], code: str = CONNECT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=own | {"RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_with_the_token_we_are_in(guarded: SimpleNamespace) -> None:
    done = connect(guarded.address, guarded.environment)
    assert done.stdout.split() == ["2"], done.stderr


@pytest.mark.parametrize(
    ("more", "home", "said"),
    [
        ({}, "", "its head asks for a token; set RAY_AUTH_MODE=token (https"),
        ({"RAY_AUTH_MODE": "disabled"}, "", "its head asks for a token; set RAY_AUTH_MODE=token (https"),
        ({}, "elsewhere", "set RAY_AUTH_MODE=token and bring the head's ~/.ray/auth_token to "),
        ({"RAY_AUTH_MODE": "token"}, "elsewhere", "no token is here; bring the head's ~/.ray/auth_token to "),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another1"}, "", "and that in RAY_AUTH_TOKEN is another"),
    ],
)
def test_a_head_that_asks_for_a_token_says_so(
    guarded: SimpleNamespace, more: dict[str, str], home: str, said: str
) -> None:
    (guarded.home / home).mkdir(exist_ok=True)
    start = time.monotonic()
    done = connect(guarded.address, environment(guarded.home / home, **more))
    assert time.monotonic() - start < SOON_S
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and f"ValueError: RAY_ADDRESS={guarded.address}: " in last and said in last


def test_an_evaluation_ends_in_that_line_before_anything_else(guarded: SimpleNamespace, tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    given = ["evaluate", "--images", str(tmp_path), "--method", "klt", "--out", str(tmp_path / "r.csv")]
    done = connect(
        guarded.address, environment(guarded.home), f"import sys\nfrom jscgc.cli import main\nsys.exit(main({given}))"
    )
    assert done.returncode == 1 and "its head asks for a token; set RAY_AUTH_MODE=token" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "r.csv").exists()


def test_a_job_is_submitted_and_finds_the_cluster(guarded: SimpleNamespace) -> None:
    """The job's command has RAY_ADDRESS of the cluster: ours need not be told."""

    def submit(own: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(RAY), "job", "submit", "--address", guarded.dashboard, "--", sys.executable, "-c", CONNECT],
            env=own,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    done = submit(guarded.environment)
    assert done.returncode == 0 and "2" in done.stdout.splitlines(), done.stdout + done.stderr
    refused = submit(environment(guarded.home / "without"))
    assert refused.returncode and "Missing authentication token" in refused.stderr


def test_the_dashboard_tells_nothing_without_the_token(guarded: SimpleNamespace) -> None:
    request = urllib.request.Request(f"{guarded.dashboard}/api/v0/nodes")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=20)
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_somebody_else_s_port_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        start = time.monotonic()
        with pytest.raises(ValueError, match=f"RAY_ADDRESS={address}: no head of Ray answers within"), session():
            pass
        assert time.monotonic() - start < SOON_S


@pytest.mark.parametrize("theirs", [["2.59.0", "3.11.7"], ["2.60.0", "3.12.1"]])
def test_another_version_is_named(theirs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"nobody": False, "refused": False, "head": theirs, "here": ["2.60.0", "3.11.7"]}
    answer = subprocess.CompletedProcess([], 0, stdout=f"{json.dumps(told)}\n", stderr="")
    monkeypatch.setattr(head.subprocess, "run", lambda *given, **more: answer)
    with pytest.raises(
        ValueError, match=f"runs Ray {theirs[0]} on Python {theirs[1]}, this machine Ray 2.60.0 on Python 3.11.7"
    ):
        head.ask("another.invalid:6379")


def test_a_client_of_ray_that_changed_leaves_it_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 1, stdout="", stderr="ImportError")
    monkeypatch.setattr(head.subprocess, "run", lambda *given, **more: answer)
    head.ask("later.invalid:6379")
