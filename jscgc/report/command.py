"""`jscgc report`: the report of any folder of results. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Make the report of a folder that holds results.csv (and, where they exist, pictures/ and timing.json, as `jscgc evaluate --report`
leaves them): index.html, report.pdf, figures/ and tables/ for a paper, summary.json.

  jscgc evaluate --images kodak/ --methods jscgc diffjscc --report kodak_report/
  jscgc report kodak_report/ --note "Trained on BSDS500."
"""


def add_parser(commands: Any, formatter: Any) -> None:
    """Add `report` to the command line."""
    sub: argparse.ArgumentParser = commands.add_parser(
        "report", help="make the report of a folder of results", description=DESCRIPTION, formatter_class=formatter
    )
    sub.add_argument("folder", type=Path, help="with results.csv")
    sub.add_argument("--json", action="store_true", help="one JSON document on stdout; logs go to stderr")
    sub.add_argument("--note", nargs="+", default=[], metavar="TEXT", help="known limits of the run, shown in it")
    sub.add_argument(
        "--params", type=Path, metavar="YAML", help="parameters that the models were trained with, to be shown"
    )
    sub.add_argument("--title", default="evaluation", metavar="NAME", help="shown in place of a profile's name")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the report; returns {"folder", "files"}.

    Raises:
        ValueError: no results.csv there, or one that breaks its contract.
        OSError: the parameters can't be read.
    """
    from jscgc.report.build import build_report

    a = arguments
    if not (a.folder / "results.csv").is_file():
        raise ValueError(f"{a.folder}/results.csv: no such file; `jscgc evaluate --report {a.folder}` writes it")
    text = a.params.read_text(encoding="utf-8") if a.params else ""
    files = build_report(a.folder, params_text=text, manifest=None, commit="", profile=a.title, notes=a.note)
    return {"folder": str(a.folder), "files": [str(a.folder / name) for name in files]}
