"""`jscgc bench evaluate`: its arguments."""

from __future__ import annotations

import argparse

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Measurement, count, machine


def add_arguments(sub: argparse.ArgumentParser) -> None:
    options.add_models(sub)
    sub.add_argument("--methods", nargs="+", default=["mambajscc_psnr", "jscgc", "diffjscc"], metavar="METHOD")
    sub.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[0.0, 10.0], help="decibels")
    sub.add_argument("--cbr", nargs="+", default=["8/768"], help="such as 2/768 8/768")
    sub.add_argument("--draws", type=count, default=2, help="of every condition")
    sub.add_argument("--information-points", type=options.natural, default=6, help="of the first draw's estimate")
    sub.add_argument("--max-side", type=options.natural, default=256, help="reduce the test photographs to it; 0: keep")
    sub.add_argument("--workers", nargs="+", type=count, default=[1, 2], help="numbers of Ray workers")
    sub.add_argument("--rounds", type=count, default=1, help="of everything, taking turns")


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.evaluating import bench_evaluation
    from jscgc.channel.accounting import parse_rate
    from jscgc.data.builtin import builtin_photos
    from jscgc.evaluation.jobs import every_job
    from jscgc.evaluation.params import EvaluateParams
    from jscgc.evaluation.protocol import Protocol
    from jscgc.evaluation.worker import Setup
    from jscgc.flow.params import SampleParams
    from jscgc.systems.load import load_system

    common = set.intersection(*(set(load_system(name, a.models).rates) for name in a.methods))
    params = EvaluateParams(
        methods=a.methods,
        channels=["awgn"],
        snr_db=a.snr_db,
        rates=[parse_rate(cbr, tuple(common)) for cbr in a.cbr],
        seeds=a.draws,
        patch=64,
        information_points=a.information_points,
    )
    photos = [(photo.name, photo.path) for photo in builtin_photos() if photo.split == "test"]
    protocol = Protocol.of(photos, params, SampleParams(steps=4, guidance=1.5), seed=0, max_side=a.max_side)
    metrics = tuple(metric.name for metric in protocol.metrics)
    setup = Setup(a.models.absolute(), tuple(photos), a.max_side, protocol.sample, protocol.patch, "cpu", metrics)
    names = [name for name, _ in photos]
    grid = protocol.channels, protocol.snr_db, protocol.rates
    jobs = every_job(a.methods, *grid, names, protocol.seeds, 0, False, information_points=protocol.information_points)
    rows = bench_evaluation(setup, protocol, jobs, a.workers, a.rounds)
    return Measurement("evaluation grid, one thread a worker", rows, lambda _: {"machine": machine()})


EVALUATE = Benchmark(
    "evaluate",
    "a part of the evaluation grid as a bare loop, and on Ray with one worker and more",
    add_arguments,
    run,
    order=7,
    needs={"pipeline": ("pandas", "pyarrow", "ray", "skimage", "sklearn")},
)
