"""Where the models of the page lie and how they run: settled once, before the page is served."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workplace:
    """A folder of trained models; a device: auto, cpu or cuda; a precision: auto, float32 or bfloat16."""

    models: Path
    device: str
    precision: str


_settled: list[Workplace] = []
BUSY = threading.Lock()
"""Held while a photo is sent or decoded: models are shared by all who look at the page, and so is the memory."""


def settle(models: Path, device: str, precision: str) -> None:
    """Say where the models are, and how they run."""
    _settled[:] = [Workplace(models, device, precision)]


def workplace() -> Workplace:
    """What was settled."""
    assert _settled, "settle() comes before the page"
    return _settled[0]
