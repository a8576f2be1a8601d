"""`jscgc bench velocity`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Measurement, machine, on_air, side


def add_arguments(sub: argparse.ArgumentParser) -> None:
    options.add_models(sub)
    sub.add_argument("--images", nargs="+", type=Path, required=True, metavar="FOLDER", help="photographs")
    sub.add_argument("--methods", nargs="+", default=["jscgc", "diffjscc"], metavar="METHOD")
    sub.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    sub.add_argument("--snr-db", nargs="+", type=options.snr_db, default=[-5.0, 5.0], help="decibels")
    sub.add_argument("--cbr", nargs="+", default=["2/768", "8/768"], help="such as 2/768 8/768")
    sub.add_argument("--times", nargs="+", type=_time, default=[1.0, 0.75, 0.5, 0.25], help="1: noise alone")
    sub.add_argument("--crop", type=side, default=256, help="side of the crop from each centre, pixels")
    sub.add_argument("--seed", type=options.natural, default=0, help="of channel and noise")


def _time(text: str) -> float:
    t = options.number(text)
    if not 0 < t <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be above 0 and at most 1")
    return t


def run(a: argparse.Namespace) -> Measurement:
    import torch

    from jscgc.bench.velocity import bench_velocity
    from jscgc.data.crops import centre_crop
    from jscgc.data.folders import find_photos
    from jscgc.data.images import open_photo, to_tensor

    device = machine()["device"]
    systems, links = on_air(a, device)
    photos = torch.stack(
        [to_tensor(centre_crop(open_photo(path), a.crop, str(path))) for path in find_photos(a.images)]
    )
    rows = bench_velocity(systems, photos.to(device), links, a.times, a.seed)
    measured = {"photographs": len(photos), "crop": a.crop, "seed": a.seed, "machine": machine()}
    return Measurement("velocity", rows, lambda _: measured)


VELOCITY = Benchmark(
    "velocity", "the error of generative receivers' estimates at each time of the sampler", add_arguments, run, order=5
)
