"""`jscgc plan`: what a configuration costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from jscgc import options, printing
from jscgc.parser import add_json, emit

DESCRIPTION = """\
Parameters, memory and operations of every part, built on the meta device: no weights are downloaded or allocated.

  jscgc plan                                          the configuration in params.yaml
  jscgc plan --profile pipeline/profiles/paper.yaml   the paper's, beside its Table I
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `plan` can be told."""
    add_json(sub)
    sub.add_argument("--params", type=Path, default=Path("params.yaml"), help="the configuration")
    sub.add_argument("--profile", type=Path, metavar="YAML", help="laid over it, such as pipeline/profiles/paper.yaml")
    sub.add_argument(
        "--side", type=options.count, default=256, help="of the square photo that operations are counted for, pixels"
    )


def run(a: argparse.Namespace) -> None:
    """Print what a configuration costs.

    Raises:
        ParamsError: it is not there, or not valid.
    """
    from jscgc.costs import costs
    from jscgc.params import load_params

    document = costs(load_params(a.params, a.profile), a.side, a.side)
    if a.json:
        emit(document)
        return
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
    print(f"The paper's Table I: {document['published_parameters'] / 1e6:,.0f} M parameters in all.")
