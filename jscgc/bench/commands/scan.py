"""`jscgc bench scan`: its arguments."""

from __future__ import annotations

import argparse

from jscgc.bench.benchmark import Benchmark, Measurement, count, machine


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--lengths", nargs="+", type=count, default=[256, 1024, 4096, 16384], help="steps")
    sub.add_argument("--batch", type=count, default=1, help="sequences at once")
    sub.add_argument("--heads", type=count, default=2, help="of 32 channels and a state of 16 each")
    sub.add_argument("--rounds", type=count, default=5, help="runs of each, taking turns")
    sub.add_argument("--limit-s", type=count, default=20, help="skip what would need longer for one run")


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.scan import bench_scan

    device = machine()["device"]
    rows = bench_scan(a.lengths, batch=a.batch, heads=a.heads, rounds=a.rounds, limit_s=float(a.limit_s), device=device)
    title = f"scan, batch {a.batch}, {a.heads} heads of 32 channels, state 16"
    return Measurement(title, rows, lambda _: {"machine": machine()})


SCAN = Benchmark(
    "scan", "our scan beside its peers: time and memory, forward and with gradients", add_arguments, run, order=1
)
