"""The one table to look at first: every metric of every receiver at the middle condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from jscgc import printing
from jscgc.channel.central import central
from jscgc.evaluation.judges import Judging, judging
from jscgc.report.reading import (
    CANNOT_OPERATE,
    cbr_label,
    channel_label,
    is_aside,
    method_label,
    metric_info,
    metric_label,
    number,
    order_methods,
    order_metrics,
    short_label,
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
class CostRow:
    """What one photograph costs every method's receiver."""

    label: str
    values: list[float | None]
    """In the order of the headline's methods; None where nothing is learnt, or it was not measured."""


@dataclass(frozen=True)
class Headline:
    """The table and where it was measured.

    rows: the judges'. costs: of the receivers. marked: further metrics, a loss used (or may have used) whose network.
    """

    channel: str
    snr_db: float
    cbr: float
    methods: list[str]
    rows: list[HeadlineRow]
    costs: list[CostRow]
    marked: list[HeadlineRow]
    others: list[HeadlineRow]
    """Metrics without a network that judge nothing."""
    notes: list[str]
    """Which judges were refused and why, and what the mark means."""

    @property
    def condition(self) -> str:
        """For a caption."""
        return f"{channel_label(self.channel)}, {self.snr_db:g} dB, CBR {cbr_label(self.cbr)}"


MARK = "†"
"""Behind a metric whose network a loss used."""


def headline_table(summary: Mapping[str, Any]) -> Headline | None:
    """Metrics x methods at the grid's central place (see `central`); None without rows.

    Methods are the columns: there are few of them, and many metrics. A method evaluated with several numbers of
    sampling steps is shown with the most. A metric whose network trained a method that is shown judges nothing.
    """
    rows = [r for r in summary["rows"] if not is_aside(r["method"]) and metric_info(r["metric"]) is not None]
    if not rows:
        return None
    at = "channel", "snr_db", "cbr"
    channel, snr_db, cbr = place = central([tuple(r[key] for key in at) for r in rows])
    rows = sorted((r for r in rows if tuple(r[key] for key in at) == place), key=lambda r: r["steps"])
    methods = order_methods(r["method"] for r in rows)
    table = {
        metric: _headline_row(metric, methods, {r["method"]: r for r in rows if r["metric"] == metric})
        for metric in order_metrics(r["metric"] for r in rows)
    }
    who = judging(table, methods)
    aside = [name for name in table if name not in who.judges]
    return Headline(
        channel,
        snr_db,
        cbr,
        methods,
        [table[name] for name in who.judges],
        _costs(summary.get("costs", []), methods),
        [table[name] for name in aside if name in who.used or name in who.refused],
        [table[name] for name in aside if name not in who.used and name not in who.refused],
        _notes(who),
    )


def _notes(who: Judging) -> list[str]:
    notes = [
        f"{metric_label(metric)} does not judge here: its network was in a loss of {_listed(methods)}."
        for metric, methods in who.refused.items()
    ]
    if who.used:
        trained = sorted({method for methods in who.used.values() for method in methods}, key=order_methods)
        said = f" (of {_listed(trained)})" if trained else ""
        notes.append(f"{MARK} a loss used its network{said}, or may use it: shown, but no judge.")
    return notes


def _listed(methods: Sequence[str]) -> str:
    names = [method_label(method) for method in order_methods(methods)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _costs(costs: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[CostRow]:
    """Of `summary["costs"]`; rows of which no method has a value are left out."""
    of = {cost["method"]: cost for cost in costs}
    rows = [
        CostRow(label, [of.get(method, {}).get(key) for method in methods])
        for key, label in (
            ("parameters", "receiver's parameters (M)"),
            ("gflops", "receiver's operations (GFLOP)"),
            ("decode_ms", "time to receive (ms)"),
        )
    ]
    return [row for row in rows if any(value is not None for value in row.values)]


def receiver_costs(timing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a receiver costs, by method, of timing.json: at the largest size of photograph that most were timed at, with the most
    steps; {method, height, width, parameters (in millions), gflops, decode_ms}. Milliseconds are of the machine that measured."""
    timed = [t for t in timing if not is_aside(t["method"])]
    sizes = [(t["height"], t["width"]) for t in timed]
    size = max(set(sizes), key=lambda s: (sizes.count(s), s[0] * s[1], s), default=None)
    costs: dict[str, dict[str, Any]] = {}
    for t in sorted((t for t in timed if (t["height"], t["width"]) == size), key=lambda t: t["steps"]):
        parameters, gflops = t.get("receiver_parameters") or 0, t.get("receiver_gflops") or 0
        costs[t["method"]] = {
            **{key: t[key] for key in ("method", "height", "width")},
            "parameters": parameters / 1e6 if parameters else None,
            "gflops": gflops or None,
            "decode_ms": t["decode_ms_median"],
        }
    return [costs[method] for method in order_methods(costs)]


def description(summary: Mapping[str, Any]) -> str:
    """The headline as the description of a run of MLflow: Markdown, a row for each method, and the grid of received photographs,
    `{artifacts}grid.png`."""
    headline = headline_table(summary)
    if headline is None:
        return "No quality metric in these results."
    heads = ["method", *(f"{short_label(row.metric)} {row.arrow}" for row in headline.rows)]
    lines = [heads, ["---"] * len(heads)]
    for place, method in enumerate(headline.methods):
        cells = [row.cells[place] for row in headline.rows]
        texts = [f"**{cell.text}**" if cell.best else cell.text for cell in cells]
        lines.append([method_label(method), *texts])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{headline.condition}; mean [95% interval]\n\n{table}\n\n![Received photographs]({{artifacts}}grid.png)\n"


def print_headline(summary: Mapping[str, Any]) -> None:
    """Print the headline table; the best mean of each metric in bold."""
    console = printing.console()
    headline = headline_table(summary)
    if headline is None:
        print("No quality metric in these results.")
        stuck = {r["method"] for r in summary["rows"] if r["metric"] == CANNOT_OPERATE and r["mean"]}
        for method in order_methods(stuck):
            print(f"{method_label(method)}: cannot operate")
        return
    metrics = [*headline.rows, *headline.others, *headline.marked]
    title = f"{headline.condition}; mean [95% interval]"
    notes = {cell.method: cell.note for row in metrics for cell in row.cells if cell.note}
    places = [i for i, method in enumerate(headline.methods) if method not in notes]
    columns = max(1, (console.width - LABEL_WIDTH) // COLUMN_WIDTH)
    for start in range(0, len(places), columns):
        shown = places[start : start + columns]
        table = printing.table(title=None if start else title)
        table.padding = (0, 0)
        table.add_column("metric", min_width=14)
        for place in shown:
            label = method_label(headline.methods[place])
            table.add_column(label, justify="right", min_width=COLUMN_WIDTH - 2, overflow="fold")
        for row in metrics:
            mark = MARK if row in headline.marked else ""
            # The interval on a line of its own.
            cells = [
                Text(cell.text.replace(" [", "\n[", 1), style="bold" if cell.best else "")
                for cell in (row.cells[place] for place in shown)
            ]
            table.add_row(Text(f"{short_label(row.metric)}{mark} {row.arrow}"), *cells)
        for cost in headline.costs:
            table.add_row(Text(cost.label), *(Text(number(cost.values[place])) for place in shown))
        console.print(table)
    for note in headline.notes:
        print(note)
    for method, note in notes.items():
        print(f"{method_label(method)}: {note}")


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
