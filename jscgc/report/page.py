"""reports/index.html: one self-contained page from results.csv, pictures, curves and stage metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from jscgc import metrics
from jscgc.channel.central import middle
from jscgc.files import atomic, read_json
from jscgc.method import METHODS
from jscgc.report import figures, reading, semantics, theory
from jscgc.report.checks import ENOUGH
from jscgc.report.gallery import gallery
from jscgc.report.headline import ARROWS, MARK, Headline, headline_table
from jscgc.report.invented import invented
from jscgc.report.latency import latency_plots, latency_rows
from jscgc.report.published import anchors, psnr_gaps, published_plots
from jscgc.report.published import legend as published_legend
from jscgc.report.series import Style, series_names, series_styles
from jscgc.report.summary import matrices, summarise
from jscgc.report.verdict import verdict

_OVER = {
    "draws": "over the channel draws, not over the choice of photographs",
    "images and draws": "over photographs, by the jackknife, and channel draws",
    "trainings and draws": "over trainings and channel draws, not over the choice of photographs",
    "trainings, images and draws": "over trainings, photographs (by the jackknife) and channel draws",
}
"""What a set metric's interval covers (`summary`'s interval_over), in words."""
_EXACT = ("snr_db", "cbr")
"""Numbers that selectors compare as text."""


def build_page(
    reports: Path,
    *,
    params_text: str,
    manifest: Mapping[str, Any] | None,
    commit: str,
    profile: str,
    date: str = "",
    notes: Sequence[str] = (),
    summary: Mapping[str, Any] | None = None,
    cells: Mapping[reading.Condition, pd.DataFrame] | None = None,
) -> Path:
    """Write `reports`/index.html; equal inputs give an equal page.

    Args:
        reports: the folder with results.csv and, where they exist, pictures/, curves/, metrics/ and timing.json.
        params_text: params.yaml as it was used, shown verbatim.
        manifest: the prepared data's manifest; None if there is none.
        commit: of the code that made the results.
        profile: of the parameters.
        date: of the results, as text; empty leaves it out (the current time would not be reproducible).
        notes: known limits of the method or the run, shown verbatim.
        summary, cells: of these results (`summarise`, `matrices`), if they are at hand: they take seconds to make.

    Returns:
        The page's path.

    Raises:
        ValueError: results.csv breaks its contract, or a JSON file is none.
    """
    table = reading.load_results(reports / "results.csv")
    cells = matrices(table) if cells is None else cells
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            _context(reports, table, cells, summary or summarise(table, cells)),
            plotly_js=get_plotlyjs(),
            params_text=params_text,
            manifest=manifest,
            commit=commit,
            profile=profile,
            date=date,
            notes=notes,
        )
    )
    out = reports / "index.html"
    with atomic(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jscgc.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": reading.number,
        "cbr": reading.cbr_label,
        "method": reading.method_label,
        "channel": reading.channel_label,
        "metric": reading.metric_label,
        "duration": duration,
        "signed": semantics.signed,
    }
    return environment


def _context(
    reports: Path, table: pd.DataFrame, cells: Mapping[reading.Condition, pd.DataFrame], summary: Mapping[str, Any]
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = summary["rows"]
    main = [r for r in rows if not reading.is_aside(r["method"])]
    snr_plots, cbr_plots = figures.snr_plots(main), figures.cbr_plots(main)
    curves = figures.training_curves(reports / "curves")
    names = series_names(main)
    styles = series_styles(list(names))
    headline = headline_table(summary)
    information = theory.information_plots(rows)
    dial_condition, dial = theory.dial_plots(rows)
    checks = read_json(reports / "theory.json") if (reports / "theory.json").is_file() else {"rows": [], "figures": {}}
    theory_plots = theory.theory_plots(checks["figures"])
    timing = read_json(reports / "timing.json") if (reports / "timing.json").is_file() else []
    latencies = latency_rows(timing, rows)
    latency = latency_plots(latencies, _at(main, headline))
    beside = published_plots(main)
    published = [plot for pair in beside for plot in (pair.published, pair.ours) if plot is not None]
    every_plot = [*snr_plots, *cbr_plots, *(c.plot for c in curves), *information, *dial]
    every_plot += [*theory_plots, *latency, *published]
    return {
        "summary": summary,
        "rows": rows,
        "headline": headline,
        "verdict": verdict(headline, cells, summary.get("paired") or []),
        "photos_used": _photos_used(main, headline),
        "ideal": sorted({r["method"] for r in main if r["method"] in METHODS and METHODS[r["method"]].ideal}),
        "enough": ENOUGH,
        "comparisons": _comparisons(summary, headline),
        "axes": _axes(main),
        "legend_entries": [(label, styles[key]) for key, label in names.items()],
        "snr_plots": snr_plots,
        "cbr_plots": cbr_plots,
        "curves": curves,
        "information": {"plots": information, "said": theory.information_sentence(rows)},
        "dial": {"condition": dial_condition, "plots": dial, "calibration": theory.calibration_sentence(rows)},
        "theory": {"rows": checks["rows"], "plots": theory_plots, "joint": checks.get("joint", [])},
        "figures": {plot.name: plot.figure for plot in every_plot},
        "semantics": {
            "axes": semantics.semantic_axes(r["metric"] for r in main if r["mean"] is not None),
            "readings": semantics.semantic_readings(cells, rows),
            "data": _semantic_data(main, {label: styles[key] for key, label in names.items()}),
        },
        "published": {
            "beside": beside,
            "anchors": anchors(reports / "published.csv"),
            "gaps": psnr_gaps(main),
            "legend": published_legend(main),
        },
        "latency": {"rows": latencies, "plots": latency},
        "pictures": gallery(
            reports / "pictures",
            table,
            summary["checks"]["controls"],
            (headline.channel, headline.snr_db, reading.rate_of(headline.cbr)) if headline else None,
        ),
        "invented": invented(rows),
        "sets": _sets(summary, headline),
        "mark": MARK,
        "stages": _stages(reports / "metrics"),
        "metrics": _metric_guide(rows),
    }


def _axes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The choices of the selectors: (value as the traces' meta has it, text), the preselected one first named."""
    if not rows:
        return {"channel": [], "cbr": [], "snr_db": [], "first": {}}
    channels = reading.order_channels(r["channel"] for r in rows)
    cbrs, snrs = sorted({r["cbr"] for r in rows}), sorted({r["snr_db"] for r in rows})
    times = Counter(cbr for cbr, _ in {(r["cbr"], r["snr_db"]) for r in rows if r["channel"] == channels[0]})
    widest = max(cbr for cbr, count in times.items() if count == max(times.values()))
    return {
        "channel": [(c, reading.channel_label(c)) for c in channels],
        "cbr": [(f"{c:g}", reading.cbr_label(c)) for c in cbrs],
        "snr_db": [(f"{s:g}", f"{s:g} dB") for s in snrs],
        "first": {"channel": channels[0], "cbr": f"{widest:g}", "snr_db": f"{middle(snrs):g}"},
    }


def _at(rows: Sequence[Mapping[str, Any]], headline: Headline | None) -> list[Mapping[str, Any]]:
    """The rows of the headline's condition."""
    if headline is None:
        return []
    place = (headline.channel, headline.snr_db, headline.cbr)
    return [r for r in rows if (r["channel"], r["snr_db"], r["cbr"]) == place]


def _semantic_data(rows: Sequence[Mapping[str, Any]], styles: Mapping[str, Style]) -> dict[str, Any]:
    """What the script plots of the three axes: points, looks and labels."""
    measured = {r["metric"] for r in rows if r["mean"] is not None}
    wanted = [m for metrics in semantics.semantic_axes(measured).values() for m in metrics]
    return {
        "points": semantics.semantic_points(rows),
        "styles": {name: {"colour": s.colour, "dash": s.dash, "marker": s.marker} for name, s in styles.items()},
        "labels": {m: f"{reading.short_label(m)} {_arrow(m)}" for m in wanted},
        "lower": [m for m in wanted if _arrow(m) == ARROWS["lower"]],
    }


def _arrow(metric: str) -> str:
    info = reading.metric_info(metric)
    return ARROWS[info.direction] if info else ""


def _photos_used(rows: Sequence[Mapping[str, Any]], headline: Headline | None) -> Mapping[str, Any] | None:
    """The row of the headline's condition over the most photographs, for their number and that of the draws."""
    candidates = [r for r in _at(rows, headline) if r["mean"] is not None and reading.metric_info(r["metric"])]
    return max(candidates, key=lambda r: (r["images"], r["draws"]), default=None)


def _sets(summary: Mapping[str, Any], headline: Headline | None) -> list[dict[str, Any]]:
    """The headline's table of each set of photographs by itself: {name, photographs, headline}."""
    if headline is None:
        return []
    place = (headline.channel, headline.snr_db, headline.cbr)
    tables = []
    for name, rows in summary.get("sets", {}).items():
        here = [r for r in rows if (r["channel"], r["snr_db"], r["cbr"]) == place]
        table = headline_table({"rows": here})
        if table is not None:
            photographs = max(r["images"] for r in here if reading.metric_info(r["metric"]))
            tables.append({"name": name, "photographs": photographs, "headline": table})
    return tables


def _comparisons(summary: Mapping[str, Any], headline: Headline | None) -> dict[str, Any]:
    """The summary's paired comparisons and rate savings, where it holds any, in the order of the selectors."""

    def ordered(name: str) -> list[Mapping[str, Any]]:
        rows = summary.get(name) or []
        methods = reading.order_methods([*(r["method"] for r in rows), *(r["other"] for r in rows)])
        channels = reading.order_channels(r["channel"] for r in rows)
        place = {m: i for i, m in enumerate(methods)}
        return sorted(rows, key=lambda r: (place[r["method"]], place[r["other"]], channels.index(r["channel"])))

    paired, saved = ordered("paired"), ordered("bd_rate")
    methods = {r[key] for r in [*paired, *saved] for key in ("method", "other")}
    labels = {m: reading.method_label(m) for m in sorted(methods)}
    lower = [m for m in reading.order_metrics(r["metric"] for r in paired) if _arrow(m) == ARROWS["lower"]]
    short = {"paired": _compact(paired), "bd_rate": _compact(saved)}
    return {
        "data": {**short, "labels": labels, "lower": lower, "enough": ENOUGH},
        "paired": paired,
        "paired_metrics": reading.order_metrics(r["metric"] for r in paired),
        "bd_rate": saved,
        "bd_metrics": reading.order_metrics(r["metric"] for r in saved),
        "first_snr": headline.snr_db if headline else None,
        "first_cbr": headline.cbr if headline else None,
    }


def _compact(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records as columns and lists, numbers to five digits: there are thousands."""
    columns = list(rows[0]) if rows else []
    short = [
        [float(f"{r[c]:.5g}") if isinstance(r[c], float) and c not in _EXACT else r[c] for c in columns] for r in rows
    ]
    return {"columns": columns, "rows": short}


def _stages(folder: Path) -> list[dict[str, Any]]:
    """Seconds and the other scalars of each stage, the longest first."""
    stages = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        content = read_json(path)
        if isinstance(content, dict):
            scalars = {k: v for k, v in content.items() if isinstance(v, int | float | str) and k != "seconds"}
            seconds = content.get("seconds")
            timed = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            stages.append({"stage": path.stem, "seconds": seconds if timed else None, "scalars": scalars})
    return sorted(stages, key=lambda stage: -(stage["seconds"] or 0))


def _metric_guide(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What each measured metric means, and which registered ones these results lack."""
    measured = reading.order_metrics(r["metric"] for r in rows)
    infos = [metrics.info(name) for name in measured]
    counts = [round(r["mean"] * r["images"]) for r in rows if r["metric"] == "patches" and r["mean"] is not None]
    over = {r["interval_over"] for r in rows if any(info.scope == "set" and info.name == r["metric"] for info in infos)}
    return {
        "measured": [
            {"info": info, "arrow": ARROWS[info.direction], "standin": reading.is_standin(info.name)} for info in infos
        ],
        "absent": [reading.metric_label(name) for name in metrics.names() if name not in measured],
        "sets": any(info.scope == "set" for info in infos),
        "over": " or ".join(_OVER[kind] for kind in sorted(over)),
        "patches": max(counts, default=0),
    }


def duration(seconds: float | None) -> str:
    """`3 min 20 s`; a dash for a missing value."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
