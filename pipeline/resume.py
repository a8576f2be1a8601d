"""`make resume RUN=ID`: put a checkpoint that MLflow has where its stage looks, on whatever machine; STEP=N: that one, else the
newest.

The stage goes on from it if parameters, code and inputs are those that it was trained with: check out the run's commit first.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from jscgc import stages, tracking
from jscgc.files import atomic
from jscgc.params import Params, load_params
from jscgc.project import home
from pipeline import runs
from pipeline.checkpoints import PLACE, step_of


def fetch(run: str, step: int | None) -> Path:
    """The folder of checkpoints, STAGE-KEY, with the one of a run put in.

    Raises:
        ValueError: the run has none, or not that one; there is a newer one here.
    """
    client = tracking.client(Path())
    for folder in client.list_artifacts(run, PLACE):
        every = {step_of(one.path): one.path for one in client.list_artifacts(run, folder.path)}
        wanted = max(every) if step is None else step
        if wanted not in every:
            raise ValueError(
                f"run {run} has no checkpoint of step {wanted}; it has {', '.join(map(str, sorted(every)))}"
            )
        place = home() / "runs" / Path(folder.path).name
        here = [step_of(path.stem) for path in place.rglob("step-*.safetensors")]
        if here and max(here) >= wanted:
            raise ValueError(f"{place} has step {max(here)} already; remove that folder to go back to step {wanted}")
        with tempfile.TemporaryDirectory() as download:
            source = Path(client.download_artifacts(run, every[wanted], download))
            for file in sorted(
                (path for path in source.rglob("*") if path.is_file()), key=lambda path: path.suffix == ".safetensors"
            ):
                with atomic(place / file.relative_to(source)) as temporary:
                    shutil.copyfile(file, temporary)
        return place
    raise ValueError(
        f"run {run} has no checkpoints; `tracking.checkpoints` in params.yaml says how many a training keeps"
    )


def advice(place: Path, params: Params) -> str:
    """What to do next, and whether it will go on from there."""
    name, _, key = place.name.rpartition("-")
    every = ("vae", *params.trained, *params.finetuned)
    result = next(result for result in every if stages.file_of(stages.name_of(result)) == name)
    name = stages.name_of(result)
    missing = [str(path) for path in runs.inputs_of(result).values() if not path.exists()]
    if missing:
        return f"next: dvc repro {name} (makes {', '.join(missing)} first)"
    if runs.key_of(result, params) != key:
        return f"{name} would not go on from it: parameters, code or inputs differ from the run's; check out its commit"
    return f"next: dvc repro {name}"


def main() -> None:
    """Of the environment: RUN, STEP."""
    run, step = os.environ.get("RUN", ""), os.environ.get("STEP", "")
    if not run or (not step.isdigit() and step):
        raise ValueError("say which: make resume RUN=<id of the stage's run in MLflow> [STEP=<step of a checkpoint>]")
    place = fetch(run, int(step) if step else None)
    print(f"{place}\n{advice(place, load_params().settled())}")


if __name__ == "__main__":
    from jscgc.tracking.store import failures

    try:
        main()
    except failures() as error:
        sys.exit(f"resume: {' '.join(str(error).split())}")
