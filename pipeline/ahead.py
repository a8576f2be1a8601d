"""`python -m pipeline.ahead THREADS PRECISION NAME...`: train networks ahead of their stages; `pipeline.beside` starts it.

SIGTERM has it write a checkpoint and end. An error is noted and left to the network's own stage, which meets it again.
"""

import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from jscgc import stages
from jscgc.device import use_threads
from jscgc.params import Params, load_params
from jscgc.signals import end_with_parent
from pipeline import runs
from pipeline.beside import TRIED
from pipeline.stage import quiet, recorded, take_over

log_ = logging.getLogger(__name__)


def train(name: str, threads: int, params: Params, stated: Params) -> None:
    """Train a network, into the folder of checkpoints that its stage will look into, unless somebody has; `stated` are the
    parameters before anything was decided.

    Raises:
        Stopped: by SIGTERM, after a checkpoint.
    """
    from jscgc.training import loop, make
    from jscgc.training.curve import Curve

    stage, key = stages.name_of(name), runs.key_of(name, params)
    folder = runs.folder_of(stage, key)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / TRIED).exists() or runs.threads_of(folder, threads) != threads or loop.STOP.is_set():
        return  # one that began with all cores has them to itself, in its stage
    curve = Curve(folder)
    with recorded(stage, params, stated) as run:
        take_over(folder, run, curve)

        def log(step: int, metrics: Mapping[str, float]) -> None:
            curve.append(step, metrics)
            run.log(step, metrics)

        signal.signal(signal.SIGTERM, lambda *_: loop.STOP.set())
        make.train(name, params, runs.inputs_of(name), folder, log)
    (folder / TRIED).write_text("finished\n")


def main(threads: int, precision: Literal["float32", "bfloat16"], names: list[str]) -> None:
    """Train them in turn."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's, which then ends this
    quiet("ahead")
    stated = load_params()
    params = stated.model_copy(update={"precision": precision})  # the stage has decided, for all
    use_threads(threads)
    for name in names:
        try:
            train(name, threads, params, stated)
        except (ValueError, OSError, RuntimeError) as error:
            log_.warning("%s: %s", name, error)
            note(name, params, str(error))
        except KeyboardInterrupt as stopped:
            log_.info("%s", stopped)
            return


def note(name: str, params: Params, error: str) -> None:
    """Have no other stage try it ahead again."""
    folder: Path = runs.folder_of(stages.name_of(name), runs.key_of(name, params))
    (folder / TRIED).write_text(f"{error}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])  # type: ignore[arg-type]
