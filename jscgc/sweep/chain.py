"""The stages that lead to a system, as dvc.yaml has them: what each depends on, and where its result is for given parameters.

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
from typing import TYPE_CHECKING, Any, Literal, get_args

from jscgc.config import Init, Params, digest

if TYPE_CHECKING:
    from jscgc.training.loop import MetricLog

log = logging.getLogger(__name__)
SystemName = Literal["jscgc", "jscgc_fast", "diffjscc", "mambajscc_psnr"]
SYSTEMS = get_args(SystemName)


@dataclass(frozen=True)
class Stage:
    """The stages whose results it reads, and the parts of params.yaml that it depends on beside them."""

    needs: tuple[str, ...]
    sections: tuple[str, ...]


RECEIVER = ("precision", "objective", "generator", "encoder", "link", "jscgc")
STAGES = {
    "vae": Stage((), ("seed", "precision", "init", "vae", "latents.min_scale")),
    "latents": Stage(("vae",), ("seed", "init", "latents")),
    "flow": Stage(("latents",), ("seed", "precision", "init", "objective", "generator")),
    "mambajscc_psnr": Stage(("latents",), ("seed", "precision", "encoder", "link", "jscgc.warm_start", "codec")),
    "diffjscc": Stage(("latents", "flow", "mambajscc_psnr"), ("seed", *RECEIVER)),
    "jscgc": Stage(("latents", "flow", "mambajscc_psnr"), ("seed", *RECEIVER)),
    "jscgc_fast": Stage(("latents", "jscgc"), ("seed", "precision", "link", "few_step")),
}
PASSED_THROUGH: dict[Init, tuple[str, ...]] = {
    "scratch": (),
    "shipped": ("vae", "flow"),
    "finetune": ("vae", "flow"),
    "widen": (),
}
"""init -> stages whose results are those that come with the package, which nothing changes."""
SAMPLED = {"jscgc": ("sample",), "diffjscc": ("sample",)}
"""Parts that act when a system receives; the student's are its own."""
IDLE = {"jscgc": ("jscgc.diffjscc_steps", "sample.reconstruction_guidance"), "jscgc_fast": ("jscgc.diffjscc_steps",)}
"""Keys of those parts that a system does not look at."""
WIDENING = ("vae.anchor_weight", "vae.added_shrink", "latents.added_scale")
TRAINED_ON = (
    *(f"generator.{key}" for key in ("backbone", "widths", "depth")),
    *("encoder", "link.rates", "jscgc.adapter", "jscgc.encoder_init"),
)
UNUSED: dict[Init, tuple[str, ...]] = {
    "scratch": WIDENING,
    "shipped": (*WIDENING, "generator.train"),
    "finetune": (*WIDENING, "generator.train", *TRAINED_ON),
    "widen": ("vae.width", "vae.depth", *TRAINED_ON),
}
"""Keys of those parts that act on nothing, or must be those of what ships."""
UNREAD: dict[Init, tuple[str, ...]] = {"scratch": (), "shipped": (), "finetune": ("codec",), "widen": ("codec",)}
"""The same for JSCGC and its student, whose encoder starts from the shipped JSCGC's then."""


def sections(stage: str, init: Init) -> set[str]:
    """All parts of params.yaml that a stage's result depends on, by its inputs too."""
    if stage in PASSED_THROUGH[init]:
        return {"init"}
    own = STAGES[stage]
    return set(own.sections).union(*(sections(need, init) for need in own.needs))


def acts_on(system: str, key: str, init: Init) -> bool:
    """Whether a dotted key can change how a system scores."""
    parts = sections(system, init) | set(SAMPLED.get(system, ()))
    idle = (*IDLE.get(system, ()), *UNUSED[init], *(UNREAD[init] if system in ("jscgc", "jscgc_fast") else ()))
    if any(key == own or key.startswith(f"{own}.") for own in idle):
        return False
    return any(_meet(key, part) for part in parts)


def values(stage: str, params: Params) -> dict[str, Any]:
    """What a stage's result depends on."""
    content = params.model_dump(mode="json")
    found: dict[str, Any] = {}
    for section in sorted(sections(stage, params.init)):
        value: Any = content
        for name in section.split("."):
            value = value[name]
        found[section] = value
    return found


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
        return self.data / "latents" if stage == "latents" else self.data / "models" / stage

    def touched(self, stage: str, params: Params) -> bool:
        """Whether a stage's result depends on what these parameters have otherwise."""
        return values(stage, params) != values(stage, self.params)

    def folder(self, stage: str, params: Params) -> Path | None:
        """Where a stage is trained with these parameters; None if it is as `dvc repro` left it."""
        if not self.touched(stage, params) and self.left(stage).exists():
            return None
        return self.out / "trained" / f"{stage}-{digest(values(stage, params))}"


def missing(system: str, origin: Origin, base: Params, searched: list[str]) -> list[Path]:
    """What `dvc repro` must have left for a sweep and has not."""
    wanted = [origin.data / "photos"]
    for stage in before(system):
        trained = origin.touched(stage, base) or any(acts_on_stage(stage, key, base) for key in searched)
        wanted += [] if trained else [origin.left(stage)]
    return [path for path in wanted if not path.exists()]


def before(stage: str) -> list[str]:
    found = [name for need in STAGES[stage].needs for name in (*before(need), need)]
    return list(dict.fromkeys(found))


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
    """A folder of models, as `jscgc evaluate` reads them, with the system after so many training steps and its VAE.

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
        if not vae.exists():
            vae.unlink(missing_ok=True)
            vae.symlink_to(provide("vae", params, origin).resolve(), target_is_directory=True)
    return models


def training_steps(system: str, params: Params) -> int:
    """Steps of a system's own training."""
    if system == "mambajscc_psnr":
        return params.codec.steps
    if system == "jscgc_fast":
        return params.few_step.train.steps
    own = params.jscgc
    return (own.diffjscc_steps if system == "diffjscc" else None) or own.train.steps


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
    stage: str, params: Params, origin: Origin, done: Path, run: Path, until: int | None, metrics: MetricLog
) -> None:
    """Run a stage's recipe; its result appears in `done` whole or not at all."""
    from jscgc.latent.autoencoder import save_vae
    from jscgc.systems import store
    from jscgc.training import recipes

    photos, needs = origin.data / "photos", {need: provide(need, params, origin) for need in STAGES[stage].needs}
    run.mkdir(parents=True, exist_ok=True)
    if stage == "vae":
        save_vae(
            done, params.vae, recipes.train_vae(params, photos, run, metrics) if params.vae.source == "nano" else None
        )
        return
    if stage == "latents":
        recipes.extract_latents(params, photos, needs["vae"], done)
        return
    latents = needs["latents"]
    architecture = store.Architecture.of(stage, params)  # type: ignore[arg-type]
    net: Any
    if stage == "flow":
        net, architecture = recipes.pretrain_flow(params, latents, run, metrics), recipes.prior_architecture(params)
    elif stage == "mambajscc_psnr":
        net = recipes.train_codec(params, latents, run, metrics, until)
    elif stage == "jscgc_fast":
        net = recipes.distil(params, latents, needs["jscgc"], run, metrics, until)
    else:
        recipe = recipes.train_jscgc if stage == "jscgc" else recipes.train_diffjscc
        net = recipe(params, latents, needs["flow"], needs["mambajscc_psnr"], run, metrics, until)
    store.save(done, architecture, recipes.read_statistics(latents), net)
