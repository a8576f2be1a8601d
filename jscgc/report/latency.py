"""What a received photograph costs: milliseconds and network evaluations (NFE), per receiver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jscgc.evaluation.judges import ranking
from jscgc.report.figures import Figure, Plot, figure_layout
from jscgc.report.headline import ARROWS
from jscgc.report.reading import OURS, is_aside, method_label, metric_info, metric_label, order_methods
from jscgc.report.series import series_names, series_styles


def latency_rows(timing: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """timing.json's entries with the mean NFE of the results (None where not measured), in reading order, large photos first."""
    nfe: dict[tuple[str, int], list[float]] = {}
    for r in rows:
        if r["metric"] == "nfe" and r["mean"] is not None:
            nfe.setdefault((r["method"], r["steps"]), []).append(float(r["mean"]))
    order = order_methods(t["method"] for t in timing)
    entries = []
    for t in timing:
        values = nfe.get((t["method"], t["steps"]))
        entries.append({**t, "nfe": sum(values) / len(values) if values else None})
    return sorted(entries, key=lambda t: (order.index(t["method"]), t["steps"], -t["height"] * t["width"]))


def latency_plots(latencies: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Bars of transmit and receive time at the largest size that most receivers were timed at, and quality against receive time.

    Quality is of the condition of `rows`: one channel, SNR and CBR.
    """
    timed = [t for t in latencies if not is_aside(t["method"])]
    if not timed:
        return []
    sizes = [(t["height"], t["width"]) for t in timed]
    size = max(set(sizes), key=lambda s: (sizes.count(s), s[0] * s[1], s))
    timed = [t for t in timed if (t["height"], t["width"]) == size]
    names = series_names(timed)
    styles = series_styles(list(names))
    by_key = {(t["method"], t["steps"]): t for t in timed}
    where = f"{size[1]} × {size[0]} pixels"
    return [_bars(names, by_key, where), *_against_quality(names, styles, by_key, rows)]


def _bars(names: Mapping[Any, str], timed: Mapping[Any, Mapping[str, Any]], where: str) -> Plot:
    figure = Figure()
    keys = list(reversed(names))
    labels = [names[k] + (f" · {timed[k]['nfe']:g} NFE" if timed[k]["nfe"] else "") for k in keys]
    for part, name, colour in (("encode", "transmit", "#7d8590"), ("decode", "receive", "#2f7de1")):
        values = [float(f"{timed[k][f'{part}_ms_median']:.4g}") for k in keys]
        figure.add_bar(
            x=values, y=labels, orientation="h", name=name, marker={"color": colour},
            hovertemplate="%{x:.4g} ms", meta={"series": ""},
        )  # fmt: skip
    layout = figure_layout("median milliseconds")
    layout["margin"] = layout["margin"] | {"t": 30}
    layout |= {
        "barmode": "stack",
        "showlegend": True,
        "hovermode": "closest",
        "hoverdistance": 20,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "height": max(300, 60 + 28 * len(keys)),
    }
    figure.update_layout(layout)
    return Plot("latency-bars", f"Time for one photograph of {where}", figure.plain())


def _against_quality(
    names: Mapping[Any, str],
    styles: Mapping[Any, Any],
    timed: Mapping[Any, Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
) -> list[Plot]:
    here = [r for r in rows if (r["method"], r["steps"]) in names and r["mean"] is not None]
    measured = {r["metric"] for r in here if metric_info(r["metric"])}
    metric = ranking(measured)
    if metric is None:
        return []
    figure = Figure()
    for r in (r for r in here if r["metric"] == metric):
        key = (r["method"], r["steps"])
        style, mean = styles[key], float(r["mean"])
        figure.add_scatter(
            x=[float(f"{timed[key]['decode_ms_median']:.4g}")],
            y=[float(f"{mean:.6g}")],
            error_y={
                "type": "data", "symmetric": False, "array": [r["high"] - mean], "arrayminus": [mean - r["low"]],
                "thickness": 1, "width": 3,
            },
            mode="markers",
            zorder=2 if key[0] == OURS else 1,
            name=names[key],
            marker={"symbol": style.marker, "size": 11, "color": style.colour},
            hovertemplate=f"{method_label(key[0])}: %{{x:.4g}} ms, %{{y:.4g}}<extra></extra>",
            meta={"series": names[key]},
        )  # fmt: skip
    layout = figure_layout("median milliseconds to receive") | {"hovermode": "closest", "hoverdistance": 20}
    figure.update_layout(layout)
    figure.update_xaxes(type="log")
    info = metric_info(metric)
    assert info is not None
    return [Plot("latency-quality", f"{metric_label(metric)} {ARROWS[info.direction]} against time", figure.plain())]
