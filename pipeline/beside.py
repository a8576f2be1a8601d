"""A second training beside a stage's own: on few cores two trainings of half the threads each are faster than one after another.

    dvc repro -> python -m pipeline.train jscgc             its own training
                   `-> python -m pipeline.ahead diffjscc    what later stages will train, into their folders of checkpoints

The graph of stages knows nothing of it: when DVC comes to the other stage, that goes on from the checkpoints that it finds.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jscgc import project, stages, tracking
from jscgc.device import resolve_device, use_threads
from jscgc.machine import cores
from jscgc.method import network, parted
from jscgc.params import Params
from pipeline import runs

SWITCH = "JSCGC_AHEAD"
"""0: nothing is trained ahead."""
TRIED = "ahead"
"""File in a folder of checkpoints: nothing is left to do ahead, since the training is finished or has failed."""
STOP_S = 60.0
"""Longest wait for the last checkpoint; the one before it is whole."""
WITH_VALUE = ("-C", "--copy-paths", "-S", "--set-param", "-j", "--jobs", "-m", "--message", "-n", "--name", "--rev")
"""Options of `dvc repro` and `dvc exp run` that take a value."""


@contextmanager
def sharing(result: str, params: Params, folder: Path) -> Iterator[None]:
    """On a CPU: the threads of this training, and another one beside it until the block ends.

    Args:
        folder: of its checkpoints.
    """
    if params.distributed.workers > 1 or resolve_device(params.device).type != "cpu" or not learns(result, params):
        yield
        return
    every = use_threads()
    half = max(1, min(every, cores() // 2))
    others = offered(result, params) if cores() > 1 else []
    own = runs.threads_of(folder, half if others else every)
    use_threads(own)
    child = _start(others, half, params) if others and own <= half else None
    try:
        yield
    finally:
        use_threads(every)
        if child:
            _stop(child)


def offered(result: str, params: Params) -> list[str]:
    """What this `dvc repro` will train that can be trained now, since all that it needs comes before `result`, and is not yet."""
    above = tracking.dvc()
    if above is None or os.environ.get(SWITCH) == "0":
        return []
    ready, every = set(stages.before(result)), ("vae", *params.trained, *params.finetuned)
    asked = targets(above.cmdline(), every)
    found = [
        name
        for name in every
        if name in asked - ready - {result} and learns(name, params) and set(stages.stage(name).needs) <= ready
        if not _done(name, params)
    ]
    # What needs least, photographs alone, can still be trained beside the last of the others.
    return sorted(found, key=lambda name: len(stages.before(name)), reverse=True)


def learns(result: str, params: Params) -> bool:
    """Whether a result is trained with these parameters, and not passed through from the package or another file."""
    from jscgc.training.start import KEEPS_PRIOR

    if result == "vae":
        return params.vae.source == "nano" and params.init not in KEEPS_PRIOR
    method, _ = parted(result)
    return stages.trains(result) and network(method).record(params) is None


def targets(command: Sequence[str], every: Sequence[str]) -> set[str]:
    """Of these results those that a dvc command makes.

    Args:
        command: `dvc repro [OPTION]... [STAGE]...`, or `dvc exp run`.
    """
    words = list(command)
    words = words[next((i for i, word in enumerate(words) if word in ("repro", "run")), len(words)) + 1 :]
    named = [w for before, w in zip(["", *words], words, strict=False) if w[:1] != "-" and before not in WITH_VALUE]
    if not named:
        return set(every)
    stages_named = {name.removeprefix("dvc.yaml:") for name in named}
    found = {result for result in every if stages.name_of(result) in stages_named}
    if not {"-s", "--single-item"} & set(words):
        found |= {before for result in found for before in stages.before(result)}
    return found & set(every)


def _done(name: str, params: Params) -> bool:
    key = runs.key_of(name, params)
    return runs.is_made(name, key) or (runs.folder_of(stages.name_of(name), key) / TRIED).exists()


def _start(names: Sequence[str], threads: int, params: Params) -> subprocess.Popen[bytes]:
    said = f"{', '.join(names)}: trained ahead meanwhile, {threads} thread(s) each; {SWITCH}=0 switches it off"
    logging.getLogger(__name__).info(said)
    command = [sys.executable, "-m", "pipeline.ahead", str(threads), params.precision, *names]
    with (project.home(runs.ROOT) / "ahead.log").open("wb") as log:  # two progress bars would write over each other
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask it to end; what it has trained is in its checkpoints, and how it ended is its own stage's business."""
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
