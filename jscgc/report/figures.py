"""The page's interactive plots, as plotly's script takes them.

A plot holds the traces of all choices of its group (channel, CBR, ...); each trace says in `meta` which choice it
belongs to and the page's script draws those that match. Colours of text and grid come from the page's theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jscgc.report.headline import ARROWS
from jscgc.report.reading import OURS, cbr_label, is_aside, method_label, metric_info, order_metrics
from jscgc.report.series import HUES, Style, series_names, series_styles

_POINTS = 400
"""Most points of a training curve; longer ones are thinned."""


class Figure:
    """plotly's {data, layout} as JSON has it. Its own classes check every value, which took longer than all else on the page; a
    test has them check ours."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {}

    def add_scatter(self, **trace: Any) -> None:
        """A line or points; what is None is left out."""
        self._add("scatter", trace)

    def add_bar(self, **trace: Any) -> None:
        """Bars."""
        self._add("bar", trace)

    def _add(self, kind: str, trace: Mapping[str, Any]) -> None:
        self.data.append({"type": kind} | {key: value for key, value in trace.items() if value is not None})

    def update_layout(self, layout: Mapping[str, Any], **further: Any) -> None:
        """Set what is named."""
        self.layout |= {**layout, **further}

    def update_xaxes(self, **settings: Any) -> None:
        """Settings beside the layout's."""
        self.layout["xaxis"] = self.layout["xaxis"] | settings

    def update_yaxes(self, **settings: Any) -> None:
        """Settings beside the layout's."""
        self.layout["yaxis"] = self.layout["yaxis"] | settings

    def plain(self) -> dict[str, Any]:
        """For a `Plot`."""
        return {"data": self.data, "layout": self.layout}


@dataclass(frozen=True)
class Plot:
    """One plot: an identifier within the page, a title above it, and plotly's {data, layout}."""

    name: str
    title: str
    figure: dict[str, Any]


@dataclass(frozen=True)
class Curves:
    """The training curves of one stage; `columns` are the choices of its selector."""

    stage: str
    columns: list[str]
    last_step: int
    plot: Plot


def snr_plots(rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """One plot a metric: quality against SNR, for every channel and CBR (meta: series, channel, cbr)."""
    return [_metric_plot(metric, rows, "snr_db", ("channel", "cbr")) for metric in _metrics(rows)]


def cbr_plots(rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """One plot a metric: quality against CBR, for every channel and SNR (meta: series, channel, snr_db)."""
    return [_metric_plot(metric, rows, "cbr", ("channel", "snr_db")) for metric in _metrics(rows)]


def training_curves(folder: Path) -> list[Curves]:
    """Every readable `STAGE.csv` of a folder with a column `step` and at least one other scalar."""
    curves = []
    for index, path in enumerate(sorted(folder.glob("*.csv")) if folder.is_dir() else []):
        try:
            table = pd.read_csv(path).apply(pd.to_numeric, errors="coerce")
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
            continue
        columns = [c for c in table.columns if c != "step" and table[c].notna().any()]
        if "step" not in table or not columns:
            continue
        columns.sort(key=lambda c: (c != "loss", "loss" not in c))
        figure = Figure()
        for column in columns:
            _add_curve(figure, table[["step", column]].dropna(), column)
        figure.update_layout(figure_layout("step"))
        plot = Plot(f"training{index}", path.stem, figure.plain())
        curves.append(Curves(path.stem, columns, int(table["step"].max()), plot))
    return curves


def _add_curve(figure: Figure, points: pd.DataFrame, column: str) -> None:
    """The raw values, thin, and where there are enough of them their running mean on top."""
    smooth = points[column].rolling(max(1, len(points) // 20), center=True, min_periods=1).mean()
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).astype(int))
    noisy = len(points) >= 40
    x, y = _digits(points["step"], keep), _digits(points[column], keep)
    line = {"color": HUES[0], "width": 1 if noisy else 2}
    scatter = {"mode": "lines+markers" if len(points) < 3 else "lines", "meta": {"column": column}}
    figure.add_scatter(x=x, y=y, line=line, opacity=0.35 if noisy else 1, name=column, **scatter)
    if noisy:
        name = f"{column}, running mean"
        figure.add_scatter(x=x, y=_digits(smooth, keep), line={**line, "width": 2.5}, name=name, **scatter)


def _digits(values: pd.Series[Any], keep: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values.to_numpy(dtype=float)[keep]]


def _metrics(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return order_metrics(r["metric"] for r in rows if not is_aside(r["method"]) and r["mean"] is not None)


def _metric_plot(metric: str, rows: Sequence[Mapping[str, Any]], axis: str, choices: tuple[str, str]) -> Plot:
    info = metric_info(metric)
    assert info is not None
    names = series_names(rows)
    styles = series_styles(list(names))
    wanted = [r for r in rows if r["metric"] == metric and r["mean"] is not None and not is_aside(r["method"])]
    figure = Figure()
    for key, name in names.items():
        series = [r for r in wanted if (r["method"], r["steps"]) == key]
        for choice in sorted({(str(r[choices[0]]), float(r[choices[1]])) for r in series}):
            points = [r for r in series if (r[choices[0]], r[choices[1]]) == choice]
            meta = {"series": name, choices[0]: choice[0], choices[1]: f"{choice[1]:g}"}
            add_series(figure, sorted(points, key=lambda r: float(r[axis])), axis, name, styles[key], meta)
    figure.update_layout(figure_layout("SNR (dB)" if axis == "snr_db" else "CBR"))
    values = sorted({float(r[axis]) for r in wanted})
    text = [f"{v:g}" if axis == "snr_db" else cbr_label(v) for v in values]
    if axis == "cbr":
        figure.update_xaxes(type="log")
    figure.update_xaxes(tickvals=values, ticktext=text)
    return Plot(f"{axis}-{metric}", f"{info.label} {ARROWS[info.direction]}", figure.plain())


def add_series(
    figure: Figure, points: Sequence[Mapping[str, Any]], axis: str, name: str, style: Style, meta: dict[str, str]
) -> None:
    """The interval as a band (as an error bar for a single point), and the means on top."""
    x = [float(r[axis]) for r in points]
    mean, low, high = ([float(f"{r[k]:.6g}") for r in points] for k in ("mean", "low", "high"))
    if len(points) > 1:
        figure.add_scatter(
            x=x + x[::-1],
            y=high + low[::-1],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=style.faint,
            hoverinfo="skip",
            meta=meta,
        )
    bars = {"type": "data", "array": [high[0] - mean[0]], "arrayminus": [mean[0] - low[0]], "symmetric": False}
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines+markers",
        name=name,
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker={"symbol": style.marker, "size": 8, "color": style.colour},
        error_y=bars if len(points) == 1 else None,
        customdata=[[lo, hi] for lo, hi in zip(low, high, strict=True)],
        hovertemplate="%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]",
        zorder=2 if meta["series"].startswith(method_label(OURS)) else 1,
        meta=meta,
    )


def figure_layout(x_title: str) -> dict[str, Any]:
    """Layout of every plot of the page."""
    return {
        "height": 300,
        "margin": {"l": 52, "r": 12, "t": 8, "b": 44},
        "showlegend": False,
        "hovermode": "x unified",
        "hoverdistance": -1,
        "xaxis": {"title": {"text": x_title}, "zeroline": False},
        "yaxis": {"zeroline": False, "automargin": True},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
