"""Trainings apart from the stages', such as variants and further seeds: each in a folder named by all that it depends on, so that
an interrupted one goes on and none is done twice."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from jscgc.cluster.train import Log, train_on_workers
from jscgc.files import atomic, held
from jscgc.params import Params
from jscgc.signals import end_as_interrupted
from jscgc.training import make


def made(result: str, params: Params, inputs: Mapping[str, Path], place: Path, models: Path, log: Log) -> float:
    """Train into models/RESULT what is not there yet; the seconds that it took (of an interrupted one, since it went on).

    Args:
        place: for checkpoints, named by `stages.checkpoint_key`.

    Raises:
        ValueError: another process is at it.
    """
    if not (models / result).exists():
        with held(place / "at-work", f"{place}: process {{holder}} is at this training; wait for it"):
            run = place / "run"
            run.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            shared = params.distributed
            net = train_on_workers(
                make.train_on,
                (params, result, inputs),
                run,
                log,
                workers=shared.workers,
                cpus=shared.cpus_per_worker,
                device=params.device,
            )
            with atomic(place / "seconds") as temporary:  # first: a model that is there has its time
                temporary.write_text(f"{time.perf_counter() - started:.1f}\n")
            make.save(result, params, inputs, net, models / result)
            shutil.rmtree(run)
    return float((place / "seconds").read_text())


def as_command(name: str, main: Callable[[], None]) -> None:
    """Run it; what a user can mend, and Ctrl-C, end as one line and exit status 1."""
    end_as_interrupted()
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("JSCGC_TRACEBACK"):
            raise
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; the same command goes on from the last checkpoint")
