"""SIGTERM and SIGHUP end a command as Ctrl-C does: one whole line, status 130, nothing left running, whenever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from jscgc.signals import ENDING, deferred, end_as_interrupted

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {"PYTHONPATH": str(ROOT)}
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_until_what_it_would_break_is_done(handlers, number):
    end_as_interrupted()
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            signal.signal(number, signal.SIG_DFL)  # as somebody's library may
            done.append(True)
        done.append(False)
    assert done == [True] and signal.getsignal(number) is signal.default_int_handler


def test_what_is_ignored_stays_ignored(handlers):
    """Below nohup, and Ctrl-C in a script's background."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    end_as_interrupted()
    with deferred():
        os.kill(os.getpid(), signal.SIGHUP)
    assert {signal.getsignal(number) for number in ENDING} == {signal.SIG_IGN}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "command", [["transmit", "none.png"], ["evaluate", "--images", "none"], ["info"]], ids=lambda c: c[0]
)
def test_an_early_end_is_a_whole_line(tmp_path, command, number):
    (tmp_path / "ends.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    run = [sys.executable, "-m", "jscgc.cli", *command, "--plugin", str(tmp_path / "ends.py")]
    done = subprocess.run(run, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "jscgc: interrupted; no file was left half written\n")


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def ended(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs([p for p in processes if p.is_running()], timeout=10)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ray_has_started_is_ended_while_it_starts(number):
    code = """
from jscgc.cluster.session import session
from jscgc.signals import end_as_interrupted
end_as_interrupted()
with session():
    print("it came too late")
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not (started := below(process)):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    while process.poll() is None:
        started = list({p.pid: p for p in (*started, *below(process))}.values()) if process.poll() is None else started
        time.sleep(0.05)
    said = process.stderr.read()
    assert (
        process.returncode in (1, -signal.SIGINT) and said.strip().endswith("KeyboardInterrupt") and "***" not in said
    )
    assert ended(started), started


@pytest.mark.parametrize("number", NUMBERS)
def test_an_evaluation_on_this_machine_ends_as_by_ctrl_c(models, tmp_path, number):
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.png")
    places = ["--images", "photos", "--models", str(models), "--out", "r.csv", "--store", "store", "--device", "cpu"]
    grid = ["--methods", "mambajscc_psnr", "--snr-db", "5", "--cbr", "2/768", "--metrics", "psnr", "--draws", "2000"]
    run = [sys.executable, "-m", "jscgc.cli", "evaluate", *places, *grid, "--workers", "1"]
    process = subprocess.Popen(run, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while len(list((tmp_path / "store").glob("mambajscc_psnr/*.parquet"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    started = below(process)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    last = said.strip().splitlines()[-1]
    assert process.returncode == 130 and "***" not in said and "Traceback" not in said, said
    assert (
        last
        == "jscgc: interrupted; no table was written; finished jobs are in store, and the same command goes on from there"
    )
    assert started and ended(started), started
    assert not (tmp_path / "r.csv").exists() and not list((tmp_path / "store").rglob("*.tmp"))


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("os.getpid()", -signal.SIGTERM)])
def test_a_child_whose_parent_has_ended_before_it_could_say_so_ends(parent: str, status: int) -> None:
    code = f"import os; from jscgc.signals import end_with_parent; end_with_parent({parent})"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == status
