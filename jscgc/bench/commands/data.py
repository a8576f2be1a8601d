"""`jscgc bench data`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc.bench.benchmark import Benchmark, Measurement, count, machine
from jscgc.machine import cores


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--images", nargs="+", type=Path, required=True, metavar="FOLDER", help="photographs")
    sub.add_argument("--count", type=count, default=300, help="of them, evenly spread")
    sub.add_argument("--side", type=count, default=256, help="shorter side to which they are reduced, pixels")
    sub.add_argument("--crop", type=count, help="side of the crops, pixels; default: --side")
    sub.add_argument("--readers", nargs="+", type=count, default=sorted({1, cores()}), help="processes that read them")
    sub.add_argument("--vae", type=Path, default=Path("data/models/vae"), help="whose latents; left out if not there")
    sub.add_argument("--project", type=count, metavar="N", help="hours and GB for so many, from what was measured")


def run(a: argparse.Namespace) -> Measurement:
    from jscgc.bench.data import bench_data
    from jscgc.data.folders import find_photos
    from jscgc.device import resolve_device

    every = find_photos(a.images)
    photos = every[:: max(1, len(every) // a.count)][: a.count]
    vae = a.vae if a.vae.exists() else None
    device = str(resolve_device("auto"))
    rows = bench_data(photos, a.side, a.crop or a.side, a.readers, vae, device, a.project or 0)
    beside: dict[str, Any] = {"machine": machine() | {"device": device, "cores": cores()}}
    if vae is None:
        beside["latents"] = f"left out: {a.vae} is not there"
    if a.project:
        beside["projected"] = f"columns projected_*: {a.project} photographs at the measured rates and sizes; not run"
    return Measurement(f"data, {len(photos)} photographs at {a.side} pixels", rows, lambda _: beside)


DATA = Benchmark(
    "data",
    "photographs a second and bytes of each part of preparing them, and what many would take",
    add_arguments,
    run,
    order=10,
    needs={"pipeline": ("imagehash",)},
)
