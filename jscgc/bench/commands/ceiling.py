"""`jscgc bench ceiling`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Measurement, machine, on_air


def add_arguments(sub: argparse.ArgumentParser) -> None:
    options.add_models(sub)
    sub.add_argument("--images", nargs="+", type=Path, required=True, metavar="FOLDER", help="photographs")
    sub.add_argument("--methods", nargs="+", default=["jscgc", "diffjscc"], metavar="METHOD", help="on latents")
    sub.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    sub.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[5.0], help="decibels")
    sub.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    options.add_sampling(sub)


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.ceiling import bench_ceiling
    from jscgc.data.folders import find_photos
    from jscgc.data.images import open_photo, to_tensor
    from jscgc.device import resolve_device

    device = resolve_device(a.device)
    systems, links = on_air(a, device)
    paths = find_photos(a.images)
    distinct = len({path.name for path in paths}) == len(paths)
    photos = {path.name if distinct else str(path): to_tensor(open_photo(path)).to(device) for path in paths}
    rows = bench_ceiling(systems, photos, links, options.sample(a), a.seed)
    measured = {"photographs": len(photos), "seed": a.seed, "machine": machine() | {"device": str(device)}}
    return Measurement("ceiling", rows, lambda _: measured)


CEILING = Benchmark(
    "ceiling",
    "the VAE alone, which no receiver of its latents can exceed, beside methods: metrics, and detail by size",
    add_arguments,
    run,
    order=6,
    needs={"pipeline": ("pandas",), "metrics": ("efficientnet_lite_pytorch", "cleanfid")},
)
