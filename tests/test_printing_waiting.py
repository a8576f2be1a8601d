"""One line on a terminal while something is at work, and nothing elsewhere."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from jscgc.cli import main
from jscgc.printing import waiting

ROOT = Path(__file__).parents[1]
CODE = """
import time
from jscgc.printing import waiting
try:
    with waiting("jscgc: 6000x4000 pixels"):
        time.sleep(1.6)
        raise ValueError("the error is the last line")
except ValueError as error:
    print(error, file=__import__("sys").stderr)
"""


def test_a_terminal_shows_what_and_how_long_and_then_no_more() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", CODE], stderr=theirs, env=environment) as child:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1000):
                shown += part
        except OSError:  # the other side is closed
            pass
        assert child.wait(20) == 0
    os.close(ours)
    said = shown.decode()
    assert "jscgc: 6000x4000 pixels" in said and "0:00:00" in said and "0:00:01" in said
    assert said.endswith("\x1b[1A\x1b[2Kthe error is the last line\r\n"), "the line is taken back"


def test_elsewhere_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with waiting("at work"):
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("limit", "said"), [(0.001, True), (4.0, False)])
def test_a_large_photo_s_size_is_said_before_it_is_sent(
    limit: float,
    said: bool,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("jscgc.commands.transmit.LARGE", limit)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 48)).save(photo)
    given = ["transmit", str(photo), "--models", str(models), "--out", str(tmp_path), "--method", "mambajscc_psnr"]
    assert main([*given, "--cbr", "4/768", "--json"]) == 0
    assert any("64x48, 0 megapixels" in message and "--max-side" in message for message in caplog.messages) == said
