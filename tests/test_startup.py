"""Processes of ours look for garbage seldom; who imports the package keeps what he has."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAY = """
import atexit, gc
usual = gc.get_threshold()
atexit.register(lambda: print(gc.get_threshold() != usual, gc.get_freeze_count() > 0))
"""


@pytest.mark.parametrize(
    ("command", "seldom"),
    [
        ("import sys; sys.argv = ['jscgc', '--version']; from jscgc.cli import main; main()", True),
        ("import pipeline", True),
        ("from jscgc.cli import main; main(['--version'])", False),
        ("import jscgc.api", False),
    ],
)
def test_a_process_of_ours_collects_seldom_and_not_at_its_end(command: str, seldom: bool):
    # What is registered first runs last.
    run = subprocess.run([sys.executable, "-c", SAY + command], capture_output=True, text=True, check=False)
    said = run.stdout.splitlines()[-1]
    assert said == f"{seldom} {seldom}"
