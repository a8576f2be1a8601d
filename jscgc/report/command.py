"""`jscgc report`: the report of any folder of results. Heavy imports wait until it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jscgc.files import check_folder
from jscgc.parser import add_json, emit

DESCRIPTION = """\
Make the report of a folder that holds results.csv (and, where they exist, pictures/ and timing.json, as `jscgc evaluate --report`
leaves them): index.html, report.pdf, figures/ and tables/ for a paper, summary.json.

  jscgc evaluate --images kodak/ --methods jscgc diffjscc --report kodak_report/
  jscgc report kodak_report/ --note "Trained on BSDS500."
"""


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `report` can be told."""
    sub.add_argument("folder", type=Path, help="with results.csv")
    add_json(sub)
    sub.add_argument("--note", nargs="+", default=[], metavar="TEXT", help="known limits of the run, shown in it")
    sub.add_argument(
        "--params", type=Path, metavar="YAML", help="parameters that the models were trained with, to be shown"
    )
    sub.add_argument("--title", default="evaluation", metavar="NAME", help="shown in place of a profile's name")


def run(a: argparse.Namespace) -> None:
    """Make a report and print its files; errors as `make`."""
    files = make(a.folder, params=a.params, title=a.title, notes=a.note)
    if a.json:
        emit({"folder": str(a.folder), "files": files})
    else:
        print("\n".join(files))


def make(
    folder: Path, *, params: Path | None = None, title: str = "evaluation", notes: Sequence[str] = ()
) -> list[str]:
    """Write the report; returns its files, the page first.

    Raises:
        ValueError: no results.csv there, or one that breaks its contract; something else is where the report goes.
        OSError: the parameters can't be read, or nothing can be written there.
    """
    from jscgc.report.build import build_report

    if not (folder / "results.csv").is_file():
        raise ValueError(f"{folder}/results.csv: no such file; `jscgc evaluate --report {folder}` writes it")
    check_folder(folder)
    taken = [folder / name for name in ("index.html", "report.pdf", "figures", "tables") if (folder / name).exists()]
    if taken and not (folder / "summary.json").exists():  # which every report has, written first
        raise ValueError(f"{taken[0]} is there and of no report; name another folder, or remove it")
    text = params.read_text(encoding="utf-8") if params else ""
    files = build_report(folder, params_text=text, manifest=None, commit="", profile=title, notes=notes)
    return [str(folder / name) for name in files]
