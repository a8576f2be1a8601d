"""`jscgc theory`: the mathematics, checked through the code that trains and samples."""

from __future__ import annotations

import argparse

from jscgc.parser import add_json, emit

DESCRIPTION = """\
Gaussian sources, linear encoders, AWGN: what is known in closed form beside what the code that trains and samples measures, in
about half a minute. Status 1 if a statement does not hold.
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `theory` can be told."""
    add_json(sub)


def run(a: argparse.Namespace) -> None:
    """Check and print.

    Raises:
        ValueError: a statement does not hold.
    """
    from jscgc import theory

    document = theory.run()
    missed = [row["check"] for row in document["rows"] if not row["ok"]]
    if a.json:
        emit(document)
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("statement", "theory", "measured", "tolerance", "holds")
        for row in document["rows"]:
            sign = "≤ " if row["kind"] == "at most" else ""
            numbers = [f"{sign}{row['expected']:.5g}", f"{row['measured']:.5g}", f"{row['tolerance']:.2g}"]
            table.add_row(row["check"], *numbers, "yes" if row["ok"] else "NO")
        Console().print(table)
    if missed:
        raise ValueError(f"{len(missed)} of {len(document['rows'])} statements do not hold: {'; '.join(missed)}")
