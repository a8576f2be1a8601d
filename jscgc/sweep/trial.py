"""One trial, in its worker: train to the next rung, score on validation photographs, report; interrupted anywhere, it goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jscgc.cluster.tune import Assignment, TrialFailed
from jscgc.files import read_json, write_json
from jscgc.params import Params
from jscgc.sweep import chain
from jscgc.sweep.space import Space, changed


@dataclass(frozen=True)
class Task:
    """What all trials of a sweep have in common; it travels to the workers.

    base: params.yaml with the space's `fixed`. photos: name and path of each that trials are scored on.
    """

    space: Space
    base: Params
    origin: chain.Origin
    photos: tuple[tuple[str, Path], ...]

    def __call__(self, assigned: Assignment) -> Iterator[tuple[int, dict[str, float]]]:
        """Run a trial: (rung, metrics), `score` among them.

        Raises:
            TrialFailed: its training diverged.
        """
        import torch

        from jscgc.training.loop import TrainingDiverged

        torch.set_num_threads(assigned.cores)
        params = changed(self.base, assigned.values)
        for rung in self.rungs(params):
            file = self.origin.out / "trials" / assigned.trial / f"rung-{rung}.json"
            if not file.exists():  # else its worker died after it was scored
                try:
                    write_json(file, self._score(params, rung))
                except TrainingDiverged as error:
                    raise TrialFailed(str(error)) from None
            yield rung, read_json(file)

    def rungs(self, params: Params) -> list[int]:
        """At which a trial is scored: all, or only the last where nothing is trained."""
        last = self.space.asha.rungs - 1
        trains = self.origin.folder(self.space.system, params) is not None
        return list(range(last + 1)) if trains else [last]

    def steps(self, params: Params, rung: int) -> int:
        """Training steps up to a rung."""
        return self.space.asha.steps(rung, chain.training_steps(self.space.system, params))

    def _score(self, params: Params, rung: int) -> dict[str, float]:
        steps = self.steps(params, rung)
        seen: dict[str, float] = {}

        def log(step: int, metrics: Mapping[str, float]) -> None:
            seen.update(metrics)

        whole = rung == self.space.asha.rungs - 1
        models = chain.train(self.space.system, params, self.origin, steps, whole, log)
        scores = evaluate(self.space, params, models, self.photos)
        if not all(map(math.isfinite, scores.values())):
            raise TrialFailed(f"{self.space.metric} after {steps} steps: {scores.get(self.space.metric, 'none')}")
        training = {f"train_{name}": value for name, value in seen.items() if name != "steps_per_second"}
        return {"score": scores[self.space.metric], "steps": float(steps), **scores, **training}


def evaluate(space: Space, params: Params, models: Path, photos: tuple[tuple[str, Path], ...]) -> dict[str, float]:
    """The space's metric and PSNR, means over its grid, in this process."""
    import torch

    from jscgc.device import resolve_device
    from jscgc.evaluation.jobs import every_job
    from jscgc.evaluation.table import tabulate, whole
    from jscgc.evaluation.worker import Setup, Worker
    from jscgc.precision import resolve_precision

    grid = space.evaluate
    names = tuple(dict.fromkeys((space.metric, "psnr")))
    device = resolve_device(params.device).type
    precision = resolve_precision(params.precision, device)
    setup = Setup(models, photos, 0, params.sample, params.evaluate.patch, device, names, precision=precision)
    worker = Worker(setup, torch.get_num_threads())
    images = [name for name, _ in photos]
    seeds = range(params.seed, params.seed + grid.seeds)
    jobs = every_job([space.system], grid.channels, grid.snr_db, grid.rates, images, seeds, 0, False)
    table = tabulate((job, worker.run(job)) for job in jobs).table
    rows = whole(table)
    rows = rows[rows["method"] == space.system]
    means = rows.groupby("metric")["value"].mean()
    return {name: float(means.get(name, math.nan)) for name in names}
