"""Tables for a paper: reports/tables/*.tex (booktabs, intervals, the best mean bold) and the same numbers as *.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.channel.spec import file_name
from jscgc.files import atomic
from jscgc.report.headline import MARK, Headline, headline_table
from jscgc.report.published_table import Table
from jscgc.report.reading import (
    cbr_label,
    channel_label,
    is_aside,
    metric_info,
    number,
    order_channels,
    order_metrics,
    rate_of,
    short_label,
)
from jscgc.report.series import series_names

Rows = Sequence[Mapping[str, Any]]
COLUMNS = [
    "method",
    "channel",
    "snr_db",
    "cbr",
    "steps",
    "metric",
    "mean",
    "low",
    "high",
    "images",
    "trainings",
    "draws",
    "note",
]
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$", "×": r"$\times$", "é": r"\'e",
    "†": r"\dag{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def save_tables(summary: Mapping[str, Any], folder: Path, published: Table) -> None:
    """Write headline.{tex,csv}, results_CHANNEL_RATE.tex, results.csv, and published.csv: the paper's numbers beside ours.

    The .tex files are tables to `\\input`; they need the package booktabs. The folder then holds nothing else.
    """
    rows = [r for r in summary["rows"] if not is_aside(r["method"]) and metric_info(r["metric"]) is not None]
    headline = headline_table(summary)
    with atomic(folder) as temporary:
        temporary.mkdir()
        _write(temporary / "results.csv", _csv(pd.DataFrame(summary["rows"]).reindex(columns=COLUMNS)))
        _write(temporary / "published.csv", _csv(pd.DataFrame(published.records())))
        if headline is not None:
            _write(temporary / "headline.tex", headline_latex(headline))
            here = (headline.channel, headline.snr_db, headline.cbr)
            at_headline = [r for r in rows if (r["channel"], r["snr_db"], r["cbr"]) == here]
            _write(temporary / "headline.csv", _csv(pd.DataFrame(at_headline).reindex(columns=COLUMNS)))
        for channel in order_channels(r["channel"] for r in rows):
            for cbr in sorted({r["cbr"] for r in rows if r["channel"] == channel}):
                at_link = [r for r in rows if (r["channel"], r["cbr"]) == (channel, cbr)]
                name = f"results_{file_name(channel)}_{rate_of(cbr)}.tex"
                _write(temporary / name, results_latex(at_link, channel, cbr))


def headline_latex(headline: Headline) -> str:
    """Methods x judges' metrics and costs of the receiver, then the metrics that judge nothing, at the headline's condition."""
    marked = {row.metric: MARK for row in headline.marked}
    shown = [*headline.rows, *headline.others, *headline.marked]
    metrics = [row.metric for row in shown]
    cell_of = {(cell.method, row.metric): cell for row in shown for cell in row.cells}
    names = series_names([{"method": m, "steps": 0} for m in headline.methods])
    lines = []
    for place, ((method, _), name) in enumerate(names.items()):
        cells = [cell_of[method, metric] for metric in metrics]
        costs = [escape(number(cost.values[place])) for cost in headline.costs]
        lines.append([escape(name), *(_cell(c.mean, c.low, c.high, c.best, c.note) for c in cells), *costs])
    heads = [_head(metric, marked.get(metric, "")) for metric in metrics] + [escape(c.label) for c in headline.costs]
    caption = " ".join([f"{headline.condition}.", *headline.notes])
    return _table(heads, [("", lines)], caption, "tab:headline")


def results_latex(rows: Rows, channel: str, cbr: float) -> str:
    """Methods x metrics in one block per SNR."""
    metrics = order_metrics(r["metric"] for r in rows)
    blocks = []
    for snr_db in sorted({r["snr_db"] for r in rows}):
        here = [r for r in rows if r["snr_db"] == snr_db]
        values = {(r["method"], r["steps"], r["metric"]): r for r in here}
        best = {metric: _best([r for r in here if r["metric"] == metric]) for metric in metrics}
        lines = []
        for key, name in series_names(rows).items():
            cells = [values.get((*key, m)) for m in metrics]
            if any(cells):
                lines.append([escape(name), *(_row_cell(r, m, best) for r, m in zip(cells, metrics, strict=True))])
        blocks.append((f"${snr_db:g}$ dB", lines))
    caption = f"{channel_label(channel)}, CBR {cbr_label(cbr)}."
    return _table([_head(m) for m in metrics], blocks, caption, f"tab:results-{file_name(channel)}-{rate_of(cbr)}")


def _best(rows: Rows) -> float | None:
    means = [r["mean"] for r in rows if r["mean"] is not None]
    info = metric_info(rows[0]["metric"]) if rows else None
    if info is None or len(means) < 2:
        return None
    return float((max if info.direction == "higher" else min)(means))


def _row_cell(row: Mapping[str, Any] | None, metric: str, best: Mapping[str, float | None]) -> str:
    if row is None:
        return _cell(None, None, None, False, "")
    is_best = row["mean"] is not None and row["mean"] == best[metric]
    return _cell(row["mean"], row["low"], row["high"], is_best, row.get("note", ""))


def _cell(mean: float | None, low: float | None, high: float | None, best: bool, note: str) -> str:
    if mean is None:
        return r"\emph{fails}" if note else "--"
    text = escape(number(mean))
    text = rf"\textbf{{{text}}}" if best else text
    if low == high:
        return text
    return rf"{text} {{\scriptsize[{escape(number(low))}, {escape(number(high))}]}}"


def _head(metric: str, mark: str = "") -> str:
    return escape(short_label(metric) + mark) + (r" $\uparrow$" if _higher(metric) else r" $\downarrow$")


def _table(heads: Sequence[str], blocks: Sequence[tuple[str, list[list[str]]]], caption: str, label: str) -> str:
    width = len(heads) + 1
    fails = any(r"\emph{fails}" in cell for _, lines in blocks for line in lines for cell in line)
    caption = escape(caption) + r" Mean and 95\% interval; bold: best mean."
    caption += r" \emph{fails}: the method cannot send every photograph." if fails else ""
    body = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
        r"\toprule",
        " & ".join(["method", *heads]) + r" \\",
    ]
    for title, lines in blocks:
        body.append(r"\midrule")
        if title:
            body.append(rf"\multicolumn{{{width}}}{{l}}{{{title}}} \\")
        body += [" & ".join(line) + r" \\" for line in lines]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def _higher(metric: str) -> bool:
    info = metric_info(metric)
    return info is not None and info.direction == "higher"


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
