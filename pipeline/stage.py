"""What every stage has in common: parameters, tracking, checkpoints' place, times, and a clean end whatever happens."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import preflight, stages, tracking
from jscgc.cluster import session
from jscgc.cluster.train import train_on_workers
from jscgc.config import ParamsError, digest
from jscgc.files import check_folder, held, read_json, write_json
from jscgc.metrics import info
from jscgc.params import Params, load_params
from jscgc.signals import end_as_interrupted, end_with_parent
from jscgc.tracking.spool import flat
from jscgc.training.curve import Curve
from pipeline import beside, cards, graph, profile, runs
from pipeline.checkpoints import Checkpoints
from pipeline.runs import DATA as DATA
from pipeline.runs import REPORTS as REPORTS
from pipeline.runs import ROOT as ROOT

if TYPE_CHECKING:
    from jscgc.evaluation.headline import Headline

Train = Callable[..., Any]
PHOTOS, LATENTS, MODELS = (DATA / name for name in ("photos", "latents", "models"))
READING = ("theory", "report")
"""Stages that need no metric's network and no pretrained model."""
MOST_NAMED = 3
"""Changes in a run's name."""


@dataclass
class Stage:
    """A running stage.

    metrics: scalars that end in reports/metrics/NAME.json; `seconds` is added.
    """

    name: str
    params: Params
    run: tracking.StageRun
    metrics: dict[str, Any] = field(default_factory=dict)
    logged: set[str] = field(default_factory=set)
    """Scalars that MLflow has as a curve already."""

    @contextmanager
    def training(self, result: str) -> Iterator[tuple[Train, dict[str, Path]]]:
        """As `checkpoints`, for a result of the table of stages; and the folders of what it needs."""
        key = runs.key_of(result, self.params)
        with self.checkpoints(key, result) as train:
            yield train, runs.inputs_of(result)
        self.metrics["key"] = key

    @contextmanager
    def checkpoints(self, key: str, result: str = "") -> Iterator[Train]:
        """Trains by a recipe: `train(recipe, *arguments)` is `recipe(params, *arguments, folder, log)`, on as many workers as
        section `distributed` asks for. At the end the curve is written and the folder of checkpoints removed.

        Args:
            key: names the folder, made of everything the result depends on: an interrupted stage finds its own checkpoints
                again, and no other's.
            result: of the table of stages, if it is one; beside its training another one may run.
        """
        folder = runs.folder_of(self.name, key)
        runs.wait_for_others(folder)
        folder.mkdir(parents=True, exist_ok=True)
        curve = Curve(folder)
        take_over(folder, self.run, curve)
        saved = Checkpoints(folder, self.params.tracking.checkpoints, self.run)

        def log(step: int, metrics: Mapping[str, float]) -> None:
            curve.append(step, metrics)
            self.run.log(step, metrics)
            saved.look()

        def train(recipe: Callable[..., Any], *arguments: Any) -> Any:
            settings = self.params.distributed
            return train_on_workers(
                recipe,
                (self.params, *arguments),
                folder,
                log,
                workers=settings.workers,
                cpus=settings.cpus_per_worker,
                device=self.params.device,
            )

        with beside.sharing(result, self.params, folder) if result else nullcontext():
            yield train
        saved.look()
        rows = curve.rows()
        last = {key: value for key, value in (rows[-1] if rows else {}).items() if key != "step"}
        self.metrics |= last
        self.logged |= set(last)
        if not result or stages.trains(result):
            self.metrics["training_seconds"] = curve.seconds()
            path = REPORTS / "curves" / f"{stages.file_of(self.name)}.csv"
            curve.write_csv(path)
            self.run.artifact(path)
        shutil.rmtree(folder)

    @contextmanager
    def work(self, result: str) -> Iterator[Path]:
        """A folder for what is finished of a result that is no training: an interrupted stage finds it again, under a name made
        of all that the result depends on. It is removed at the end."""
        folder = runs.folder_of(self.name, runs.key_of(result, self.params))
        runs.wait_for_others(folder)
        with held(folder / "lock", f"{folder}: process {{holder}} is at work here; wait for it or stop it"):
            yield folder
        shutil.rmtree(folder)

    def trained(self, folder: Path) -> None:
        """Have the trained model in a folder uploaded and registered."""
        self.run.artifact(folder, "models")
        self._register(folder)

    def evaluated(self, headline: Headline, protocol: str) -> None:
        """Have the scores of the evaluated models noted in the registry, under the hash of the protocol."""
        if (MODELS / "vae" / "model.json").exists():
            self._register(MODELS / "vae")
        for method, metrics in headline.methods.items():
            metric = headline.ranked_by(method)
            if metric and (MODELS / method / "model.json").exists():
                better = info(metric).direction
                score = tracking.Score(protocol, metrics, ranked_by=metric, better=better)
                self._register(MODELS / method, score)

    def _register(self, folder: Path, score: tracking.Score | None = None) -> None:
        vae = cards.vae_of(folder)
        self.run.model(folder, {"vae_sha256": vae} if vae else {}, score, cards.card(folder, self.params))


@contextmanager
def stage(name: str, *, networks: bool = False) -> Iterator[Stage]:
    """Run a stage: errors a user can mend end as one line on stderr and exit status 1.

    Args:
        networks: whether it computes in the precision of params.yaml, which is decided now.
    """
    quiet(name)
    end_with_parent()
    end_as_interrupted()
    start = time.perf_counter()
    try:
        stated = load_params()
        stated.check()
        if name not in READING:
            preflight.check(stated)
        for folder in (DATA, REPORTS):
            check_folder(folder)
        session.check()
        graph.check(stated, name)
        params = stated.settled() if networks else stated
        with recorded(name, params, stated) as run:
            running = Stage(name, params, run)
            yield running
            running.metrics |= {"precision": params.precision} if networks else {}
            running.metrics["seconds"] = time.perf_counter() - start
            running.metrics["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            new = {k: v for k, v in running.metrics.items() if isinstance(v, int | float) and k not in running.logged}
            run.log(0, new)
            path = runs.metrics_of(name)
            write_json(path, running.metrics)
            run.artifact(path)
        runs.close_record(name, stated)
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; `dvc repro` goes on from the last checkpoint")
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("JSCGC_TRACEBACK"):
            raise
        sys.exit(f"{name}: {error}\n(JSCGC_TRACEBACK=1 shows where)")


def quiet(name: str) -> None:
    """What this process logs is said under its name; what libraries say of themselves is not."""
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "urllib3", "alembic", "mlflow", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def recorded(name: str, params: Params, stated: Params) -> Iterator[tracking.StageRun]:
    """A stage's run of MLflow, begun or taken up again.

    Args:
        params: that it computes with. stated: those of params.yaml, the same for all stages of a reproduction.
    """
    record, changed = runs.open_record(name, stated), changes(stated)
    known = {"commit": tracking.commit(ROOT), "profile": stated.profile, "params_hash": digest(stated)}
    manifest = read_json(PHOTOS / "manifest.json") if (PHOTOS / "manifest.json").exists() else None
    if manifest:
        known["dataset_hash"] = str(manifest["dataset_sha256"])
    if changed:
        known["changed"] = ", ".join(changed)[:2000]
    with tracking.stage_run(
        name,
        params=params.model_dump(mode="json"),
        tags=known,
        root=ROOT,
        identity=record.identity,
        reproduction=record.reproduction,
        name=_run_name(stated, changed),
        datasets=datasets(manifest, ("test",) if name == "evaluate" else ("train", "validation")) if manifest else (),
    ) as run:
        yield run


def _run_name(params: Params, changed: Sequence[str]) -> str:
    """DVC's name of the experiment; else the profile, what differs from it and the time."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    few = [*changed[:MOST_NAMED], f"{len(changed) - MOST_NAMED} more"] if len(changed) > MOST_NAMED else changed
    return " ".join([params.profile, *few, time.strftime("%Y%m%d-%H%M%S")])


def changes(params: Params) -> list[str]:
    """`key=value` of what differs from the profile as it is committed; nothing for a profile that has no file."""
    try:
        content = profile.committed(params.profile)
    except ParamsError:
        return []
    mine, theirs = (flat(one.model_dump(mode="json")) for one in (params, content))
    every = sorted(mine.keys() | theirs.keys())
    return [f"{key}={mine.get(key, 'none')}" for key in every if mine.get(key) != theirs.get(key)]


def datasets(manifest: Mapping[str, Any], splits: Sequence[str]) -> list[dict[str, str]]:
    """The photographs of each split, as MLflow's datasets: what they are, their checksum and licences."""
    result = []
    for split in splits:
        photos = [photo for photo in manifest["photos"] if photo["split"] == split]
        shards = manifest.get("shards", []) if split == "train" else []
        if photos or shards:
            what = {
                "photographs": len(photos) + sum(shard["photos"] for shard in shards),
                "licences": sorted({p["licence"] for p in photos}.union(*(shard["licences"] for shard in shards))),
                "origins": sorted({photo["origin"].rpartition("/")[0] or photo["origin"] for photo in photos})[:20],
            }
            result.append(
                {
                    "name": f"photographs-{split}",
                    "digest": digest([*(p["png_sha256"] for p in photos), *(shard["sha256"] for shard in shards)]),
                    "source": str(manifest["source"]),
                    "profile": json.dumps(what),
                    "context": split,
                }
            )
    return result


def take_over(folder: Path, run: tracking.StageRun, curve: Curve) -> None:
    """Have a run hold the whole curve of the checkpoints in a folder, from which another run may have gone on to here."""
    path = folder / "run"
    before = path.read_text() if path.exists() else ""
    if before and before != run.identity:
        run.tag("resumed_from", before)
        for row in curve.rows():
            run.log(int(row["step"]), {key: value for key, value in row.items() if key != "step"})
    path.write_text(run.identity)
