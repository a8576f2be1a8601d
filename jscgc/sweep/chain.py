"""The stages that lead to a system (`jscgc.stages`): which the searched values touch, and where a result is for given parameters.

A result that the searched values do not touch is the one that `dvc repro` left. Any other is trained once, in a folder named by
the values that it depends on, however many trials ask for it: trials that differ in how they sample share one training.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import sources, stages
from jscgc.config import digest
from jscgc.method import METHODS, network, trainable
from jscgc.params import WIDENING, Init, Params

if TYPE_CHECKING:
    from jscgc.training.loop import MetricLog

log = logging.getLogger(__name__)

STARTS_FROM_SHIPPED = ("finetune", "widen")
UNTOUCHED: dict[Init, tuple[str, ...]] = {
    "scratch": (),
    "shipped": ("vae", "flow"),
    "finetune": ("vae", "flow"),
    "widen": (),
}
"""init -> results that are those that come with the package, which nothing changes."""
ADDING = tuple(f"{section}.{key}" for section, keys in WIDENING.items() for key in keys)
AS_SHIPPED = (
    *(f"generator.{key}" for key in ("backbone", "widths", "depth")),
    *("encoder", "link.rates", "jscgc.adapter", "jscgc.encoder_init"),
)
IDLE: dict[Init, tuple[str, ...]] = {
    "scratch": ADDING,
    "shipped": (*ADDING, "generator.train"),
    "finetune": (*ADDING, "generator.train", *AS_SHIPPED),
    "widen": ("vae.width", "vae.depth", *AS_SHIPPED),
}
"""Keys that act on nothing, or must be those of what ships."""


def trained_names() -> tuple[str, ...]:
    """What a sweep can search for: the methods with a training of their own."""
    return tuple(method.name for method in METHODS if method.network and method.network.trained_by)


def sections(result: str, init: Init) -> set[str]:
    """All parts of params.yaml that a result depends on, by its inputs too."""
    if result in UNTOUCHED[init]:
        return {"init"}
    stage = stages.stage(result)
    started = network(result).starts_from if init in STARTS_FROM_SHIPPED and result in trainable() else ()
    needs = (sections(need, init) for need in stage.needs if need not in started)
    return set(stage.keys).union(*needs) - {"data"}


def acts_on(system: str, key: str, init: Init) -> bool:
    """Whether a dotted key can change how a system scores."""
    parts = sections(system, init) | set(METHODS[system].receives_by)
    if any(key == idle or key.startswith(f"{idle}.") for idle in IDLE[init]):
        return False
    return any(_meet(key, part) for part in parts)


def values(result: str, params: Params) -> dict[str, Any]:
    """What a result depends on."""
    content = params.model_dump(mode="json")
    return {section: stages.value_at(content, section) for section in sorted(sections(result, params.init))}


@dataclass(frozen=True)
class Origin:
    """What `dvc repro` left, and where a sweep trains what it left not.

    params: by which latents, models and photos were made. data: the folder with latents, models and photos. out: the sweep's.
    """

    params: Params
    data: Path
    out: Path

    def left(self, stage: str) -> Path:
        """Where `dvc repro` leaves a stage's result."""
        return self.data / stages.place(stage)

    def touched(self, stage: str, params: Params) -> bool:
        """Whether a stage's result depends on what these parameters have otherwise."""
        return values(stage, params) != values(stage, self.params)

    def folder(self, stage: str, params: Params) -> Path | None:
        """Where a stage is trained with these parameters; None if it is as `dvc repro` left it."""
        if not self.touched(stage, params) and self.left(stage).exists():
            return None
        made_by = [sources.code(stages.stage(one).sources(params)) for one in (*stages.before(stage), stage)]
        return self.out / "trained" / f"{stage}-{digest(values(stage, params), made_by)}"


def missing(system: str, origin: Origin, base: Params, searched: list[str]) -> list[Path]:
    """What `dvc repro` must have left for a sweep and has not."""
    wanted = [origin.data / "photos"]
    for stage in stages.before(system):
        if stage == "photos":
            continue
        trained = origin.touched(stage, base) or any(acts_on_stage(stage, key, base) for key in searched)
        wanted += [] if trained else [origin.left(stage)]
    return [path for path in wanted if not path.exists()]


def acts_on_stage(stage: str, key: str, base: Params) -> bool:
    """Whether a dotted key changes a stage's training."""
    return any(_meet(key, part) for part in sections(stage, base.init))


def _meet(key: str, part: str) -> bool:
    """Whether one of two dotted keys is in the other, or is it."""
    return key == part or key.startswith(f"{part}.") or part.startswith(f"{key}.")


def provide(stage: str, params: Params, origin: Origin) -> Path:
    """The folder with a stage's result for these parameters; trained if nobody has yet, by one process at a time."""
    folder = origin.folder(stage, params)
    if folder is None:
        return origin.left(stage)
    with _alone(folder):
        done = folder / stage
        if not done.exists():
            _run(stage, params, origin, done, folder / "run", None, _silent)
            shutil.rmtree(folder / "run", ignore_errors=True)
    return done


def train(system: str, params: Params, origin: Origin, steps: int, whole: bool, metrics: MetricLog) -> Path:
    """A folder of models, as `jscgc evaluate` reads them: the system after so many training steps, and the VAE that it needs.

    Training goes on from the checkpoint of before, wherever it was interrupted.

    Args:
        steps: of the training of the system itself; the stages before it are always trained to their end.
        whole: whether that is all of its training.
    """
    folder = origin.folder(system, params)
    if folder is None:
        return origin.data / "models"
    models = folder / f"step-{steps:08d}"
    with _alone(folder):
        if not (models / system).exists():
            _run(system, params, origin, models / system, folder / "run", None if whole else steps, metrics)
        vae = models / "vae"
        if not network(system).pixels and not vae.exists():
            vae.unlink(missing_ok=True)
            vae.symlink_to(provide("vae", params, origin).resolve(), target_is_directory=True)
    return models


def training_steps(system: str, params: Params) -> int:
    """Steps of a system's own training."""
    training = network(system).training(params)
    assert training is not None
    return training.steps


def _silent(step: int, metrics: Mapping[str, float]) -> None:
    """A stage before the system's own: its curve is not looked at."""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is at this folder, such as one that a killed driver has left for its last second."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "at-work").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _run(
    result: str, params: Params, origin: Origin, done: Path, run: Path, until: int | None, metrics: MetricLog
) -> None:
    """Run a stage's recipe; its result appears in `done` whole or not at all."""
    from jscgc.training import make

    needs = {need: provide(need, params, origin) for need in stages.stage(result).needs}
    run.mkdir(parents=True, exist_ok=True)
    make.make(result, params, needs, run, metrics, done, until)
