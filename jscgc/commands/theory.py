"""`jscgc theory`: the mathematics, checked through the code that trains and samples."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jscgc import options, printing
from jscgc.parser import add_json, emit

if TYPE_CHECKING:
    from jscgc.latent.spectrum import Spectrum

PRIOR = "flow"
"""Whose description has the statistics of the latents."""

DESCRIPTION = """\
Gaussian sources, linear encoders, AWGN: what is known in closed form beside what the code that trains and samples measures, in
about half a minute. Status 1 if a statement does not hold. Then what the latents' spectrum says joint training can gain over two
stages.
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `theory` can be told."""
    add_json(sub)
    options.add_models(sub)
    sub.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="photos whose latents' spectrum is taken (default: the training photographs that come with the dependencies)",
    )


def _spectrum(a: argparse.Namespace) -> Spectrum:
    """Of the latents of photos."""
    from jscgc.data.builtin import builtin_photos
    from jscgc.data.folders import find_photos
    from jscgc.data.images import open_photo, to_tensor
    from jscgc.latent.spectrum import of_photos
    from jscgc.systems import store

    files = find_photos([a.images]) if a.images else [p.path for p in builtin_photos() if p.split == "train"]
    space = store.latent_space(a.models / "vae", store.describe(a.models / PRIOR).latents)
    return of_photos(space, (to_tensor(open_photo(file)) for file in files))


def run(a: argparse.Namespace) -> None:
    """Check and print.

    Raises:
        ValueError: a statement does not hold.
    """
    from jscgc import theory

    found = _spectrum(a)
    document = theory.run(found.variances, found.positions)
    missed = [row["check"] for row in document["rows"] if not row["ok"]]
    if a.json:
        emit(document)
    else:
        table = printing.table("statement", "theory", "measured", "tolerance", "holds")
        for row in document["rows"]:
            sign = "≤ " if row["kind"] == "at most" else ""
            numbers = [f"{sign}{row['expected']:.5g}", f"{row['measured']:.5g}", f"{row['tolerance']:.2g}"]
            table.add_row(row["check"], *numbers, "yes" if row["ok"] else "NO")
        printing.show(table)
        joint = printing.table("CBR", "SNR (dB)", "what joint training can gain, of loss (4)")
        for row in document["joint"]:
            joint.add_row(row["cbr"], f"{row['snr_db']:g}", f"{100 * row['gain']:.2f} %")
        printing.show(joint)
    if missed:
        raise ValueError(f"{len(missed)} of {len(document['rows'])} statements do not hold: {'; '.join(missed)}")
