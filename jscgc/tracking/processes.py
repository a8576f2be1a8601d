"""Who runs this: the reproduction that a stage belongs to, its process, and the commit."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from jscgc.tracking.spool import clean


def commit(root: Path) -> str:
    """The commit, with '-dirty' if tracked files other than results (dvc.lock, reports) differ; 'unknown' without git."""

    def git(*arguments: str) -> list[str]:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()

    try:
        top, head = git("rev-parse", "--show-toplevel", "HEAD")
        if Path(top).resolve() != root.resolve():  # a tar ball unpacked inside some other repository
            return "unknown"
        results = (":(exclude)dvc.lock", ":(exclude)reports")
        return head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", ".", *results) else "")
    except (OSError, ValueError, subprocess.SubprocessError):
        return "unknown"


def source_tags(head: str, above: psutil.Process | None) -> dict[str, str]:
    """MLflow's standard tags of who ran what, and the name of DVC's experiment.

    Args:
        head: as of `commit`.
        above: the dvc process that runs it, if one does.
    """
    known = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL", "mlflow.source.name": _command(sys.orig_argv)}
    if above is not None:
        with suppress(psutil.Error):
            typed = _command(above.cmdline())
            known["jscgc.command"] = "dvc exp run" if " exec-run " in typed else typed  # what a queue's worker starts
    if head != "unknown":
        known["mlflow.source.git.commit"] = head.removesuffix("-dirty")
    if name := os.environ.get("DVC_EXP_NAME"):
        known["dvc.experiment"] = name
    return known


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in containers
        return str(os.getuid())


def _command(words: Sequence[str]) -> str:
    """As it would be typed: programs by their names."""
    words = [Path(word).name if word.startswith("/") and i < 2 else word for i, word in enumerate(words)]
    if words[:1] and words[0].startswith("python") and words[1:2] in (["dvc"], ["jscgc"]):
        words = words[1:]
    return shlex.join(words)[:500]


def reproduction() -> str | None:
    """What the stages of one reproduction have in common: JSCGC_REPRODUCTION, else the dvc process above us."""
    if key := os.environ.get("JSCGC_REPRODUCTION"):
        return clean(key)
    above = dvc()
    return clean(f"{socket.gethostname()}-{above.pid}-{above.create_time():.0f}") if above else None


def dvc() -> psutil.Process | None:
    """The dvc process above us, if there is one."""
    try:
        return next((process for process in psutil.Process().parents() if is_dvc(process.cmdline())), None)
    except psutil.Error:
        return None


def is_dvc(command: list[str]) -> bool:
    """Whether a command line is dvc's."""
    words = [Path(word).name for word in command]
    if words and words[0].startswith("python"):
        script = next((i for i, word in enumerate(words) if i and (word == "-m" or not word.startswith("-"))), 0)
        return words[script] == "dvc" or words[script : script + 2] == ["-m", "dvc"]
    return words[:1] == ["dvc"]


def process_tags() -> dict[str, str]:
    """Tags by which `alive` finds this process."""
    me = psutil.Process()
    return {
        "jscgc.host": socket.gethostname(), "jscgc.pid": str(me.pid), "jscgc.pid_created": f"{me.create_time():.2f}",
    }  # fmt: skip


def alive(tags: Mapping[str, str]) -> bool:
    """Whether the process of these tags, on this host, still runs."""
    try:
        created: float = psutil.Process(int(tags["jscgc.pid"])).create_time()
        return abs(created - float(tags["jscgc.pid_created"])) < 2  # a corrected clock shifts it a little
    except (psutil.Error, KeyError, ValueError):
        return False
