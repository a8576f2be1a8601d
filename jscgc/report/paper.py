"""Figures for a paper, by matplotlib: reports/figures/*.svg and *.png, with the looks that the page's plots have.

Equal inputs give equal bytes under the same matplotlib: no date, no random identifiers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jscgc.channel.spec import file_name
from jscgc.files import atomic
from jscgc.report.headline import ARROWS
from jscgc.report.reading import (
    cbr_label,
    channel_label,
    is_aside,
    metric_info,
    order_channels,
    order_metrics,
    rate_of,
    short_label,
)
from jscgc.report.semantics import semantic_axes
from jscgc.report.series import Series, Style, series_names, series_styles

WIDTH = 7.16
"""Inches: two columns of an IEEE page."""
RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.grid": True,
    "grid.color": "#e2e5e9",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#8a8f98",
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "jscgc",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a name with two $ in it is no formula
}
"""Settings of every figure here; TrueType fonts, because publishers refuse Type 3."""
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1.2, 1.2)),
    "dashdot": (0, (5, 2, 1.2, 2)),
    "longdash": (0, (8, 2)),
    "longdashdot": (0, (8, 2, 1.2, 2)),
}
_MARKERS: dict[str, Any] = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "x": "X",
    "cross": "P",
    "star": "*",
    "pentagon": "p",
    "hexagon": "h",
    "star-diamond": (4, 1, 0),
    "octagon": "8",
    "hexagram": (6, 1, 0),
    "hourglass": [(-1, -1), (1, -1), (-1, 1), (1, 1), (-1, -1)],
    "bowtie": [(-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -1)],
}
Rows = Sequence[Mapping[str, Any]]


def look(style: Style) -> dict[str, Any]:
    """A style as keywords of matplotlib's `plot`."""
    marker = _MARKERS[style.marker.removesuffix("-open")]
    return {
        "color": style.colour,
        "linestyle": _DASHES[style.dash],
        "marker": marker,
        "markersize": 4.0 + 1.5 * (marker == "*"),
        "markerfacecolor": "white" if style.open else style.colour,
        "linewidth": 1.2,
    }


def paper_figures(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Name -> figure: quality over SNR for each channel and CBR, over CBR for each channel at the middle SNR, and semantics.

    Figures without a point are left out.
    """
    rows = [
        r for r in summary["rows"] if not is_aside(r["method"]) and r["mean"] is not None and metric_info(r["metric"])
    ]
    figures: dict[str, Figure] = {}
    with mpl.rc_context(RC):
        for channel in order_channels(r["channel"] for r in rows):
            in_channel = [r for r in rows if r["channel"] == channel]
            for cbr in sorted({r["cbr"] for r in in_channel}):
                here = [r for r in in_channel if r["cbr"] == cbr]
                place = f"{file_name(channel)}_{rate_of(cbr)}"
                title = f"{channel_label(channel)}, CBR {cbr_label(cbr)}"
                figures[f"quality_{place}"] = quality_figure(here, "snr_db", title)
                if (figure := semantic_figure(here, title)) is not None:
                    figures[f"semantics_{place}"] = figure
            snrs = sorted({r["snr_db"] for r in in_channel})
            if len({r["cbr"] for r in in_channel}) > 1:
                snr_db = snrs[len(snrs) // 2]
                here = [r for r in in_channel if r["snr_db"] == snr_db]
                title = f"{channel_label(channel)}, {snr_db:g} dB"
                figures[f"quality_over_cbr_{file_name(channel)}"] = quality_figure(here, "cbr", title)
    return figures


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write NAME.svg and NAME.png of each; the folder then holds nothing else."""
    with atomic(folder) as temporary, mpl.rc_context(RC):
        temporary.mkdir()
        for name, figure in figures.items():
            figure.savefig(temporary / f"{name}.svg", metadata={"Date": None})
            figure.savefig(temporary / f"{name}.png", dpi=200, metadata={"Software": None})


def quality_figure(rows: Rows, axis: str, title: str) -> Figure:
    """A panel per metric, a line per series with its 95% interval as a band; `axis` is snr_db or cbr."""
    metrics = order_metrics(r["metric"] for r in rows)
    names = series_names(rows)
    styles = series_styles(list(names))
    columns = min(4, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    legend = _legend_lines(names)
    figure = _figure(WIDTH, 0.45 + 1.85 * lines + 0.2 * legend)
    for place, metric in enumerate(metrics):
        panel = figure.add_subplot(lines, columns, place + 1)
        for key in reversed(names):
            points = [r for r in rows if (r["method"], r["steps"], r["metric"]) == (*key, metric)]
            _line(panel, sorted(points, key=lambda r: float(r[axis])), axis, styles[key])
        panel.set_title(_titled(metric), y=1.0)
        panel.set_xlabel("SNR (dB)" if axis == "snr_db" else "CBR")
        values = sorted({float(r[axis]) for r in rows})
        if axis == "cbr":
            panel.set_xscale("log")
            panel.minorticks_off()
        panel.set_xticks(values, [f"{v:g}".replace("-", "−") if axis == "snr_db" else cbr_label(v) for v in values])
    _finish(figure, title, names, styles)
    return figure


def semantic_figure(rows: Rows, title: str) -> Figure | None:
    """Per SNR, semantics (above) and realism (below) against distortion, the best corner upper right; None without the axes."""
    axes = semantic_axes(r["metric"] for r in rows)
    if not all(axes.values()):
        return None
    distortion, semantics, realism = (axes[axis][0] for axis in ("distortion", "semantics", "realism"))
    snrs = sorted({float(r["snr_db"]) for r in rows}, reverse=True)
    names = series_names(rows)
    styles = series_styles(list(names))
    values = {(r["method"], r["steps"], r["snr_db"], r["metric"]): r for r in rows}
    figure = _figure(WIDTH, 0.45 + 2 * 1.75 + 0.2 * _legend_lines(names))
    grid = figure.subplots(2, len(snrs), sharex=True, sharey="row", squeeze=False)
    for line, metric in enumerate((semantics, realism)):
        for column, snr_db in enumerate(snrs):
            panel = grid[line][column]
            for key in reversed(names):
                x, y = (values.get((*key, snr_db, m)) for m in (distortion, metric))
                if x is not None and y is not None:
                    _point(panel, x, y, styles[key])
            if not line:
                panel.set_title(f"{snr_db:g} dB".replace("-", "−"), y=1.0)
            else:
                panel.set_xlabel(_titled(distortion))
        grid[line][0].set_ylabel(_titled(metric))
        if _lower(metric):
            grid[line][0].invert_yaxis()
    if _lower(distortion):
        grid[0][0].invert_xaxis()
    _finish(figure, title, names, styles)
    return figure


def _figure(width: float, height: float) -> Figure:
    # Titles stand at y=1: where to put them would else be asked anew in every drawing.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _line(panel: Axes, points: Rows, axis: str, style: Style) -> None:
    if not points:
        return
    x, mean, low, high = ([float(r[k]) for r in points] for k in (axis, "mean", "low", "high"))
    panel.plot(x, mean, **look(style))
    if len(points) > 1:
        panel.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
    else:
        panel.errorbar(x, mean, yerr=[[mean[0] - low[0]], [high[0] - mean[0]]], color=style.colour, elinewidth=0.8)


def _point(panel: Axes, x: Mapping[str, Any], y: Mapping[str, Any], style: Style) -> None:
    bars = [[[r["mean"] - r["low"]], [r["high"] - r["mean"]]] for r in (x, y)]
    panel.errorbar([x["mean"]], [y["mean"]], xerr=bars[0], yerr=bars[1], elinewidth=0.7, **look(style))


def _titled(metric: str) -> str:
    info = metric_info(metric)
    return f"{short_label(metric)} {ARROWS[info.direction]}" if info else metric


def _lower(metric: str) -> bool:
    info = metric_info(metric)
    return info is not None and info.direction == "lower"


_LEGEND_COLUMNS = 5


def _legend_lines(names: Mapping[Series, str]) -> int:
    return math.ceil(len(names) / _LEGEND_COLUMNS)


def _finish(figure: Figure, title: str, names: Mapping[Series, str], styles: Mapping[Series, Style]) -> None:
    handles = [Line2D([], [], label=name, **look(styles[key])) for key, name in names.items()]
    figure.suptitle(title, fontsize=9)
    figure.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False, handlelength=2.6)
    # Laid out once, not anew for every file.
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)
