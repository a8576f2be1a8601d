"""Published figures beside ours: never on one axis, because images, networks and scales differ.

`data/published_paper.csv` holds the values of the JSCGC paper's plots (Kodak at full resolution, CBR 2/768); `exact` says whether
the paper states the number or whether it was read off a plot (to about 0.004; rFID to 1). `reports/published.csv` holds the
anchors that `jscgc bench published` recomputes on the very same images: those alone may be compared number by number.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jscgc.report.figures import Figure, Plot, add_series, figure_layout
from jscgc.report.headline import ARROWS
from jscgc.report.reading import is_aside, method_label, metric_info, metric_label, order_metrics, rate_of
from jscgc.report.series import Style, series_names, series_styles

_PARTNERS = {
    "PSNR (dB)": ("psnr",),
    "LPIPS": ("lpips_alex", "lpips_vgg"),
    "DISTS": ("dists",),
    "CLIP score": ("clip_score", "semantic_cosine_efficientnet_lite2"),
    "DINO score": ("dino_score", "dino_score_vits14", "semantic_cosine_efficientnet_lite2"),
    "DreamSim": ("dreamsim", "feature_distance_efficientnet_lite2"),
    "rFID": ("fid_inception", "fid_efficientnet_lite2"),
}
"""Published metric -> ours that look at the same, the nearest first."""
PAPER_RATE = 2
"""Of the paper's curves over SNR, complex symbols per position."""
_LOWER = ("LPIPS", "DISTS", "DreamSim", "rFID")


@dataclass(frozen=True)
class Beside:
    """One published metric and the nearest of ours, each on its own axes."""

    metric: str
    published: Plot
    ours: Plot | None


def paper_rows() -> list[dict[str, Any]]:
    """The paper's values: {metric, channel, rate, snr_db, method, value, exact, source}."""
    text = files("jscgc.report").joinpath("data/published_paper.csv").read_text(encoding="utf-8")
    return [
        {
            **r,
            "rate": int(r["rate"]),
            "snr_db": float(r["snr_db"]),
            "value": float(r["value"]),
            "exact": r["exact"] == "yes",
        }
        for r in csv.DictReader(text.splitlines())
    ]


def anchors(path: Path) -> list[dict[str, Any]]:
    """reports/published.csv as text, and whether the difference is `within` its tolerance; [] where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{**r, "within": abs(float(r["difference"])) <= float(r["tolerance"])} for r in csv.DictReader(file)]


def published_plots(rows: Sequence[Mapping[str, Any]]) -> list[Beside]:
    """Per published metric, the paper's AWGN curves and ours at AWGN and the same CBR (or the nearest that we have)."""
    paper = [r for r in paper_rows() if r["channel"] == "awgn"]
    ours = [r for r in rows if not is_aside(r["method"]) and r["channel"] == "awgn" and r["mean"] is not None]
    measured = order_metrics(r["metric"] for r in ours)
    cbr = min({r["cbr"] for r in ours}, key=lambda c: abs(c - paper[0]["rate"] / 768), default=None)
    plots = []
    for index, metric in enumerate(dict.fromkeys(r["metric"] for r in paper)):
        partner = next((m for m in _PARTNERS[metric] if m in measured), None)
        here = [r for r in ours if r["metric"] == partner and r["cbr"] == cbr]
        arrow = ARROWS["lower" if metric in _LOWER else "higher"]
        published = Plot(f"published-{index}", f"Paper: {metric} {arrow}", _paper_figure(paper, metric))
        plots.append(Beside(metric, published, _our_figure(here, partner, index) if partner and here else None))
    return plots


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


def legend(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Style]]:
    """Every series of `published_plots`, the paper's and ours."""
    ours = [r for r in rows if r["channel"] == "awgn"]
    names = series_names(ours)
    names |= {
        k: v for k, v in series_names([{**r, "steps": 0} for r in paper_rows()]).items() if v not in names.values()
    }
    styles = series_styles(list(names))
    return [(name, styles[key]) for key, name in names.items()]


def _paper_figure(paper: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    figure = Figure()
    theirs = [{**r, "steps": 0} for r in paper if r["metric"] == metric]
    names = series_names(theirs)
    for key, name in names.items():
        points = sorted((r for r in theirs if r["method"] == key[0]), key=lambda r: float(r["snr_db"]))
        style = series_styles(list(names))[key]
        figure.add_scatter(
            x=[r["snr_db"] for r in points],
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
    figure.update_layout(figure_layout("SNR (dB)"))
    return figure.plain()


def _our_figure(rows: Sequence[Mapping[str, Any]], metric: str, index: int) -> Plot:
    figure = Figure()
    names = series_names(rows)
    styles = series_styles(list(names))
    for key, name in names.items():
        points = sorted((r for r in rows if (r["method"], r["steps"]) == key), key=lambda r: float(r["snr_db"]))
        add_series(figure, points, "snr_db", name, styles[key], {"series": name})
    figure.update_layout(figure_layout("SNR (dB)"))
    info = metric_info(metric)
    assert info is not None
    title = f"Ours: {metric_label(metric)} {ARROWS[info.direction]}"
    return Plot(f"published-ours-{index}", title, figure.plain())
