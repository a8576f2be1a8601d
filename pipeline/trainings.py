"""Several trainings (seeds) of methods in turn: what another training changes.

    python -m pipeline.trainings jscgc diffjscc --seeds 3      # after dvc repro

Training t has the seed of params.yaml plus t and lies in OUT/t/models, beside the VAE and the prior; data and latents stay the
same. What a method starts from is that of data/models, unless it is named, too: then it is trained for each seed, and the others
start from it. Training 0 is the one in data/models where that was made with these parameters. An interrupted run goes on:
checkpoints and models are in .jscgc/trainings, under a name made of all that they depend on.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jscgc import preflight, stages, tracking
from jscgc.config import digest
from jscgc.files import atomic, check_folder, read_json, sha256
from jscgc.method import METHODS, PARTS, network
from jscgc.options import count
from jscgc.params import Params, load_params
from jscgc.parser import user_path
from jscgc.registry import nearest
from pipeline import apart
from pipeline.stage import DATA, MODELS

PLACE = Path(".jscgc/trainings")


def planned(asked: Sequence[str], params: Params) -> list[str]:
    """The named networks, in the order in which they can be trained.

    Raises:
        ValueError: one is not trained by these parameters, or would be the same for every seed.
    """
    known = [*params.trained, *params.finetuned]
    for name in asked:
        if name not in known:
            raise ValueError(f"params.yaml trains no {name!r}: {nearest(name, known)}choose from {', '.join(known)}")
        if not stages.trains(name) and not set(asked) & set(stages.before(name)):
            made_of = ", ".join(need for need in stages.stage(name).needs if need in params.trained)
            raise ValueError(f"{name}: nothing of it is trained; name what it is made of, too: {made_of}")
    every = dict.fromkeys(result for name in asked for result in (*stages.before(name), name))
    return [result for result in every if result in asked]


class Trainings:
    """Trains named networks into OUT/TRAINING/models.

    Args:
        names: as of `planned`.
        params: whose seed is training 0's.
    """

    def __init__(self, names: Sequence[str], params: Params, out: Path) -> None:
        self._names, self._params, self._out = names, params, out
        self._group = f"trainings-{digest(list(names), params, str(out))}"
        self._tags = {"commit": tracking.commit(Path()), "profile": params.profile}

    def check(self) -> None:
        """Whether all is there that the trainings read.

        Raises:
            ValueError: something is missing; says what to run.
        """
        needs = dict.fromkeys(need for name in self._names for need in (*stages.stage(name).needs, *_beside(name)))
        missing = [need for need in needs if need not in self._names and not (DATA / stages.place(need)).exists()]
        if missing:
            run = " ".join(map(stages.name_of, missing))
            raise ValueError(f"{DATA / stages.place(missing[0])} is missing; run: dvc repro {run}")

    def run(self, seeds: int) -> None:
        """Train them all, seed by seed, as one group of MLflow."""
        tags = self._tags | {"jscgc.methods": ", ".join(self._names), "jscgc.trainings": str(seeds)}
        name = f"trainings {', '.join(self._names)}"
        with _recorded(self._group, name, self._params.model_dump(mode="json"), tags):
            for training in range(seeds):
                for result in self._names:
                    self._make(result, training)

    def models(self, training: int) -> Path:
        """The folder of a training's models."""
        return self._out / str(training) / "models"

    def _make(self, result: str, training: int) -> None:
        models = self.models(training)
        params = self._params.model_copy(update={"seed": self._params.seed + training})
        inputs = {
            need: models / need if need in self._names else DATA / stages.place(need)
            for need in stages.stage(result).needs
        }
        if not training and self._is_the_stage_s(result, inputs):
            _put(MODELS / result, models / result)
            print(f"{result}, training 0: copied from {MODELS / result}, which was trained so", flush=True)
        else:
            self._train(result, training, params, inputs, models)
        for beside in _beside(result):
            if beside not in self._names:
                _put(MODELS / beside, models / beside)

    def _train(self, result: str, training: int, params: Params, inputs: Mapping[str, Path], models: Path) -> None:
        key = stages.checkpoint_key(result, params, inputs)
        place = PLACE / key
        if (place / result).exists():
            print(f"{result}, training {training}: done before", flush=True)
        else:
            print(f"{result}, training {training}: seed {params.seed}", flush=True)
            tags = self._tags | {"jscgc.method": result, "jscgc.training": str(training), "seed": str(params.seed)}
            identity, name = f"{self._group}-{result}-{training}-{key}", f"{result}, training {training}"
            with _recorded(identity, name, params.model_dump(mode="json"), tags, self._group) as logged:
                seconds = apart.made(result, params, inputs, place, place, logged.log)
            print(f"{result}, training {training}: {seconds:.0f} s", flush=True)
        _put(place / result, models / result)

    def _is_the_stage_s(self, result: str, inputs: Mapping[str, Path]) -> bool:
        """Whether training 0 would make what is in data/models: of the same parameters, from the same start."""
        description = MODELS / result / "model.json"
        if not description.exists():
            return False
        record = network(result).record(self._params)
        wanted = stages.stage(result).values(self._params) if record is None else dict(record)
        starts = [need for need in inputs if need in self._names]
        same_start = all((MODELS / need).exists() and sha256(inputs[need]) == sha256(MODELS / need) for need in starts)
        return bool(read_json(description).get("trained") == wanted and same_start)


def _beside(result: str) -> list[str]:
    """What lies beside a trained network: the VAE that it decodes with, and the prior."""
    return [need for need in stages.before(result) if need == "vae" or need in PARTS]


def _put(folder: Path, place: Path) -> None:
    """Have a folder of models at another place, too, whole or not at all; its files are linked where they can be."""

    def link(source: str, target: str) -> None:
        try:
            os.link(os.path.realpath(source), target)
        except OSError:  # another file system
            shutil.copy2(source, target)

    if not place.exists() or sha256(place) != sha256(folder):
        with atomic(place) as temporary:
            shutil.copytree(folder, temporary, copy_function=link)


@contextmanager
def _recorded(
    identity: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], under: str = ""
) -> Iterator[tracking.StageRun]:
    """A run of MLflow, which goes on when the same is trained on."""
    run = tracking.resumable_run(identity, name, params=params, tags=tags, root=Path(), under=under)
    status, said = "KILLED", "interrupted; the same command goes on with it"
    try:
        yield run
        status, said = "FINISHED", ""
    except Exception as error:
        status, said = "FAILED", f"{type(error).__name__}: {error}"
        raise
    finally:
        run.close(status, said)


def main() -> None:
    """Train, and say how to evaluate."""
    parser = argparse.ArgumentParser(
        "python -m pipeline.trainings", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("names", nargs="+", metavar="METHOD", help="what is trained anew for each seed")
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="trainings of each (default: 3)")
    parser.add_argument(
        "--out", type=user_path, default=DATA / "trainings", metavar="DIR", help="(default: data/trainings)"
    )
    a = parser.parse_args()
    check_folder(a.out)
    params = load_params().settled()
    params.check()
    preflight.check(params)
    names = planned(a.names, params)
    trainings = Trainings(names, params, a.out)
    trainings.check()
    trainings.run(a.seeds)
    methods = [name for name in names if name in METHODS]
    if methods:
        folders = " ".join(str(trainings.models(training)) for training in range(a.seeds))
        print(f"\njscgc evaluate --images FOLDER --models {folders} --methods {' '.join(methods)}")


if __name__ == "__main__":
    apart.as_command("trainings", main)
