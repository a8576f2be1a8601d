"""Where the models of the page lie and on which device they run: settled once, before the page is served."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workplace:
    """A folder of trained models and a device: auto, cpu or cuda."""

    models: Path
    device: str


_settled: list[Workplace] = []
BUSY = threading.Lock()
"""Held while a photo is sent or decoded: models are shared by all who look at the page, and so is the memory."""


def settle(models: Path, device: str) -> None:
    """Say where the models are."""
    _settled[:] = [Workplace(models, device)]


def workplace() -> Workplace:
    """What was settled."""
    assert _settled, "settle() comes before the page"
    return _settled[0]
