"""What the page says beside the comparison: information and capacity, the dial, and the theory's checks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from jscgc.information import TRUSTED_EFFICIENCY
from jscgc.report.figures import Plot, add_series, figure_layout, plain
from jscgc.report.reading import MEAN_OF, OURS, is_aside, metric_info
from jscgc.report.series import HUES, series_names, series_styles

_GREY = "#8a8f98"
_DIAL = ("psnr", "feature_distance_efficientnet_lite0", "lpips")


def information_plots(rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Bits per image beside the capacity, bits per symbol, and the share of the capacity, against SNR (meta: series, channel,
    cbr); [] if not measured."""
    measured = [r for r in rows if not is_aside(r["method"]) and r["mean"] is not None]
    bits = [r for r in measured if r["metric"] == "information_bits"]
    if not bits:
        return []
    capacity = [r for r in measured if r["metric"] == "capacity_bits"]
    efficiency = [r for r in measured if r["metric"] == "information_efficiency"]
    per_use = [r for r in measured if r["metric"] == "information_bits_per_use"]
    return [
        _against_snr("information-bits", "Bits per photograph (dashed: capacity)", bits, capacity),
        _against_snr("information-per-use", "Bits per data symbol", per_use, []),
        _against_snr("information-efficiency", "Share of the capacity", efficiency, [], TRUSTED_EFFICIENCY),
    ]


def _against_snr(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    dashed: Sequence[Mapping[str, Any]],
    ceiling: float | None = None,
) -> Plot:
    figure = go.Figure()
    names = series_names(rows)
    styles = series_styles(list(names))
    choices = sorted({(str(r["channel"]), float(r["cbr"])) for r in rows})
    for channel, cbr in choices:
        meta = {"channel": channel, "cbr": f"{cbr:g}"}
        for key, label in names.items():
            if points := _points(rows, key, channel, cbr):
                add_series(figure, points, "snr_db", label, styles[key], {**meta, "series": label})
        if first := _points(dashed, next(iter(names)), channel, cbr):
            line = {"color": _GREY, "width": 2, "dash": "dash"}
            x, y = ([float(f"{r[k]:.6g}") for r in first] for k in ("snr_db", "mean"))
            figure.add_scatter(x=x, y=y, mode="lines", name="capacity", line=line, meta={**meta, "series": ""})
        if ceiling is not None and (snrs := sorted({float(r["snr_db"]) for r in rows})):
            line = {"color": _GREY, "width": 1, "dash": "dot"}
            span = {"x": [snrs[0], snrs[-1]], "y": [ceiling, ceiling]}
            figure.add_scatter(**span, mode="lines", name="trusted below", line=line, meta={**meta, "series": ""})
    figure.update_layout(figure_layout("SNR (dB)"))
    return Plot(name, title, plain(figure))


def _points(
    rows: Iterable[Mapping[str, Any]], key: tuple[str, int], channel: str, cbr: float
) -> list[Mapping[str, Any]]:
    points = [r for r in rows if (r["method"], r["steps"]) == key and r["channel"] == channel and r["cbr"] == cbr]
    return sorted(points, key=lambda r: float(r["snr_db"]))


def dial_plots(rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Plot]]:
    """Where the dial was measured, and its plots: quality of the mean of N samples against N; none if not measured.

    The dashed line is the law of exact posterior samples, squared error (1 + 1/N) times the least one, put through the value at
    N = 1.
    """
    means: dict[tuple[Any, ...], dict[int, dict[str, float]]] = {}
    for r in rows:
        mean_of = re.fullmatch(rf"{OURS}{MEAN_OF}(\d+)", r["method"])
        if mean_of and r["mean"] is not None:
            condition = (r["channel"], r["snr_db"], r["cbr"], r["steps"])
            means.setdefault(condition, {}).setdefault(int(mean_of[1]), {})[r["metric"]] = float(r["mean"])
    if not means:
        return "", []
    condition, dial = next(iter(means.items()))
    counts, plots = sorted(dial), []
    for metric in _DIAL:
        info = metric_info(metric)
        if info is None or not all(metric in dial[n] for n in counts):
            continue
        figure = go.Figure()
        line = {"color": HUES[0], "width": 2}
        values = [float(f"{dial[n][metric]:.6g}") for n in counts]
        figure.add_scatter(
            x=counts, y=values, mode="lines+markers", name="measured", line=line, meta={"series": "dial"}
        )
        if metric == "psnr":
            law = [values[0] + 10 * math.log10(2 / (1 + 1 / n)) for n in counts]
            dashed = {"color": _GREY, "width": 2, "dash": "dash"}
            figure.add_scatter(
                x=counts, y=law, mode="lines", name="exact samples", line=dashed, meta={"series": "dial"}
            )
        figure.update_layout(figure_layout("samples N in the mean"))
        figure.update_xaxes(type="log", tickvals=counts, ticktext=[str(n) for n in counts])
        plots.append(Plot(f"dial-{metric}", info.label, plain(figure)))
    channel, snr_db, cbr, steps = condition
    return f"{channel}, {snr_db:g} dB, CBR {round(768 * cbr)}/768; samples of {steps} steps, without guidance", plots


def theory_plots(figures: Mapping[str, Any]) -> list[Plot]:
    """Errors of the solvers against steps, and how each loss shares power between components."""
    plots = []
    if orders := figures.get("orders"):
        figure = go.Figure()
        for colour, (solver, measured) in zip(HUES, orders.items(), strict=False):
            line = {"color": colour, "width": 2}
            x, y = measured["steps"], measured["error"]
            figure.add_scatter(x=x, y=y, mode="lines+markers", name=solver, line=line, meta={"series": solver})
        figure.update_layout(figure_layout("steps"), showlegend=True)
        figure.update_xaxes(type="log")
        figure.update_yaxes(type="log", exponentformat="power")
        plots.append(Plot("theory-orders", "Largest error of a sample against steps", plain(figure)))
    if allocation := figures.get("allocation"):
        figure = go.Figure()
        for colour, (loss, fit) in zip(HUES, allocation.items(), strict=False):
            x, y = fit["variance"], fit["one_plus_snr"]
            marker = {"color": colour, "size": 8}
            figure.add_scatter(x=x, y=y, mode="markers", name=loss, marker=marker, meta={"series": loss})
            # The law through the measured powers' geometric mean.
            scale = math.exp(
                sum(math.log(b) - fit["exponent"] * math.log(a) for a, b in zip(x, y, strict=True)) / len(x)
            )
            law = [scale * a ** fit["exponent"] for a in x]
            line = {"color": colour, "width": 1}
            label = f"variance^{fit['exponent']:.2g}"
            figure.add_scatter(x=x, y=law, mode="lines", name=label, line=line, meta={"series": loss})
        figure.update_layout(figure_layout("variance of the component"), showlegend=True)
        figure.update_xaxes(type="log")
        figure.update_yaxes(type="log")
        plots.append(Plot("theory-allocation", "1 + P/σ² that each loss gives a component", plain(figure)))
    return plots
