"""`jscgc bench paper-step`: its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc.bench.benchmark import Benchmark, Measurement, count, machine

TEXT = """\
the paper's training step and sampling at full size, on random weights: for a lent GPU of 80 GB or more. Joint steps with gradient
checkpointing, a checkpoint, a resume that is compared with it, a photograph received. By the operations it should take about ten
minutes on an H100, most of them for checkpoints of 24 GB (80 GB of room in --folder); it has not been tried at full size.
--scale small runs the same on a CPU in seconds"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="the configuration")
    sub.add_argument(
        "--profile", type=Path, default=Path("pipeline/profiles/paper.yaml"), metavar="YAML", help="laid over it"
    )
    sub.add_argument(
        "--scale", choices=("full", "small"), default="full", help="small: --layers 2 --width 64, tiny VAE"
    )
    sub.add_argument("--layers", type=count, metavar="N", help="of a small generator")
    sub.add_argument("--width", type=count, metavar="W", help="of a small generator and adapter, a multiple of 32")
    sub.add_argument("--batch", type=count, default=8, help="images of a step")
    sub.add_argument("--steps", type=_several, default=4, metavar="N", help="training steps, at least 2")
    sub.add_argument("--sample-steps", type=count, default=50, metavar="N", help="of the solver")
    sub.add_argument("--image", type=Path, metavar="PHOTO", help="what is received (default: one that is built in)")
    sub.add_argument("--folder", type=Path, metavar="DIR", help="for checkpoints (default: a temporary one)")
    sub.add_argument("--out", type=Path, metavar="FILE", help="also write the rows there, .json or .csv")


def _several(text: str) -> int:
    if (number := count(text)) < 2:
        raise argparse.ArgumentTypeError(f"{text} is too few: a resume is compared from the second step on")
    return number


def run(a: argparse.Namespace) -> Measurement:
    import csv
    import io
    import tempfile
    from collections.abc import Iterator
    from contextlib import ExitStack
    from typing import Any

    from jscgc.bench.paper_step import bench_paper_step, smaller
    from jscgc.data.builtin import builtin_photos
    from jscgc.data.images import open_photo, to_tensor
    from jscgc.device import resolve_device
    from jscgc.files import atomic, check_file, write_json
    from jscgc.params import load_params
    from jscgc.precision import resolve_precision

    params = load_params(a.params, a.profile)
    small = a.scale == "small" or a.layers is not None or a.width is not None
    if small:
        params = smaller(params, a.layers or 2, a.width or 64)
    device = resolve_device("auto").type
    if device == "cpu" and not small:
        raise ValueError("bench paper-step at full size needs a GPU, and torch sees none; --scale small runs on a CPU")
    if a.out and a.out.suffix not in (".json", ".csv"):
        raise ValueError(f"--out {a.out}: name a .json or a .csv file")
    if a.out:
        check_file(a.out)
    if a.folder and a.folder.exists() and any(a.folder.iterdir()):
        raise ValueError(f"--folder {a.folder}: not empty; name a new one")
    image = a.image or next(photo.path for photo in builtin_photos() if photo.name == "coffee")
    photo = to_tensor(open_photo(image))
    precision = resolve_precision("auto", device)
    settings: Any = {"batch": a.batch, "steps": a.steps, "sample_steps": a.sample_steps}
    where = machine() | {"precision": precision, "profile": params.profile, "scale": "small" if small else "full"}

    def rows() -> Iterator[dict[str, Any]]:
        done: list[dict[str, Any]] = []
        with ExitStack() as stack:
            folder = a.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jscgc-paper-step-")))
            folder.mkdir(parents=True, exist_ok=True)
            for row in bench_paper_step(params, photo, folder, device=device, precision=precision, **settings):
                done.append(row)
                yield row
        if a.out and a.out.suffix == ".json":
            write_json(a.out, {"rows": done, "machine": where, **settings})
        elif a.out:
            text = io.StringIO()
            table = csv.DictWriter(text, fieldnames=list(done[0]))
            table.writeheader()
            table.writerows(done)
            with atomic(a.out) as temporary:
                temporary.write_text(text.getvalue(), encoding="utf-8")

    return Measurement("paper-step", rows(), lambda _: {"machine": where, **settings})


PAPER_STEP = Benchmark("paper-step", TEXT, add_arguments, run, order=9)
