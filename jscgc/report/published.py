"""Published figures beside ours: never on one axis, because images, networks and scales differ.

The paper's are those of `published_data`. `reports/published.csv` holds the anchors that `jscgc bench published` recomputes on
the very same images: those alone may be compared number by number. `published_table` has every number as a line of a table.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jscgc.report.figures import Figure, Plot, add_series, figure_layout
from jscgc.report.headline import ARROWS
from jscgc.report.published_data import LOWER, SECONDS, Row, at, channel_of, paper_rows, partner
from jscgc.report.reading import (
    OURS,
    REFERENCE,
    cbr_label,
    channel_label,
    is_aside,
    method_label,
    metric_info,
    metric_label,
    order_metrics,
    rate_of,
)
from jscgc.report.series import Series, Style, series_names, series_styles

PAPER_RATE = 2
"""Of the paper's curves over SNR, complex symbols per position."""
_AXES = {"snr_db": "SNR (dB)", "rate": "CBR", "steps": "sampling steps"}


@dataclass(frozen=True)
class Beside:
    """One published plot and ours of the nearest metric, each on its own axes.

    group: the paper's figure. where: the conditions of ours, or why there is none.
    """

    group: str
    metric: str
    published: Plot
    ours: Plot | None
    where: str


def anchors(path: Path) -> list[dict[str, Any]]:
    """reports/published.csv as text, and whether the difference is `within` its tolerance; [] where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{**r, "within": abs(float(r["difference"])) <= float(r["tolerance"])} for r in csv.DictReader(file)]


def group_label(row: Row) -> str:
    """The paper's figure that a published row is of."""
    channel = "Rayleigh" if row["channel"] == "rayleigh" else channel_label(row["channel"])
    return {
        "snr_db": f"{channel}, CBR {row['rate']}/768, over SNR",
        "rate": f"{channel}, {row['snr_db']:g} dB, over CBR",
        "steps": f"{channel}, {row['snr_db']:g} dB, CBR {row['rate']}/768, over sampling steps",
    }[row["over"]]


def published_plots(rows: Sequence[Row], latencies: Sequence[Row] = ()) -> list[Beside]:
    """Every plot of the paper, and ours of the same kind as far as these results go.

    Args:
        rows: of the summary, asides too.
        latencies: of `latency.latency_rows`.
    """
    plots: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in paper_rows():
        plots.setdefault((group_label(row), row["metric"]), []).append(row)
    found = []
    for index, ((group, metric), theirs) in enumerate(plots.items()):
        arrow = ARROWS["lower" if metric in LOWER else "higher"]
        published = Plot(f"published-{index}", f"Paper: {metric} {arrow}", _paper_figure(theirs))
        ours, where = _OURS[theirs[0]["over"]](f"published-ours-{index}", theirs[0], rows, latencies)
        found.append(Beside(group, metric, published, ours, where))
    return found


def psnr_gaps(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """PSNR over AWGN of the paper's methods that were measured here at its CBR: {label, snr_db, published, ours, gap}, in dB."""
    ours = {
        (r["method"], float(r["snr_db"])): float(r["mean"])
        for r in rows
        if r["metric"] == "psnr"
        and r["channel"] == "awgn"
        and r["mean"] is not None
        and rate_of(r["cbr"]) == PAPER_RATE
    }
    return [
        {
            "label": method_label(r["method"]),
            "snr_db": r["snr_db"],
            "published": r["value"],
            "ours": ours[key],
            "gap": ours[key] - r["value"],
        }
        for r in paper_rows()
        if r["metric"] == "PSNR (dB)" and r["channel"] == "awgn" and r["rate"] == PAPER_RATE
        if (key := (r["method"], r["snr_db"])) in ours
    ]


def legend(rows: Sequence[Row]) -> list[tuple[str, Style]]:
    """Every series of `published_plots`, the paper's and ours."""
    there = {r["channel"] for r in rows}
    channels = {channel_of(name, there) for name in ("awgn", "rayleigh")}
    names = series_names(r for r in rows if r["channel"] in channels)
    theirs = series_names({**r, "steps": 0} for r in paper_rows())
    names |= {key: name for key, name in theirs.items() if name not in names.values()}
    styles = series_styles(list(names))
    return [(name, styles[key]) for key, name in names.items()]


def _ticks(figure: Figure, axis: str, values: Iterable[float]) -> None:
    there = sorted(set(values))
    text = [cbr_label(v / 768) if axis == "rate" else f"{v:g}" for v in there]
    if axis != "snr_db":
        figure.update_xaxes(type="log")
    figure.update_xaxes(tickvals=there, ticktext=text)


def _paper_figure(theirs: Sequence[Row]) -> dict[str, Any]:
    figure = Figure()
    axis = theirs[0]["over"]
    names = series_names({**r, "steps": 0} for r in theirs)
    styles = series_styles(list(names))
    for key, name in names.items():
        points = sorted((r for r in theirs if r["method"] == key[0]), key=lambda r: float(r[axis]))
        style = styles[key]
        figure.add_scatter(
            x=[r[axis] for r in points],
            y=[r["value"] for r in points],
            mode="lines+markers",
            name=name,
            line={"color": style.colour, "width": 2, "dash": style.dash},
            # Open where read off a plot: an eye's number is not a stated one.
            marker={
                "symbol": [style.marker + ("" if r["exact"] else "-open") for r in points],
                "size": 8,
                "color": style.colour,
            },
            hovertemplate="%{y:.4g}",
            meta={"series": name},
        )
    figure.update_layout(figure_layout(_AXES[axis]))
    _ticks(figure, axis, (r[axis] for r in theirs))
    return figure.plain()


def _over_snr(name: str, of: Row, rows: Sequence[Row], _: Sequence[Row]) -> tuple[Plot | None, str]:
    """Ours over the same channel and the same CBR, or the nearest that we have."""
    channel = channel_of(of["channel"], {r["channel"] for r in rows})
    here = [r for r in _measured(rows) if r["channel"] == channel]
    cbr = min({r["cbr"] for r in here}, key=lambda c: abs(c - of["rate"] / 768), default=None)
    here = [r for r in here if r["cbr"] == cbr]
    if not here or channel is None or cbr is None:
        return None, f"These results have no {'Rayleigh' if of['channel'] == 'rayleigh' else 'AWGN'} channel."
    other = "" if rate_of(cbr) == of["rate"] else f": not the paper's {of['rate']}/768, which was not measured"
    return _plot(name, of, here, "snr_db", f"{channel_label(channel)}, CBR {cbr_label(cbr)}{other}")


def _over_cbr(name: str, of: Row, rows: Sequence[Row], _: Sequence[Row]) -> tuple[Plot | None, str]:
    """Ours over the same channel at the same SNR."""
    here = [
        {**r, "rate": 768 * r["cbr"]}
        for r in _measured(rows)
        if (r["channel"], r["snr_db"]) == (of["channel"], of["snr_db"])
    ]
    if not here:
        return None, f"Not measured at {channel_label(of['channel'])}, {of['snr_db']:g} dB."
    return _plot(name, of, here, "rate", f"{channel_label(of['channel'])}, {of['snr_db']:g} dB")


def _over_steps(name: str, of: Row, rows: Sequence[Row], latencies: Sequence[Row]) -> tuple[Plot | None, str]:
    """Ours with several numbers of steps: where the paper's are, or where most were measured."""
    if of["metric"] == SECONDS:
        return _seconds(name, latencies)
    swept = [r for r in rows if r["method"] in (OURS, REFERENCE) and r["mean"] is not None and metric_info(r["metric"])]
    places: dict[tuple[Any, ...], set[int]] = {}
    for r in swept:
        places.setdefault((r["channel"], r["snr_db"], r["cbr"]), set()).add(r["steps"])

    def rank(place: tuple[Any, ...]) -> tuple[bool, int]:
        channel, snr_db, cbr = place
        theirs = at({"channel": channel, "snr_db": snr_db, "cbr": cbr}, of["channel"], of["rate"], of["snr_db"])
        return theirs, len(places[place])

    several = [place for place, steps in places.items() if len(steps) > 1]
    if not several:
        return None, "Measured with one number of steps only (evaluate.reference_steps)."
    best = max(several, key=rank)
    here = [{**r, "method": OURS} for r in once_each(r for r in swept if (r["channel"], r["snr_db"], r["cbr"]) == best)]
    channel, snr_db, cbr = best
    other = "" if rank(best)[0] else ": not the paper's condition, at which there is one number of steps or none"
    return _plot(name, of, here, "steps", f"{channel_label(channel)}, {snr_db:g} dB, CBR {cbr_label(cbr)}{other}")


def once_each(rows: Iterable[Row]) -> list[Row]:
    """Of each number of steps and metric one row, the method's own before its aside's."""
    kept: dict[tuple[int, str], Row] = {}
    for row in sorted(rows, key=lambda r: r["method"] != OURS):
        kept.setdefault((row["steps"], row["metric"]), row)
    return sorted(kept.values(), key=lambda r: r["steps"])


def received_in(latencies: Sequence[Row]) -> tuple[dict[int, float], str]:
    """Steps -> seconds that JSCGC takes to receive one photograph, and of which size: that which most steps were timed at."""
    timed = [t for t in latencies if t["method"] in (OURS, REFERENCE)]
    sizes = [(t["height"], t["width"]) for t in timed]
    size = max(set(sizes), key=lambda s: (sizes.count(s), s[0] * s[1], s), default=(0, 0))
    here = [{**t, "metric": SECONDS} for t in timed if (t["height"], t["width"]) == size]
    return {t["steps"]: t["decode_ms_median"] / 1000 for t in once_each(here)}, f"{size[1]} × {size[0]} pixels"


def _seconds(name: str, latencies: Sequence[Row]) -> tuple[Plot | None, str]:
    times, size = received_in(latencies)
    if len(times) < 2:
        return None, "Timed with one number of steps only (evaluate.reference_steps)."
    figure = Figure()
    points = [{"steps": steps, "mean": s, "low": s, "high": s} for steps, s in times.items()]
    _add(figure, {(OURS, 0): method_label(OURS)}, {(OURS, 0): points}, "steps")
    plot = Plot(name, f"Ours: seconds to receive {ARROWS['lower']}", figure.plain())
    return plot, f"{size}, median of this evaluation, on its machine"


_OURS: dict[str, Callable[[str, Row, Sequence[Row], Sequence[Row]], tuple[Plot | None, str]]] = {
    "snr_db": _over_snr,
    "rate": _over_cbr,
    "steps": _over_steps,
}


def _measured(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if not is_aside(r["method"]) and r["mean"] is not None]


def _plot(name: str, of: Row, here: Sequence[Row], axis: str, where: str) -> tuple[Plot | None, str]:
    """Of the rows of one condition, those of the metric that is nearest to the published one."""
    metric = partner(of["metric"], order_metrics(r["metric"] for r in here))
    if metric is None:
        return None, f"{where}: no metric like {of['metric']} was measured."
    rows = [r for r in here if r["metric"] == metric]
    names = {(OURS, 0): method_label(OURS)} if axis == "steps" else series_names(rows)
    points = {key: [r for r in rows if axis == "steps" or (r["method"], r["steps"]) == key] for key in names}
    figure = Figure()
    _add(figure, names, points, axis)
    info = metric_info(metric)
    assert info is not None
    return Plot(name, f"Ours: {metric_label(metric)} {ARROWS[info.direction]}", figure.plain()), where


def _add(figure: Figure, names: Mapping[Series, str], points: Mapping[Series, Sequence[Row]], axis: str) -> None:
    styles = series_styles(list(names))
    for key, label in names.items():
        ordered = sorted(points[key], key=lambda r: float(r[axis]))
        add_series(figure, ordered, axis, label, styles[key], {"series": label})
    figure.update_layout(figure_layout(_AXES[axis]))
    _ticks(figure, axis, (float(r[axis]) for rows in points.values() for r in rows))
