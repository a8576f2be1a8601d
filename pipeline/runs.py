"""Folders of checkpoints, .jscgc/runs/STAGE-KEY, and what lies in them for the process that goes on there.

It is the stage itself, after an interruption, or after another stage has trained ahead of it (`pipeline.beside`).
"""

from __future__ import annotations

import ctypes
import signal
import sys
import uuid
from pathlib import Path

from jscgc import stages, tracking
from jscgc.files import atomic, read_json, write_json
from jscgc.params import Params

ROOT = Path()
DATA = Path("data")
REPORTS = Path("reports")
PR_SET_PDEATHSIG = 1


def folder_of(stage: str, key: str) -> Path:
    """Where a stage's checkpoints lie."""
    return ROOT / ".jscgc" / "runs" / f"{stage}-{key}"


def inputs_of(result: str) -> dict[str, Path]:
    """The folders of what a result needs."""
    return {need: DATA / stages.place(need) for need in stages.stage(result).needs}


def key_of(result: str, params: Params) -> str:
    """What the checkpoints of a result are named by; all that it needs must be there."""
    return stages.checkpoint_key(result, params, inputs_of(result))


def is_made(result: str, key: str) -> bool:
    """Whether the result of this key is there already: its stage has noted the key."""
    noted = metrics_of(stages.name_of(result))
    return (DATA / stages.place(result)).exists() and noted.exists() and read_json(noted).get("key") == key


def metrics_of(stage: str) -> Path:
    """Where a stage leaves its scalars."""
    return REPORTS / "metrics" / f"{stage}.json"


def threads_of(folder: Path, wanted: int) -> int:
    """The threads of the training that `folder` is of: those that it began with, since others would round otherwise."""
    path = folder / "threads"
    if not path.exists():
        with atomic(path) as temporary:
            temporary.write_text(f"{wanted}\n")
    return int(path.read_text())


def new_record(folder: Path) -> str:
    """The identity of the run of MLflow in which a training ahead is recorded, and then its stage in the same reproduction."""
    identity = uuid.uuid4().hex
    write_json(folder / "record.json", {"identity": identity, "reproduction": tracking.reproduction()})
    return identity


def record_of(stage: str) -> str:
    """The identity of the run in which this reproduction has trained ahead of a stage; "" if it has not."""
    if (reproduction := tracking.reproduction()) is not None:
        for path in (ROOT / ".jscgc" / "runs").glob(f"{stage}-*/record.json"):
            record = read_json(path)
            if record["reproduction"] == reproduction:
                return str(record["identity"])
    return ""


def end_with_parent() -> None:
    """Have this process terminated when its parent ends: killing dvc, or a stage, leaves no orphan that writes on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
