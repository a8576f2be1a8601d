"""`jscgc bench train`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc.bench.benchmark import Benchmark, Comparison, Measurement, count, machine


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="sizes, batches and what learns")
    sub.add_argument("--rounds", type=count, default=5, help="steps of each, taking turns")


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.training import bench_training
    from jscgc.device import resolve_device
    from jscgc.params import load_params
    from jscgc.precision import resolve_precision

    params = load_params(a.params)
    if params.vae.source != "nano":
        raise ValueError(f"{a.params}: vae.source is {params.vae.source}; nano's networks are what is measured")
    device = str(resolve_device(params.device))
    precision = resolve_precision(params.precision, device)
    title = f"training steps, profile {params.profile}"
    where = machine() | {"device": device, "precision": precision}
    return Measurement(title, bench_training(params, a.rounds, device, precision), lambda _: {"machine": where})


TRAIN = Benchmark(
    "train",
    "training steps of params.yaml's networks beside this machine's matrix products",
    add_arguments,
    run,
    order=4,
    comparison=Comparison("ms", ("network",), lambda a: ["--rounds", str(a.rounds)]),
)
