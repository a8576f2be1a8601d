"""One evaluation: plan the grid, look up what is finished, run the rest on Ray, write table and pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc import cluster
from jscgc.channel.spec import file_name
from jscgc.evaluation.headline import Headline, by_snr, headline
from jscgc.evaluation.identity import Identities, JobKey
from jscgc.evaluation.jobs import CANNOT_OPERATE, ORIGINAL, Job, JobResult, every_job, spared
from jscgc.evaluation.nodes import Batches, MakeWorker, needed
from jscgc.evaluation.params import EvaluateParams, snr_step
from jscgc.evaluation.protocol import Protocol
from jscgc.evaluation.received import read, write
from jscgc.evaluation.store import ResultStore
from jscgc.evaluation.table import tabulate, whole, write_csv, write_pictures
from jscgc.evaluation.trainings import trainings
from jscgc.evaluation.worker import Setup
from jscgc.evaluation.worst import judged, to_show, worst
from jscgc.flow.params import SampleParams
from jscgc.method import METHODS
from jscgc.precision import Precision
from jscgc.systems.load import model_for

log = logging.getLogger(__name__)
PICTURES = 6
"""Photographs whose received pictures are kept, beside those that are received worst."""
ALL_CORES = cluster.Workers()
"""One worker per core."""
WAIT_S = 1.0
"""Seconds between two looks at what another evaluation is at."""


@dataclass(frozen=True)
class Evaluation:
    """table: results.csv; timing: medians per method and size; jobs: of the grid, of which `stored` had been run before.

    The few that are run again for the pictures of the worst photographs do not count.
    """

    table: pd.DataFrame
    timing: list[dict[str, Any]]
    protocol: Protocol
    jobs: int
    stored: int

    def _means(self) -> pd.Series:
        keys = ["method", "channel", "snr_db", "cbr", "metric"]
        means: pd.Series = whole(self.table).groupby(keys)["value"].mean()
        return means

    def of(self, method: str) -> pd.DataFrame:
        """The rows of one method."""
        return self.table[self.table["method"] == method]

    def curves(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Means over SNR as (step, scalars): one curve per metric, method, channel and rate. A step is a hundredth of a dB, since
        MLflow's are whole numbers."""
        means = self._means().reset_index()
        for snr_db, part in means.groupby("snr_db"):
            rates = (part["cbr"] * 768).round().astype(int).astype(str)
            names = (
                part["metric"]
                + "/"
                + part["method"].map(file_name)
                + "/"
                + part["channel"].map(file_name)
                + "/"
                + rates
                + "_768"
            )
            yield snr_step(float(str(snr_db))), dict(zip(names, part["value"], strict=True))

    def headline(self) -> Headline:
        """The few numbers of the middle condition."""
        return headline(self.table, self.protocol)

    def by_snr(self) -> pd.DataFrame:
        """Means over SNR, see `headline.by_snr`."""
        return by_snr(self.table)


def evaluate(
    models: Path,
    photos: Sequence[tuple[str, Path]],
    params: EvaluateParams,
    sample: SampleParams,
    *,
    seed: int,
    device: str,
    out: Path,
    pictures: Path | None = None,
    max_side: int = 0,
    controls: bool = False,
    store: Path | None = None,
    fresh: bool = False,
    precision: Precision = "float32",
    conditions: Sequence[tuple[str, float, int]] = (),
    tuned: Collection[str] | None = None,
) -> Evaluation:
    """Run the grid and write `out` (and `pictures`); the same seed gives the same table, whatever the number of workers.

    Args:
        models: folder of trained models.
        photos: name and path of each; names are distinct.
        seed: draws use seed, seed + 1, ... (params.seeds of them).
        max_side: photos are reduced to this longer side, 0 to keep their size.
        controls: also run jscgc with wrong symbols and with none (see `every_job`).
        store, fresh: as of `follow`.
        precision: that networks transmit in, decided here for all workers.
        conditions: as of `Protocol.of`.
        tuned: names of the fine-tuned models that count: what a link left that is gone does not. None: all that lie there.
    """
    protocol = Protocol.of(
        photos,
        params,
        sample,
        seed=seed,
        max_side=max_side,
        controls=controls,
        precision=precision,
        conditions=conditions,
    )
    return follow(
        protocol,
        models,
        photos,
        params.methods,
        device=device,
        out=out,
        pictures=pictures,
        workers=cluster.Workers(params.workers, params.cpus_per_worker, params.gpus_per_worker),
        store=store,
        fresh=fresh,
        tuned=tuned,
    )


def follow(
    protocol: Protocol,
    models: Path,
    photos: Sequence[tuple[str, Path]],
    methods: Sequence[str],
    *,
    device: str,
    out: Path,
    pictures: Path | None = None,
    shown: int = PICTURES,
    workers: cluster.Workers = ALL_CORES,
    store: Path | None = None,
    fresh: bool = False,
    further: Sequence[Path] = (),
    received: Path | None = None,
    export: Path | None = None,
    tuned: Collection[str] | None = None,
) -> Evaluation:
    """Measure methods by a protocol: look finished jobs up, run the others, write `out` (and `pictures`).

    Args:
        models: folder of trained models.
        photos: name and path of each of the protocol's photographs (see `Protocol.find`).
        pictures: folder for the received pictures of the first `shown` photographs, and at the headline's place of those that are
            received worst (see `worst`); None: none are kept.
        workers: of Ray, on the cluster that RAY_ADDRESS names, else on this machine. Their GPUs count on a GPU only.
        store: where finished jobs are kept and looked up; None: nowhere.
        fresh: run every job; what the store has is replaced.
        further: folders of models of further trainings: 1, 2, ..., if `models` has training 0.
        received: folder with pictures that other methods received, see `evaluation.received`, which are scored like ours.
        export: folder for all received pictures, which `received` reads.
        tuned: as of `evaluate`.

    Raises:
        ValueError: a method is not trained, or a metric of the protocol can't run here; pictures that do not fit.
    """
    protocol.check_metrics()
    given = read(received.absolute(), protocol, photos) if received else {}
    others = list(dict.fromkeys(place.method for place in given))
    if both := [name for name in others if name in methods]:
        raise ValueError(f"{both[0]} is among --methods and in {received}; call it something else there")
    _check_apart([*methods, *others])
    setup = Setup(
        models.absolute(),
        tuple((name, path.absolute()) for name, path in photos),
        protocol.max_side,
        protocol.sample,
        protocol.patch,
        _device(device),
        tuple(metric.name for metric in protocol.metrics),
        tuple(folder.absolute() for folder in further),
        protocol.precision,
        given,
    )
    there = trainings(methods, (models, *further)) | dict.fromkeys(others, (0,))
    jobs = every_job(
        methods,
        protocol.channels,
        protocol.snr_db,
        protocol.rates,
        [name for name, _ in photos],
        protocol.seeds,
        shown if pictures else 0,
        protocol.controls,
        protocol.dial,
        protocol.dial_steps,
        protocol.information_points,
        protocol.reference_steps,
        there,
        protocol.sample.calibrated.guidance,
        (at.snr_db, at.rate) if (at := protocol.reference_at) else None,
        [condition.place for condition in protocol.conditions],
    )
    jobs = at_their_models(jobs, setup, tuned)
    shown_images = [name for name, _ in photos][: shown if pictures else 0]
    jobs += [
        Job(
            control="none",
            picture=place.image in shown_images and place.seed == protocol.seeds[0],
            received=True,
            **place._asdict(),
        )
        for place in given
    ]
    if export:
        jobs = [replace(job, picture=True) if job.plain else job for job in jobs]
    jobs = spared(jobs, protocol.headline_metrics, protocol.headline_place)
    run = partial(_run, setup, workers)
    identities = Identities(protocol, setup.models, setup.device, setup.further, given)

    def results(jobs: Sequence[Job], fresh: bool) -> tuple[dict[Job, JobResult], int, int]:
        """Of every job; how many are different ones, and were stored."""
        if store is None:
            found = dict(run(jobs))
            return {job: found[job] for job in jobs}, len(jobs), 0
        keyed = {job: identities.of(job) for job in jobs}
        by_key, stored = _complete(ResultStore(store), list(keyed.items()), run, protocol.hash, fresh)
        # Without the pictures that another evaluation wanted.
        every = {job: by_key[key] if job.picture else replace(by_key[key], png=b"") for job, key in keyed.items()}
        return every, len(by_key), stored

    done, count, stored = results(jobs, fresh)
    collected = tabulate(done.items(), protocol.sets)
    table = collected.table.assign(protocol=protocol.hash)
    evaluation = Evaluation(table, collected.timing, protocol, count, stored)
    if pictures:
        place = evaluation.headline()
        images = worst(table, place, judged([*methods, *others]))
        more = [replace(job, picture=True) for job in to_show(jobs, images, place, there)]
        if more:
            log.info("received worst, for their pictures: %s", ", ".join(images))
            done |= results(more, fresh=False)[0]
        write_pictures(done.items(), pictures)
    if export:
        write(done.items(), export)
    write_csv(table, out)
    return evaluation


def at_their_models(jobs: Sequence[Job], setup: Setup, tuned: Collection[str] | None = None) -> list[Job]:
    """The same jobs, each by the model of its method that is for its link.

    Raises:
        ValueError: none sends at a job's rate, although some are fine-tuned.
    """

    @cache
    def model(method: str, training: int, channel: str, snr_db: float, rate: int) -> str:
        if method == ORIGINAL or METHODS[method].network is None:
            return ""
        name = model_for(method, setup.folder(training), channel, snr_db, rate, tuned)
        return "" if name == method else name

    return [replace(job, model=model(job.method, job.training, job.channel, job.snr_db, job.rate)) for job in jobs]


def _check_apart(names: Iterable[str]) -> None:
    """Whether the files of these methods have names of their own.

    Raises:
        ValueError: two have the same.
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(file_name(name).casefold(), name)) != name:
            raise ValueError(
                f"methods {other} and {name} would have the same file names; call one of them something else"
            )


def _run(setup: Setup, workers: cluster.Workers, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobResult]]:
    """Jobs and results, as they come."""
    batches = Batches(setup.photos)
    return cluster.run_jobs(
        MakeWorker.of(setup, workers.cpus, jobs),
        batches.ordered(jobs),
        workers if setup.device == "cuda" else replace(workers, gpus=0.0),
        "evaluate",
        files=needed(setup, jobs),
        kind=batches.kind,
    )


def _device(name: str) -> str:
    """`cpu` or `cuda`: of this machine's, or where RAY_ADDRESS names a cluster, whether that has GPUs."""
    from jscgc.device import resolve_device

    if cluster.on_a_cluster():
        return cluster.device(name)
    return resolve_device(name).type


def _complete(
    store: ResultStore,
    keyed: Sequence[tuple[Job, JobKey]],
    run: Callable[[list[Job]], Iterable[tuple[Job, JobResult]]],
    protocol: str,
    fresh: bool,
) -> tuple[dict[JobKey, JobResult], int]:
    """The result of every key, and how many were in the store already.

    What another evaluation is at is not run a second time: once ours are done we wait for it, and run what it leaves undone.
    """
    wanted: dict[JobKey, Job] = {}
    for job, key in keyed:
        if key not in wanted or job.picture:
            wanted[key] = job
    results = {} if fresh else _look_up(store, wanted)
    stored = len(results)
    log.info("%d of %d jobs were in the store", stored, len(wanted))
    waited = False
    while left := {key: job for key, job in wanted.items() if key not in results}:
        with store.claim({key.key for key in left}) as free:
            ours = {key: job for key, job in left.items() if key.key in free}
            if not fresh:
                results |= _look_up(store, ours)  # what another evaluation has finished since we looked
            todo = {job: key for key, job in ours.items() if key not in results}
            for job, result in run(list(todo)) if todo else ():
                store.save(todo[job], job, result, protocol)
                results[todo[job]] = result
        if not ours:
            if not waited:
                log.warning("another evaluation is at %d of the jobs; waiting for it", len(left))
            waited = True
            time.sleep(WAIT_S)
            if not fresh:
                results |= _look_up(store, left)
    return results, stored


def _look_up(store: ResultStore, wanted: Mapping[JobKey, Job]) -> dict[JobKey, JobResult]:
    """What the store has; of a job that keeps its picture only with a picture."""
    results = ((key, job, store.load(key)) for key, job in wanted.items())
    return {
        key: result
        for key, job, result in results
        if result is not None and (result.png or not job.picture or result.scores.get(CANNOT_OPERATE))
    }
