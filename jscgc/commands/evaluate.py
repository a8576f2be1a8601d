"""`jscgc evaluate` and `jscgc report`: what is printed."""

from __future__ import annotations

import argparse

from jscgc.commands import emit
from jscgc.evaluation import command as evaluation
from jscgc.report import command as report


def run(a: argparse.Namespace) -> None:
    """Evaluate, make the report if one is asked for, and print the summary."""
    from jscgc.report import print_headline, summarise

    done = evaluation.run(a)
    summary = summarise(done.table)
    page = None
    if a.report:
        # Another run of it makes the same page, with notes and a title of one's own.
        page = report.run(argparse.Namespace(folder=a.report, note=[], params=None, title="evaluation"))["files"][0]
    if a.json:
        jobs = {"jobs": done.jobs, "stored": done.stored}
        found = {"summary": summary["rows"], "paired": summary["paired"], "bd_rate": summary["bd_rate"]}
        photos = len(done.protocol.images)
        emit(
            {
                "out": str(evaluation.place(a)),
                "photos": photos,
                "protocol": done.protocol.hash,
                **jobs,
                **found,
                "timing": done.timing,
            }
        )
        return
    print_headline(summary)
    print(f"{len(done.table)} rows in {evaluation.place(a)}, protocol {done.protocol.hash}")
    if page:
        print(f"report: {page}")


def run_report(a: argparse.Namespace) -> None:
    """Make a report and print its files."""
    made = report.run(a)
    if a.json:
        emit(made)
    else:
        print("\n".join(made["files"]))
