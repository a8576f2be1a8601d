"""One process that delivers for all stages of a `dvc repro`, so that none of them imports MLflow or waits for it.

The first stage starts it. While dvc lives it delivers every UPLOAD_EVERY_S seconds, then what is left; if it dies, the next stage
starts another. `settled` waits for it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from jscgc.project import home, main_checkout
from jscgc.tracking import delivery
from jscgc.tracking.spool import locked, reason, say, spool_folder
from jscgc.tracking.store import Store, failures

UPLOAD_EVERY_S = 30.0
"""Time between uploads of what is running; the first is so long after the start, and what is shorter uploads once, at its end."""
FINISH_S = 60.0
"""Longest wait for the last upload; what is missing then is uploaded later."""


def start(root: Path, above: psutil.Process) -> None:
    """Have one deliver while the process `above` lives, unless one does. What ends the caller does not end it.

    Raises:
        OSError: no process can be started.
    """
    path = _lock(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, wait=False) as free:
        if not free and path.read_text() == str(above.pid):
            return
    command = [sys.executable, "-m", "jscgc.tracking", str(root), str(above.pid)]
    # In the checkout: a copy for an experiment is removed while this still delivers.
    subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, cwd=main_checkout(root)
    )


def settled(root: Path) -> bool:
    """Whether all that can be delivered has been; waits, at most FINISH_S, for the process that delivers."""
    path, deadline = _lock(root), time.monotonic() + FINISH_S
    while path.exists():
        with locked(path, wait=False) as free:
            if free:
                break
        if time.monotonic() > deadline:
            say(f"not done after {FINISH_S:.0f} s; the rest is delivered in the background")
            return False
        time.sleep(0.1)
    return True


def serve(root: Path, above: int) -> None:
    """Deliver for as long as process `above` lives, then what is left. After a failure nothing is tried before that."""
    with locked(_lock(root)):  # another one may be at the rest of an earlier pipeline
        _lock(root).write_text(str(above))
        store: Store | None = None
        healthy = True
        while not _over(above, UPLOAD_EVERY_S):
            if healthy:
                store = _deliver(root, store)
                healthy = store is not None
        _deliver(root, store)


def _deliver(root: Path, store: Store | None) -> Store | None:
    """The store, for the next time; None after a failure."""
    try:
        if store is None:
            store = Store(root)
            store.sweep()
        delivery.replay(store, live=True)
    except failures() as error:
        say(f"{reason(error)}; the runs are kept in {spool_folder(root)} and uploaded later")
        return None
    return store


def _over(pid: int, seconds: float) -> bool:
    """Whether a process has ended, at the latest after so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
    except psutil.NoSuchProcess:
        pass
    return True


def _lock(root: Path) -> Path:
    return home(root) / "deliverer"
