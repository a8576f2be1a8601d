"""The one table to look at first: every metric of every receiver at the middle condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jscgc.report.reading import (
    CANNOT_OPERATE,
    cbr_label,
    channel_label,
    is_aside,
    is_standin,
    method_label,
    metric_info,
    middle,
    number,
    order_channels,
    order_methods,
    order_metrics,
)

LABEL_WIDTH, COLUMN_WIDTH = 18, 15
"""Characters of the printed table: of the metrics' names, and of each method."""
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Cell:
    """One method's value of one metric."""

    method: str
    mean: float | None
    low: float | None
    high: float | None
    best: bool
    """No other method has a better mean."""
    note: str = ""
    """In place of a value: why there is none."""

    @property
    def text(self) -> str:
        """`22.1 [21.8, 22.4]`; only the mean where there is no spread to tell."""
        if self.mean is None or self.low == self.high:
            return self.note or number(self.mean)
        return f"{number(self.mean)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True)
class HeadlineRow:
    """One metric of all methods."""

    metric: str
    label: str
    arrow: str
    """Where better is: up or down."""
    cells: list[Cell]


@dataclass(frozen=True)
class Headline:
    """The table and where it was measured."""

    channel: str
    snr_db: float
    cbr: float
    methods: list[str]
    rows: list[HeadlineRow]

    @property
    def condition(self) -> str:
        """For a caption."""
        return f"{channel_label(self.channel)}, {self.snr_db:g} dB, CBR {cbr_label(self.cbr)}"


def headline_table(summary: Mapping[str, Any]) -> Headline | None:
    """Metrics x methods at the first channel (AWGN if there), the middle SNR and the middle CBR; None without rows.

    Methods are the columns: there are few of them, and many metrics. A method evaluated with several numbers of
    sampling steps is shown with the most.
    """
    rows = [r for r in summary["rows"] if not is_aside(r["method"]) and metric_info(r["metric"]) is not None]
    if not rows:
        return None
    channel = order_channels(r["channel"] for r in rows)[0]
    rows = [r for r in rows if r["channel"] == channel]
    cbr = middle(r["cbr"] for r in rows)
    rows = [r for r in rows if r["cbr"] == cbr]
    snr_db = middle(r["snr_db"] for r in rows)
    rows = sorted((r for r in rows if r["snr_db"] == snr_db), key=lambda r: r["steps"])
    methods = order_methods(r["method"] for r in rows)
    table = [
        _headline_row(metric, methods, {r["method"]: r for r in rows if r["metric"] == metric})
        for metric in order_metrics(r["metric"] for r in rows)
    ]
    return Headline(channel, snr_db, cbr, methods, table)


def print_headline(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the headline table; the best mean of each metric in bold."""
    console = console or Console()
    headline = headline_table(summary)
    if headline is None:
        console.print("No quality metric in these results.")
        stuck = {r["method"] for r in summary["rows"] if r["metric"] == CANNOT_OPERATE and r["mean"]}
        for method in order_methods(stuck):
            console.print(f"{method_label(method)}: cannot operate", markup=False, highlight=False)
        return
    standins = any(is_standin(row.metric) for row in headline.rows)
    caption = "* stand-in on EfficientNet-Lite0: its own scale" if standins else None
    title = f"{headline.condition}; mean [95% interval]"
    notes = {cell.method: cell.note for row in headline.rows for cell in row.cells if cell.note}
    places = [i for i, method in enumerate(headline.methods) if method not in notes]
    columns = max(1, (console.width - LABEL_WIDTH) // COLUMN_WIDTH)
    for start in range(0, len(places), columns):
        shown = places[start : start + columns]
        last = start + columns >= len(places)
        table = Table(
            title=None if start else title,
            title_justify="left",
            caption=caption if last else None,
            caption_justify="left",
            padding=(0, 0),
        )
        table.add_column("metric", min_width=14)
        for place in shown:
            label = method_label(headline.methods[place])
            table.add_column(Text(label), justify="right", min_width=COLUMN_WIDTH - 2)
        for row in headline.rows:
            label = row.label.replace(" (EfficientNet-Lite0)", "*") if is_standin(row.metric) else row.label
            # The interval on a line of its own.
            cells = [
                Text(cell.text.replace(" [", "\n[", 1), style="bold" if cell.best else "")
                for cell in (row.cells[place] for place in shown)
            ]
            table.add_row(Text(f"{label} {row.arrow}"), *cells)
        console.print(table)
    for method, note in notes.items():
        console.print(f"{method_label(method)}: {note}", markup=False, highlight=False)


def _headline_row(metric: str, methods: list[str], by_method: Mapping[str, Mapping[str, Any]]) -> HeadlineRow:
    info = metric_info(metric)
    assert info is not None
    means = [r["mean"] for r in by_method.values() if r["mean"] is not None]
    best = (max if info.direction == "higher" else min)(means, default=None)
    empty: Mapping[str, Any] = {"mean": None, "low": None, "high": None}
    cells = []
    for method in methods:
        r = by_method.get(method, empty)
        is_best = r["mean"] is not None and r["mean"] == best and len(methods) > 1
        cells.append(Cell(method, r["mean"], r["low"], r["high"], is_best, r.get("note", "")))
    return HeadlineRow(metric, info.label, ARROWS[info.direction], cells)
