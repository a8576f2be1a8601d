"""`jscgc bench transmit`: its arguments."""

from __future__ import annotations

import argparse

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Comparison, Measurement, count, machine


def add_arguments(sub: argparse.ArgumentParser) -> None:
    options.add_models(sub)
    sub.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="on latents; none: every trained one")
    sub.add_argument(
        "--sizes", nargs="+", type=_size, default=[(256, 256), (768, 512), (2048, 1365)], metavar="WxH", help="pixels"
    )
    sub.add_argument("--channel", type=options.channel, default="awgn", help="to send over")
    sub.add_argument("--snr-db", type=options.snr_db, default=5.0, help="decibels")
    sub.add_argument("--cbr", default="8/768", help="such as 2/768")
    sub.add_argument("--rounds", type=count, default=10, help="transmissions of each, taking turns")
    options.add_sampling(sub)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not cross:
        raise argparse.ArgumentTypeError(f"{text!r} must be WIDTHxHEIGHT in pixels, such as 768x512")
    return count(width), count(height)


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.transmission import bench_transmission
    from jscgc.channel.accounting import parse_rate
    from jscgc.device import resolve_device
    from jscgc.systems.base import Link
    from jscgc.systems.latent import LatentSystem
    from jscgc.systems.load import load_system, trained_systems

    device = resolve_device(a.device)
    names = a.methods or trained_systems(a.models)
    systems = {name: load_system(name, a.models, device) for name in dict.fromkeys(names)}
    if not systems:
        raise ValueError(f"{a.models}: no trained models here; name the place with --models")
    learned = {name: system for name, system in systems.items() if isinstance(system, LatentSystem)}
    if other := [name for name in systems if name not in learned]:
        raise ValueError(f"{other[0]} is no learned method; its times are in `jscgc transmit`")
    rate = parse_rate(a.cbr, tuple(set.intersection(*(set(system.rates) for system in learned.values()))))
    link = Link(a.channel, a.snr_db, rate)
    rows = bench_transmission(learned, a.sizes, link, options.sample(a), a.rounds, str(device))
    where = machine() | {"device": str(device)}
    return Measurement(f"transmission, {a.channel}, CBR {a.cbr}", rows, lambda _: {"machine": where})


def _given(a: argparse.Namespace) -> list[str]:
    named = ["--methods", *a.methods] if a.methods else []
    sizes = [f"{width}x{height}" for width, height in a.sizes]
    return [*named, "--sizes", *sizes, "--channel", a.channel, "--cbr", a.cbr, "--rounds", str(a.rounds)]


TRANSMIT = Benchmark(
    "transmit",
    "the time of every part of a transmission, median and 95th percentile",
    add_arguments,
    run,
    order=3,
    comparison=Comparison("median_ms", ("method", "width", "height", "part"), _given),
)
