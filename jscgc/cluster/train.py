"""A training on several workers of Ray: each runs the same recipe, one step's parts shared among them."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jscgc.cluster.session import on_a_cluster, session

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

log_ = logging.getLogger(__name__)
Net = TypeVar("Net")
RETRIES = 3
"""Times that the workers are started again, at their last checkpoint, after one has died."""
TOKEN = "driver"
"""File by which workers find out whether they see the driver's folder."""


class Log(Protocol):
    """Takes averaged scalars at a step."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None: ...


class TrainingFailed(RuntimeError):
    """Workers died again and again; the last checkpoint is kept."""


@dataclass(frozen=True)
class _Work:
    """What a worker needs to know; `told` takes scalars and errors to the driver."""

    recipe: Callable[..., Any]
    arguments: tuple[Any, ...]
    folder: Path
    root: Path
    cpus: int
    token: str
    told: Queue


def train_on_workers(
    recipe: Callable[..., Net],
    arguments: Sequence[Any],
    folder: Path,
    log: Log,
    *,
    workers: int,
    cpus: int = 1,
    device: str = "auto",
) -> Net:
    """`recipe(*arguments, folder, log)`, computed by workers; returns what it returns here, from the last checkpoint.

    Args:
        recipe: a function of a module, which calls `jscgc.training.loop.train`; every worker runs it, in this working folder.
        folder: of the checkpoints; on a cluster the workers must see it, this working folder and the inputs at the same paths
            (a shared file system).
        log: called here, in another thread.
        workers: 1: no Ray, the recipe is called here.
        cpus: cores and threads of each.
        device: cuda: each has a GPU of its own (nccl); cpu: none (gloo); auto: as the cluster, or this machine, has some.

    Workers that die are started again and go on from the last checkpoint.

    Raises:
        ValueError: this machine has no room for them or a worker does not see the folder; or what the recipe raises.
        TrainingFailed: workers died again and again.
    """
    if workers == 1:
        return recipe(*arguments, folder, log)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(8)
    (folder / TOKEN).write_text(token)
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    try:
        # Ray's own account of a training is long; what the recipe has to say comes through `told`.
        with session(workers * cpus, quiet=True) as resources:
            gpu = device == "cuda" or (device == "auto" and resources.get("GPU", 0.0) > 0)
            _check_room(resources, workers, cpus, gpu)
            work = partial(_Work, recipe, tuple(arguments), folder, Path.cwd(), cpus, token)
            _fit(work, log, workers, cpus, gpu)
    finally:
        (folder / TOKEN).unlink(missing_ok=True)
    return recipe(*arguments, folder, log)


def _check_room(resources: Mapping[str, float], workers: int, cpus: int, gpu: bool) -> None:
    for kind, needed in (("CPU", workers * cpus), ("GPU", workers * gpu)):
        if resources.get(kind, 0.0) < needed:
            lack = f"distributed.workers: {workers} workers need {needed} {kind}s, Ray has {resources.get(kind, 0.0):g}"
            if not on_a_cluster():
                raise ValueError(f"{lack}; ask for fewer workers, or set RAY_ADDRESS to a cluster")
            log_.warning("%s; waiting for the cluster to grow", lack)


def _fit(work: Callable[[Queue], _Work], log: Log, workers: int, cpus: int, gpu: bool) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError
    from ray.util.queue import Queue

    told = Queue(actor_options={"num_cpus": 0})
    given = work(told)
    needs: dict[str, float] = {"CPU": cpus, "GPU": int(gpu)}
    storage = given.folder / "ray"
    for attempt in range(RETRIES + 1):
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"work": given},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker=needs),
            # Ray would try any error again; we only those that say nothing of the training.
            run_config=RunConfig(name=f"{given.token}-{attempt}", storage_path=str(storage)),
        )
        fit = _Fit(trainer, told)
        fit.start()
        try:
            fit.follow(log)
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        if fit.failure is None:
            return
        if not isinstance(fit.failure, TrainingFailedError):
            raise fit.failure
        reason = _reason(fit.failure)
        if attempt < RETRIES:
            log_.warning("a worker died (%s); all start again from the last checkpoint", reason)
    raise TrainingFailed(
        f"training on {workers} workers failed {RETRIES + 1} times; the last: {reason}; checkpoints are kept in {given.folder}"
    )


def _reason(error: Exception) -> str:
    """One line of Ray's account: what the workers raised, without their stacks."""
    failures = getattr(error, "worker_failures", {}) or {}
    causes = [getattr(error, "cause", None) or error for error in failures.values()]
    told = {type(cause).__name__ + (f": {cause}" if str(cause) else "") for cause in causes}
    lines = [" ".join(text.split())[:200] for text in sorted(told)] or [str(error).strip().splitlines()[0]]
    return "; ".join(lines)


class _Fit(threading.Thread):
    """The trainer at work, in another thread: in the main one Ray would take Ctrl-C for itself."""

    def __init__(self, trainer: TorchTrainer, told: Queue) -> None:
        super().__init__(daemon=True)
        self._trainer, self._told = trainer, told
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:
            self.failure = error
        finally:
            self._told.put(None)

    def follow(self, log: Log) -> None:
        """Hand on what the workers tell until they are done.

        Raises:
            Exception: the first that a worker told.
        """
        told: Exception | None = None
        while (message := self._told.get()) is not None:
            if isinstance(message, Exception):
                told = told or message
            elif isinstance(message, logging.LogRecord):
                log_.handle(message)
            else:
                log(*message)
        self.join()
        if told:
            raise told


def _worker(config: dict[str, Any]) -> None:
    """In each worker: the recipe. Errors that will come again are told to the driver."""
    import torch
    from ray.train import get_context
    from ray.train.torch import get_device

    work: _Work = config["work"]
    told = work.told

    def log(step: int, metrics: Mapping[str, float]) -> None:
        told.put((step, dict(metrics)))

    def nowhere(step: int, metrics: Mapping[str, float]) -> None:
        """The scalars are the workers' mean already."""

    class ToDriver(logging.Handler):
        """Whose user reads what is said here."""

        def emit(self, record: logging.LogRecord) -> None:
            record.msg, record.args, record.exc_info = record.getMessage(), None, None
            told.put(record)

    first = get_context().get_world_rank() == 0
    if first:  # the others would say the same
        ours = logging.getLogger("jscgc")
        ours.setLevel(logging.INFO)
        ours.addHandler(ToDriver())
    try:
        token = work.folder / TOKEN
        if not token.exists() or token.read_text() != work.token:
            raise ValueError(
                f"node {os.uname().nodename} does not see {work.folder}: training on several machines needs the project's folder "
                "at the same path on all of them (a shared file system)"
            )
        os.chdir(work.root)
        torch.set_num_threads(work.cpus)
        if (device := get_device()).type == "cuda":
            torch.cuda.set_device(device)
        work.recipe(*work.arguments, work.folder, log if first else nowhere)
    except Exception as error:
        if _comes_again(error):
            told.put(error)
        raise


def _comes_again(error: Exception) -> bool:
    """Whether another try would end alike: no lost connection to a worker that died, which torch tells as RuntimeError."""
    ours = type(error).__module__.startswith("jscgc.")
    return ours or (isinstance(error, ValueError | OSError) and not isinstance(error, ConnectionError))
