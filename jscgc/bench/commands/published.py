"""`jscgc bench published`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc import options
from jscgc.bench.benchmark import Benchmark, Measurement, Row
from jscgc.files import check_file


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="the 24 images of Kodak")
    sub.add_argument("--workers", type=options.natural, default=0, help="Ray workers; 0: one per core")
    sub.add_argument("--out", type=Path, default=Path("published.csv"), metavar="CSV", help="the table")


def run(a: argparse.Namespace) -> Measurement:
    check_file(a.out, ("figure", "setting", "published", "ours"))
    from jscgc.bench.published import bench_published, write_table
    from jscgc.data.folders import find_photos

    photos = find_photos([a.images])
    if not photos:
        raise ValueError(f"{a.images}: no photographs here")

    def beside(compared: list[Row]) -> dict[str, Any]:
        write_table(compared, a.out)
        beyond = [f"{row['figure']}, {row['setting']}" for row in compared if abs(row["difference"]) > row["tolerance"]]
        return {"beyond_tolerance": beyond, "out": str(a.out)}

    return Measurement("beside published figures", bench_published(photos, a.workers), beside)


PUBLISHED = Benchmark(
    "published",
    "separation beside published figures, and 5G's LDPC codes beside the theory (15 minutes)",
    add_arguments,
    run,
    order=9,
    needs={"pipeline": ("pandas", "ray"), "channels": ("scipy", "sionna")},
)
