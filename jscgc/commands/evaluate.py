"""`jscgc evaluate`: what is printed."""

from __future__ import annotations

import argparse

from jscgc.evaluation import command as evaluation
from jscgc.evaluation.command import DESCRIPTION, add_arguments
from jscgc.extras import need
from jscgc.parser import emit

__all__ = ["DESCRIPTION", "add_arguments", "run"]


def run(a: argparse.Namespace) -> None:
    """Evaluate, make the report if one is asked for, and print the summary."""
    if a.report:
        need("evaluate --report", {"report": ("jinja2", "matplotlib", "plotly")})
    evaluation.check_places(a)
    from jscgc.report import print_headline, summarise
    from jscgc.report.command import make

    done = evaluation.run(a)
    summary = summarise(done.table)
    # Another run of it makes the same page, with notes and a title of one's own.
    page = make(a.report)[0] if a.report else None
    if a.json:
        emit(
            {
                "out": str(evaluation.place(a)),
                "photos": len(done.protocol.images),
                "protocol": done.protocol.hash,
                "jobs": done.jobs,
                "stored": done.stored,
                "summary": summary["rows"],
                "paired": summary["paired"],
                "bd_rate": summary["bd_rate"],
                "timing": done.timing,
            }
        )
        return
    print_headline(summary)
    print(f"{len(done.table)} rows in {evaluation.place(a)}, protocol {done.protocol.hash}")
    if page:
        print(f"report: {page}")
