"""A sweep before it starts: checked, with a folder of its own that no other sweep shares."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from jscgc import stages
from jscgc.config import ParamsError, digest, read_yaml
from jscgc.files import held, read_json, sha256, write_json
from jscgc.params import Params, load_params
from jscgc.sweep import chain
from jscgc.sweep.journal import Journal
from jscgc.sweep.propose import Proposer
from jscgc.sweep.space import Space, changed, check, keys, read_space
from jscgc.sweep.trial import Task

PLAN, JOURNAL = "plan.json", "journal.jsonl"


@dataclass(frozen=True)
class Plan:
    """A checked sweep.

    params: of params.yaml. present: the dotted keys that its file has. base: params with the space's `fixed`. missing: what
    `dvc repro` must have left for it, and has not.
    """

    file: Path
    space: Space
    params: Params
    present: tuple[str, ...]
    base: Params
    origin: chain.Origin
    missing: tuple[Path, ...]

    @property
    def better(self) -> Literal["lower", "higher"]:
        """Which scores of the space's metric are better."""
        from jscgc.metrics import info

        return info(self.space.metric).direction

    @property
    def keys(self) -> list[str]:
        """What is searched."""
        return list(self.space.space)

    @cached_property
    def task(self) -> Task:
        """What the workers need. Trials are scored on validation photographs: the test's are for what comes of them.

        Raises:
            ParamsError: there are none.
        """
        from jscgc.data.prepared import split_files

        every = split_files(self.origin.data / "photos", "validation")
        if not every:
            raise ParamsError(f"{self.origin.data / 'photos'}: no validation photographs to score trials on")
        wanted = self.space.evaluate.photos
        photos = every[:: max(1, len(every) // wanted)][:wanted]
        return Task(self.space, self.base, self.origin, tuple(photos))

    def works(self, values: Any) -> Params:
        """The parameters of a trial.

        Raises:
            ParamsError: these values do not work together.
        """
        return changed(self.base, values)

    def retrained(self) -> list[str]:
        """The stages that are trained in trials, in order."""
        order = [*stages.before(self.space.system), self.space.system]
        touched = {
            stage
            for stage in order
            if self.origin.touched(stage, self.base)
            or any(chain.acts_on_stage(stage, key, self.base) for key in self.keys)
        }
        if not self.origin.left(self.space.system).exists():
            touched.add(self.space.system)
        return [stage for stage in order if stage in touched]

    def identity(self) -> str:
        """Stands for all that the scores depend on, but for the code: what makes a sweep this one and no other."""
        kept = {*stages.before(self.space.system), self.space.system} - {"photos", *self.retrained()}
        inputs = [self.origin.left(result) for result in sorted(kept)]
        checksums = {path.name: sha256(path) for path in inputs if path.exists()}
        photos = [(name, sha256(path)) for name, path in self.task.photos]
        return digest(self.space.model_dump(mode="json", exclude={"trials"}), self.params, checksums, photos)


def prepare(file: Path, params_file: Path, data: Path, out: Path | None, trials: int | None) -> Plan:
    """Read and check everything; nothing is written.

    Args:
        data: folder with latents, models and photos, as `dvc repro` leaves them.
        out: the sweep's folder; None: .jscgc/sweeps/NAME.
        trials: instead of the space file's.

    Raises:
        ParamsError: params.yaml or the space file is wrong; one line.
    """
    params = load_params(params_file).settled()  # first: its plugins may declare the system
    space = read_space(file)
    if trials is not None:
        space = space.model_copy(update={"trials": trials})
    base = check(space, params, file)
    place = out if out is not None else Path(".jscgc/sweeps") / space.name
    origin = chain.Origin(params, data.absolute(), place.absolute())
    plan = Plan(file, space, params, tuple(keys(read_yaml(params_file))), base, origin, ())
    try:
        Proposer(space, plan.works, plan.better).propose(0)
    except ParamsError as error:
        raise ParamsError(f"{file}: {error}") from None
    missing = chain.missing(space.system, origin, base, list(space.space))
    return replace(plan, missing=tuple(missing))


@contextmanager
def opened(plan: Plan, fresh: bool) -> Iterator[tuple[str, Journal]]:
    """Have the sweep's folder for oneself: the sweep's name in MLflow, and its journal.

    Args:
        fresh: forget what is there.

    Raises:
        ValueError: something is missing; another process is at this sweep; the folder is another sweep's, or none's.
    """
    if plan.missing:
        raise ValueError(f"{plan.missing[0]} is missing; run: dvc repro {stages.name_of(plan.missing[0].name)}")
    out = plan.origin.out
    at_it = f"{out}: process {{holder}} is at this sweep; wait for it or stop it"
    with held(out.with_name(f".{out.name}.lock"), at_it):
        if out.exists() and any(out.iterdir()) and not (out / PLAN).exists():
            raise ValueError(f"{out}: not empty and no sweep's folder; name another with --out")
        identity = plan.identity()
        if fresh and out.exists():
            shutil.rmtree(out)
        if (out / PLAN).exists():
            document = read_json(out / PLAN)
            if document.get("identity") != identity:
                raise ValueError(
                    f"{out} holds another sweep: the space, params.yaml, models or photographs were others (its space is in "
                    f"{out / PLAN}); --fresh forgets it, --out names another folder"
                )
        else:
            document = {"sweep": f"sweep-{plan.space.name}-{uuid.uuid4().hex[:8]}", "identity": identity}
            write_json(out / PLAN, {**document, "space": plan.space.model_dump(mode="json", exclude_none=True)})
        yield document["sweep"], Journal(out / JOURNAL)
