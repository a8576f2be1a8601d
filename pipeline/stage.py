"""What every stage has in common: parameters, tracking, checkpoints' place, times, and a clean end whatever happens."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscgc import stages, tracking
from jscgc.cluster.train import train_on_workers
from jscgc.config import digest
from jscgc.files import check_folder, read_json, write_json
from jscgc.metrics import info
from jscgc.params import Params, load_params
from jscgc.signals import end_as_interrupted
from jscgc.training.curve import Curve
from pipeline import beside, graph, runs
from pipeline.runs import DATA as DATA
from pipeline.runs import REPORTS as REPORTS
from pipeline.runs import ROOT as ROOT

if TYPE_CHECKING:
    from jscgc.evaluation.headline import Headline

Train = Callable[..., Any]
PHOTOS, LATENTS, MODELS = (DATA / name for name in ("photos", "latents", "models"))


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
        folder.mkdir(parents=True, exist_ok=True)
        curve = Curve(folder)

        def log(step: int, metrics: Mapping[str, float]) -> None:
            curve.append(step, metrics)
            self.run.log(step, metrics)

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
        rows = curve.rows()
        last = {key: value for key, value in (rows[-1] if rows else {}).items() if key != "step"}
        self.metrics |= last
        self.logged |= set(last)
        if not result or stages.trains(result):
            self.metrics["training_seconds"] = curve.seconds()
            path = REPORTS / "curves" / f"{self.name}.csv"
            curve.write_csv(path)
            self.run.artifact(path)
        shutil.rmtree(folder)

    def trained(self, folder: Path) -> None:
        """Have the trained model in a folder uploaded and registered."""
        self.run.artifact(folder, "models")
        self.run.model(folder, _decodes_with(folder))

    def evaluated(self, headline: Headline, protocol: str) -> None:
        """Have the scores of the evaluated models noted in the registry, under the hash of the protocol."""
        if (MODELS / "vae" / "model.json").exists():
            self.run.model(MODELS / "vae")
        for method, metrics in headline.methods.items():
            metric = headline.ranked_by(method)
            if metric and (MODELS / method / "model.json").exists():
                better = info(metric).direction
                score = tracking.Score(protocol, metrics, ranked_by=metric, better=better)
                self.run.model(MODELS / method, _decodes_with(MODELS / method), score)


def _decodes_with(folder: Path) -> dict[str, str]:
    """The VAE that a model belongs to, as a tag; of a VAE or a model on pixels none."""
    latents = read_json(folder / "model.json").get("latents") or {}
    return {"vae_sha256": latents["vae_sha256"]} if latents.get("vae_sha256") else {}


@contextmanager
def stage(name: str, *, networks: bool = False) -> Iterator[Stage]:
    """Run a stage: errors a user can mend end as one line on stderr and exit status 1.

    Args:
        networks: whether it computes in the precision of params.yaml, which is decided now.
    """
    quiet(name)
    runs.end_with_parent()
    end_as_interrupted()
    start = time.perf_counter()
    try:
        params = load_params()
        params.check()
        for folder in (DATA, REPORTS):
            check_folder(folder)
        graph.check(params, name)
        known = tags(params)  # of the file: the same for all stages of a reproduction
        params = params.settled() if networks else params
        settings, record = params.model_dump(mode="json"), runs.record_of(name)
        with tracking.stage_run(name, params=settings, tags=known, root=ROOT, identity=record) as run:
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


def tags(params: Params) -> dict[str, str]:
    """Of a stage's run."""
    known = {"commit": tracking.commit(ROOT), "profile": params.profile, "params_hash": digest(params)}
    manifest = PHOTOS / "manifest.json"
    if manifest.exists():
        known["dataset_hash"] = str(read_json(manifest)["dataset_sha256"])
    return known
