"""Ray Tune: trials side by side, bad ones stopped early (ASHA). What is tried and what is remembered is the caller's.

Ray's own snapshots are not used to go on after a killed driver: they are seconds old, so trials would be lost or run twice, and
they are pickles. The caller's journal holds all that has happened; a fresh ASHA is told of it before anything starts.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from jscgc.cluster.session import memory_for, session

if TYPE_CHECKING:
    from ray.tune.schedulers import AsyncHyperBandScheduler
    from ray.tune.search import Searcher

RETRIES = 2
"""Times that a trial whose worker died is started again."""
DIED = "its worker died"


class TrialFailed(Exception):
    """A trial can't succeed, whoever runs it: its training diverged, or its values do not work together."""


@dataclass(frozen=True)
class Assignment:
    """What a worker gets: a trial's name, its values (JSON-like), and the CPU cores that it may use."""

    trial: str
    values: dict[str, Any]
    cores: int = 1


Objective = Callable[[Assignment], Iterator[tuple[int, Mapping[str, float]]]]
"""Runs a trial in a worker; yields (rung, metrics), the metric searched for under `score`. It is not resumed once ASHA has
stopped the trial. An exception has the trial started again, TrialFailed ends it."""


class Search(Protocol):
    """The caller's side, called in the driver only, one call at a time."""

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """Name and values of the next trial to run; None: no more. An exception ends the whole search."""
        ...

    def scored(self, trial: str, rung: int, metrics: Mapping[str, float]) -> None:
        """A trial came to a rung. May be told twice of the same."""
        ...

    def ended(self, trial: str, error: str, final: bool) -> None:
        """A trial runs no more. error: why it failed, "" if it did not; final: whether another run would fail as well."""
        ...


@dataclass(frozen=True)
class Rungs:
    """ASHA's: their number, the factor of effort between two, and whether lower or higher scores are better."""

    count: int
    reduction: int
    better: Literal["lower", "higher"]


def tune(
    objective: Objective,
    search: Search,
    rungs: Rungs,
    *,
    past: Iterable[tuple[str, Mapping[int, float]]] = (),
    workers: int = 0,
    folder: Path,
) -> None:
    """Run a search until `search.next` has no more trials, on the cluster that RAY_ADDRESS names or on this machine's cores.

    Args:
        past: trials that ended in an earlier run of this search: name and score at each rung. ASHA compares with them.
        workers: trials at a time, 0 for one per core.
        folder: for what Ray writes; on a cluster all nodes must see it.

    Raises:
        KeyboardInterrupt: interrupted; running trials have been stopped.
        ValueError: Ray has no core now.
    """
    # Ray's own handler would go on for long after the first Ctrl-C; our trials need no saving.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a failed trial reports no score
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new one prints its tables on stdout, however silent it is asked to be
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what it has to say of trials, the search says
    with session(workers, quiet=True) as resources:
        import ray
        from ray import tune as ray_tune

        cores = int(resources.get("CPU", 0))
        if not (count := workers or min(cores, memory_for(resources))):
            raise ValueError(
                "Ray has no core free now; name the number of --workers for a cluster that grows on demand"
            )
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        each = max(1, min(cores // count, max(nodes, default=1)))  # a trial runs on one node
        gpus = min(1.0, resources.get("GPU", 0.0) / count)
        searcher = _searcher(search)
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(_trainable(objective, rungs.reduction, each), {"cpu": each, "gpu": gpus}),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher,
                scheduler=_asha(rungs, past),
                num_samples=-1,
                max_concurrent_trials=count,
                # A trial that is given the worker of another has, if it dies meanwhile, no second try with Ray.
                reuse_actors=False,
                trial_dirname_creator=lambda trial: f"{trial.config['trial']}-{trial.trial_id}",
            ),
            run_config=ray_tune.RunConfig(
                name=f"{os.getpid()}",
                storage_path=str(folder.absolute()),
                failure_config=ray_tune.FailureConfig(max_failures=RETRIES),
                verbose=0,
            ),
        )
        tuner.fit()


def _asha(rungs: Rungs, past: Iterable[tuple[str, Mapping[int, float]]]) -> AsyncHyperBandScheduler:
    from ray.tune.schedulers import AsyncHyperBandScheduler

    scheduler = AsyncHyperBandScheduler(
        time_attr="effort",
        metric="score",
        mode="min" if rungs.better == "lower" else "max",
        max_t=rungs.reduction ** (rungs.count - 1),
        grace_period=1,
        reduction_factor=rungs.reduction,
    )
    for name, scores in past:
        trial: Any = SimpleNamespace(trial_id=f"past-{name}")
        controller: Any = None  # ASHA looks at neither's other attributes
        scheduler.on_trial_add(controller, trial)
        for rung in sorted(scores):
            scheduler.on_trial_result(controller, trial, {"effort": rungs.reduction**rung, "score": scores[rung]})
    return scheduler


def _trainable(objective: Objective, reduction: int, cores: int) -> Callable[[dict[str, Any]], None]:
    def run(config: dict[str, Any]) -> None:
        from ray.tune import report

        try:
            for rung, metrics in objective(Assignment(config["trial"], json.loads(config["values"]), cores)):
                report({"rung": rung, "effort": reduction**rung, "score": metrics["score"], "metrics": dict(metrics)})
        except TrialFailed as error:
            report({"failed": str(error)})
        except Exception as error:
            report({"broken": f"{type(error).__name__}: {' '.join(str(error).split())}"})
            raise

    return run


def _searcher(search: Search) -> Searcher:
    from ray.tune.search import Searcher

    class Bridge(Searcher):
        """Ray asks and tells by its own ids; the search by the trials' names."""

        def __init__(self) -> None:
            super().__init__(metric="score", mode="min")
            self._names: dict[str, str] = {}
            self._failed: dict[str, tuple[str, bool]] = {}

        def suggest(self, trial_id: str) -> Any:
            proposed = search.next()
            if proposed is None:
                return Searcher.FINISHED
            self._names[trial_id] = proposed[0]
            return {"trial": proposed[0], "values": json.dumps(proposed[1])}

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            if "failed" in result or "broken" in result:
                self._failed[trial_id] = (result.get("failed") or result["broken"], "failed" in result)
            elif "rung" in result:
                self._failed.pop(trial_id, None)  # it was started again, and gets on
                metrics = {key.removeprefix("metrics/"): v for key, v in result.items() if key.startswith("metrics/")}
                search.scored(self._names[trial_id], result["rung"], metrics)

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            self.on_trial_result(trial_id, result or {})  # of the result that ends a trial Ray tells here only
            why, final = self._failed.get(trial_id, (DIED if error else "", False))
            search.ended(self._names[trial_id], why, final)

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the search keeps its own journal."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing was saved."""

        def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
            """Nothing either."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return object, ()  # Ray pickles its whole configuration for a restore; the search holds open files

    return Bridge()
