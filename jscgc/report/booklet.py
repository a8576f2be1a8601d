"""reports/report.pdf: the headline, the figures and the pictures on paper, without a browser."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from jscgc.data.images import open_photo
from jscgc.files import atomic, read_json
from jscgc.report.headline import Cell, Headline, headline_table
from jscgc.report.paper import RC, paper_figures, save_figures
from jscgc.report.published_table import published_table
from jscgc.report.reading import Condition, method_label, number, short_label
from jscgc.report.semantics import Reading, semantic_readings
from jscgc.report.tables import save_tables
from jscgc.report.verdict import Line, Verdict, verdict

PAGE = (11.69, 8.27)
"""A4, landscape, in inches."""
_MARGIN = 0.06
_READINGS = 4
"""On one page."""


def save_paper(
    reports: Path,
    cells: Mapping[Condition, pd.DataFrame],
    summary: Mapping[str, Any],
    *,
    commit: str,
    profile: str,
    notes: Sequence[str] = (),
) -> None:
    """Write figures/, tables/ and report.pdf into `reports`; the PDF shows grid.png, and tables/published.csv times of
    timing.json, if they are there already.

    Args:
        reports: the folder.
        cells: the results' matrices (`summary.matrices`).
        summary: of these results.
        commit: of the code that made the results.
        profile: of the parameters.
        notes: known limits, printed on the first page.
    """
    headline = headline_table(summary)
    figures = paper_figures(summary)
    save_figures(figures, reports / "figures")
    timing = read_json(reports / "timing.json") if (reports / "timing.json").is_file() else []
    save_tables(summary, reports / "tables", published_table(summary["rows"], timing, profile))
    told = verdict(headline, cells, summary.get("paired") or [])
    readings = semantic_readings(cells, summary["rows"])
    facts = f"profile {profile}, commit {commit or 'not stated'}"
    # matplotlib stamps a date unless told not to.
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table of every font that it embeds
    metadata = {"CreationDate": None, "Title": "JSCGC results"}
    with atomic(reports / "report.pdf") as temporary, mpl.rc_context(RC), PdfPages(temporary, metadata=metadata) as pdf:
        pages = [_first(headline, told, facts, notes)]
        pages += [_table(headline)] if headline is not None else []
        pages += [_picture(reports / "grid.png")] if (reports / "grid.png").is_file() else []
        pages += [*_words(readings), *figures.values()]
        for page in pages:
            pdf.savefig(page)


def _blank() -> Figure:
    return Figure(figsize=PAGE)


def _write(figure: Figure, top: float, lines: Sequence[tuple[str, float, str]]) -> float:
    """Lines of (text, size in points, weight) from `top` downwards; where they end."""
    for text, size, weight in lines:
        width = int(1380 / size)
        for part in textwrap.wrap(text, width) or [""]:
            figure.text(_MARGIN, top, part, fontsize=size, fontweight=weight, va="top", parse_math=False)
            top -= size * 1.45 / 72 / PAGE[1]
        top -= size * 0.5 / 72 / PAGE[1]
    return top


def _first(headline: Headline | None, told: Verdict | None, facts: str, notes: Sequence[str]) -> Figure:
    figure = _blank()
    lines = [("Joint source-channel-generation coding: results", 20.0, "bold"), (facts, 9.0, "normal")]
    if told is None or headline is None:
        lines.append(("These results hold no quality metric.", 12.0, "normal"))
    else:
        lines += [(told.sentence, 14.0, "bold"), (f"{told.leader} {headline.condition}. {told.scope}", 10.0, "normal")]
        lines += [text for line in told.lines for text in _answer(line)]
    lines += [(f"Note: {note}", 9.0, "normal") for note in notes]
    _write(figure, 0.93, lines)
    return figure


def _answer(line: Line) -> Iterator[tuple[str, float, str]]:
    best = f"best: {method_label(line.best)} {line.best_text}"
    yield f"{line.question} {line.row.label} {line.row.arrow}: JSCGC {line.ours_text}; {best}", 10.0, "normal"
    duels = [d for d in (line.against_two_stage, line.against_best) if d is not None]
    against = {method_label(d.other): d.text for d in duels}
    if against:
        parts = "; ".join(f"against {other} {text}" for other, text in against.items())
        yield f"    JSCGC {parts} (positive: JSCGC is better)", 10.0, "normal"


def _table(headline: Headline) -> Figure:
    figure = _blank()
    _write(figure, 0.95, [(f"{headline.condition}: mean [95% interval], best mean bold", 11.0, "bold")])
    panel = figure.add_axes((0.17, 0.04, 0.80, 0.86))
    panel.axis("off")
    heads = [f"{textwrap.fill(short_label(row.metric), 14)} {row.arrow}" for row in headline.rows]
    heads += [textwrap.fill(cost.label, 14) for cost in headline.costs]
    cells = [
        [*(_two_lines(row.cells[i]) for row in headline.rows), *(number(cost.values[i]) for cost in headline.costs)]
        for i in range(len(headline.methods))
    ]
    labels = [method_label(m) for m in headline.methods]
    table = panel.table(cellText=cells, rowLabels=labels, colLabels=heads, loc="upper center", cellLoc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(min(8.0, 62 / max(1, len(heads))))
    table.scale(1, min(2.6, 44 / (len(labels) + 2)))
    for (line, column), cell in table.get_celld().items():
        cell.set_edgecolor("#e2e5e9")
        if line == 0 or (0 <= column < len(headline.rows) and headline.rows[column].cells[line - 1].best):
            cell.set_text_props(fontweight="bold")
    return figure


def _two_lines(cell: Cell) -> str:
    return textwrap.fill(cell.text, 16) if cell.mean is None else cell.text.replace(" [", "\n[", 1)


def _words(readings: Sequence[Reading]) -> Iterator[Figure]:
    """The readings, as many to a page as fit."""
    for start in range(0, len(readings), _READINGS):
        figure = _blank()
        lines = [("Do errors move from distortion to semantics?", 14.0, "bold")]
        for reading in readings[start : start + _READINGS]:
            lines += [(text, 8.0, "normal") for text in reading.text if text] + [("", 4.0, "normal")]
        _write(figure, 0.95, lines)
        yield figure


def _picture(path: Path) -> Figure:
    figure = _blank()
    _write(figure, 0.97, [("Received photographs", 11.0, "bold")])
    panel = figure.add_axes((0.02, 0.02, 0.96, 0.91))
    panel.axis("off")
    panel.imshow(open_photo(path), interpolation="none")
    return figure
