"""`jscgc plan`: what a configuration costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jscgc import options, printing
from jscgc.parser import add_json, emit

DESCRIPTION = """\
Parameters, memory and operations of every part, and what training costs: operations of a step, memory of each GPU, hours of each
phase. Built and counted on the meta device: no weights are downloaded or allocated.

  jscgc plan                                           the configuration in params.yaml
  jscgc plan --profile pipeline/profiles/paper8.yaml   the paper's on eight GPUs, beside its Table I
  jscgc plan --profile pipeline/profiles/paper8.yaml --tflops 312 --utilisation 0.35    on GPUs of another kind
  jscgc plan --profile pipeline/profiles/paper.yaml --measure      and one real layer of each kind, timed here
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `plan` can be told."""
    add_json(sub)
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="the configuration")
    sub.add_argument("--profile", type=Path, metavar="YAML", help="laid over it, such as pipeline/profiles/paper.yaml")
    sub.add_argument(
        "--side", type=options.count, default=256, help="of the square photo that operations are counted for, pixels"
    )
    sub.add_argument(
        "--tflops",
        type=options.positive,
        default=989.0,
        metavar="X",
        help="of a GPU at its best, TFLOP/s (default: an H100)",
    )
    sub.add_argument(
        "--utilisation",
        type=_share,
        default=0.4,
        metavar="X",
        help="share of that which is reached, above 0 to 1 (default: 0.4, assumed)",
    )
    sub.add_argument("--measure", action="store_true", help="also time one real layer of each kind on this machine")


def _share(text: str) -> float:
    value = options.positive(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} must be above 0 and at most 1")
    return value


def run(a: argparse.Namespace) -> None:
    """Print what a configuration costs.

    Raises:
        ParamsError: it is not there, or not valid.
    """
    from jscgc.budget import budget
    from jscgc.costs import costs, sketch
    from jscgc.params import load_params

    params = load_params(a.params, a.profile)
    drawn = sketch(params)
    document = costs(params, a.side, a.side, drawn)
    document["training"] = budget(params, drawn, a.tflops, a.utilisation)
    if a.measure:
        from jscgc.layers import measured

        document["measured"] = list(measured(params, drawn))
    if a.json:
        emit(document)
        return
    _parts(document)
    _training(document["training"], params.latents.crop)
    if a.measure:
        _measured(document["measured"])


def _parts(document: dict[str, Any]) -> None:
    title = f"{document['width']}x{document['height']} pixels, rate {document['rate']}/768; GFLOPs of one forward pass"
    table = printing.table(
        "part", "parameters (M)", "trained (M)", "weights (MB)", "training state (MB)", "GFLOPs", title=title
    )
    for row in [*document["parts"], {"part": "all", **document["total"]}]:
        numbers = (row["parameters"] / 1e6, row["trained"] / 1e6, row["weights_mb"], row["training_mb"], row["gflops"])
        table.add_row(row["part"], *[f"{value:,.1f}" for value in numbers])
    printing.show(table)
    codecs = printing.table(
        "codec", "parameters (M)", "transmitter GFLOPs", "receiver GFLOPs", title="with the VAE, where on latents"
    )
    for row in document["codecs"]:
        shown = (row["parameters"] / 1e6, row["transmitter_gflops"], row["receiver_gflops"])
        codecs.add_row(row["method"], *[f"{value:,.2f}" for value in shown])
    printing.show(codecs)
    whole, published = document["total"]["parameters"] / 1e6, document["published_parameters"] / 1e6
    print(f"{whole:,.0f} M parameters in all. The paper's Table I: {published:,.0f} M parameters in all.")


def _training(training: dict[str, Any], crop: int) -> None:
    step, workers = training["step"], training["workers"]
    how = f"{workers} GPUs, {training['strategy']}" if workers > 1 else "one GPU"
    table = printing.table(
        "of JSCGC's training, on each GPU", "GB", title=f"{how}; activations by the shapes, estimated"
    )
    for row in training["memory"]:
        table.add_row(row["what"], f"{row['gb']:,.1f}")
    printing.show(table)
    forward, whole = (f"{step[key]:,.1f} GFLOPs" for key in ("forward_gflops", "gflops"))
    print(
        f"A step of it, for an image of {crop}x{crop} pixels: {forward} forward, {whole} with backward pass and recomputation."
    )
    reached = f"{training['tflops']:g} TFLOP/s, of which {training['utilisation']:.0%} are reached (assumed)"
    table = printing.table("training", "steps", "images", "PFLOP", "GPU hours", "hours", title=f"at {reached}")
    table.columns[0].no_wrap = True
    for row in training["phases"]:
        numbers = [row[key] for key in ("pflop", "gpu_hours", "hours")]
        shown = ["-" if value is None else f"{value:,.1f}" for value in numbers]
        name = f"{row['trainings']} x {row['name']}" if row["trainings"] > 1 else row["name"]
        table.add_row(name, f"{row['steps']:,}", f"{row['images']}", *shown)
    table.add_row("all", "", "", "", f"{training['gpu_hours']:,.1f}", f"{training['hours']:,.1f}")
    printing.show(table)


def _measured(rows: list[dict[str, Any]]) -> None:
    table = printing.table("one layer", "precision", "width", "M", "GFLOP", "seconds", "GFLOP/s", title="measured here")
    table.columns[0].no_wrap = True
    for row in rows:
        numbers = (row["parameters"] / 1e6, row["gflop"], row["seconds"], row["gflops_per_second"])
        table.add_row(row["layer"], row["precision"], f"{row['width']}", *[f"{value:,.3g}" for value in numbers])
    printing.show(table)
