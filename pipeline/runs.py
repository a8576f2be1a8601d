"""What a stage leaves for the process that goes on with it: folders of checkpoints, .jscgc/runs/STAGE-KEY, and open records.

It is the stage itself, after an interruption, or after another stage has trained ahead of it (`pipeline.beside`).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from jscgc import project, stages, tracking
from jscgc.config import digest
from jscgc.files import atomic, held, read_json, sha256, write_json
from jscgc.params import Params
from jscgc.sources import PACKAGE

ROOT = Path()
DATA = Path("data")
REPORTS = Path("reports")
PR_SET_PDEATHSIG = 1


def folder_of(stage: str, key: str) -> Path:
    """Where a stage's checkpoints lie."""
    return project.home(ROOT) / "runs" / f"{stages.file_of(stage)}-{key}"


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
    return REPORTS / "metrics" / f"{stages.file_of(stage)}.json"


def threads_of(folder: Path, wanted: int) -> int:
    """The threads of the training that `folder` is of: those that it began with, since others would round otherwise."""
    path = folder / "threads"
    if not path.exists():
        with atomic(path) as temporary:
            temporary.write_text(f"{wanted}\n")
    return int(path.read_text())


@dataclass(frozen=True)
class Record:
    """Under what a stage is recorded in MLflow.

    identity: of its run; reproduction: of the run above it, None outside of dvc.
    """

    identity: str
    reproduction: str | None


def open_record(stage: str, params: Params) -> Record:
    """The record of a stage: of these parameters, this code and this experiment of DVC's the one that was interrupted, or that
    was begun by a training ahead of it; else a new one. It is open until `close_record`.

    A reproduction that goes on after an interruption, by another dvc, goes on in its own run, too.
    """
    folder = _open_records(params)
    reproduction, path = _reproduction(folder), folder / f"{stage}.json"
    identity = read_json(path)["identity"] if path.exists() else uuid.uuid4().hex
    write_json(path, {"identity": identity})
    return Record(identity, reproduction)


def close_record(stage: str, params: Params) -> None:
    """The stage is finished: what comes next of it is another run."""
    (_open_records(params) / f"{stage}.json").unlink(missing_ok=True)


def _open_records(params: Params) -> Path:
    named = [os.environ.get(name, "") for name in ("JSCGC_REPRODUCTION", "DVC_EXP_NAME")]
    return project.home(ROOT) / "open" / digest(params, [sha256(path) for path in sorted(PACKAGE.rglob("*.py"))], named)


def _reproduction(folder: Path) -> str | None:
    by, path = tracking.reproduction(), folder / "reproduction"
    if by is None or "JSCGC_REPRODUCTION" in os.environ:
        return by
    noted = read_json(path) if path.exists() else {"by": "", "reproduction": by}
    interrupted = any(folder.glob("*.json"))
    if noted["by"] != by:
        noted = {"by": by, "reproduction": noted["reproduction"] if interrupted else by}
        write_json(path, noted)
    return str(noted["reproduction"])


def wait_for_others(folder: Path) -> None:
    """In a copy of the project: wait until no other experiment trains in a folder of checkpoints, which all copies share."""
    if project.main_checkout(ROOT) == ROOT.resolve():
        return  # here another one is a mistake, which the training names
    said = False
    while folder.exists():
        try:
            with held(
                folder / "lock",
                f"{folder}: process {{holder}}, of another experiment, is training here; waiting for it",
            ):
                return
        except ValueError as busy:
            if not said:
                logging.getLogger(__name__).warning("%s", busy)
            said = True
            time.sleep(1)


def end_with_parent() -> None:
    """Have this process terminated when its parent ends: killing dvc, or a stage, leaves no orphan that writes on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
