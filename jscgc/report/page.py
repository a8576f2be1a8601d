"""reports/index.html: one self-contained page from results.csv, pictures, curves and stage metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from jscgc import metrics
from jscgc.files import atomic, read_json
from jscgc.information import TRUSTED_EFFICIENCY
from jscgc.report import figures, results, theory
from jscgc.report.headline import ARROWS, headline_table
from jscgc.report.pictures import Embedded, Photo, Shot, embed, find_photos
from jscgc.report.summary import summarise

_CAPTION_METRICS = ("psnr", "feature_distance_efficientnet_lite0")


def build_page(
    reports: Path,
    *,
    params_text: str,
    manifest: Mapping[str, Any] | None,
    commit: str,
    profile: str,
    date: str = "",
    notes: Sequence[str] = (),
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

    Returns:
        The page's path.

    Raises:
        ValueError: results.csv breaks its contract, or a JSON file is none.
    """
    table = results.load_results(reports / "results.csv")
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            _context(reports, table),
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
        "number": results.number,
        "cbr": results.cbr_label,
        "method": results.method_label,
        "channel": results.channel_label,
        "metric": results.metric_label,
        "duration": duration,
    }
    return environment


def _context(reports: Path, table: pd.DataFrame) -> dict[str, Any]:
    summary = summarise(table)
    rows: list[dict[str, Any]] = summary["rows"]
    main = [r for r in rows if not results.is_aside(r["method"])]
    snr_plots, cbr_plots = figures.snr_plots(main), figures.cbr_plots(main)
    curves = figures.training_curves(reports / "curves")
    names = figures.series_names(main)
    colours = figures.series_colours(list(names))
    photos = find_photos(reports / "pictures", table)
    information = theory.information_plots(rows)
    dial_condition, dial = theory.dial_plots(rows)
    checks = read_json(reports / "theory.json") if (reports / "theory.json").is_file() else {"rows": [], "figures": {}}
    theory_plots = theory.theory_plots(checks["figures"])
    every_plot = [*snr_plots, *cbr_plots, *(c.plot for c in curves), *information, *dial, *theory_plots]
    return {
        "summary": summary,
        "rows": rows,
        "headline": headline_table(summary),
        "axes": _axes(main),
        "legend_entries": [(label, colours[key]) for key, label in names.items()],
        "snr_plots": snr_plots,
        "cbr_plots": cbr_plots,
        "curves": curves,
        "information": {"plots": information, "trusted": TRUSTED_EFFICIENCY},
        "dial": {"condition": dial_condition, "plots": dial},
        "theory": {"rows": checks["rows"], "plots": theory_plots},
        "figures": {plot.name: plot.figure for plot in every_plot},
        "pictures": _pictures(photos, table, summary["checks"]["controls"]),
        "stages": _stages(reports / "metrics"),
        "timing": read_json(reports / "timing.json") if (reports / "timing.json").is_file() else [],
        "metrics": _metric_guide(rows),
    }


def _axes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The choices of the selectors: (value as the traces' meta has it, text), the preselected one first named."""
    if not rows:
        return {"channel": [], "cbr": [], "snr_db": [], "first": {}}
    channels = results.order_channels(r["channel"] for r in rows)
    cbrs, snrs = sorted({r["cbr"] for r in rows}), sorted({r["snr_db"] for r in rows})
    return {
        "channel": [(c, results.channel_label(c)) for c in channels],
        "cbr": [(f"{c:g}", results.cbr_label(c)) for c in cbrs],
        "snr_db": [(f"{s:g}", f"{s:g} dB") for s in snrs],
        "first": {"channel": channels[0], "cbr": f"{cbrs[-1]:g}", "snr_db": f"{results.middle(snrs):g}"},
    }


def _pictures(photos: list[Photo], table: pd.DataFrame, check: Mapping[str, Any]) -> dict[str, Any]:
    """What the picture sections show: per photograph a panel per (channel, rate), and the controls beside ours."""
    embedded = embed(photos) if photos else Embedded({}, 0, [])
    captions = _captions(table)
    shots = [shot for photo in embedded.photos for shot in photo.received if not results.is_aside(shot.method)]
    methods = results.order_methods(shot.method for shot in shots)
    channels = results.order_channels(shot.channel for shot in shots)
    links = [(c, r) for c in channels for r in sorted({s.rate for s in shots if s.channel == c}, reverse=True)]
    return {
        "found": len(photos),
        "side": embedded.side,
        "methods": methods,
        "channels": [(c, results.channel_label(c)) for c in channels],
        "rates": sorted({shot.rate for shot in shots}, reverse=True),
        "photos": [_photo_panels(photo, embedded, captions, methods, links) for photo in embedded.photos],
        "controls": _control_pictures(embedded, captions, check),
    }


def _photo_panels(
    photo: Photo,
    embedded: Embedded,
    captions: Mapping[tuple[str, Shot], str],
    methods: Sequence[str],
    links: Sequence[tuple[str, int]],
) -> dict[str, Any]:
    panels = []
    for channel, rate in links:
        here = {shot for shot in photo.received if (shot.channel, shot.rate) == (channel, rate)}
        snrs = sorted({shot.snr_db for shot in here if not results.is_aside(shot.method)})
        lines = [
            (f"{snr_db:g} dB", [_cell(photo, Shot(m, channel, snr_db, rate), embedded, captions) for m in methods])
            for snr_db in snrs
        ]
        panels.append({"channel": channel, "rate": rate, "lines": lines})
    return {"name": photo.name, "original": embedded.uris[photo.original], "panels": panels}


def _cell(photo: Photo, shot: Shot, embedded: Embedded, captions: Mapping[tuple[str, Shot], str]) -> dict[str, str]:
    """One received picture; an empty `uri` where there is none."""
    path = photo.received.get(shot)
    where = f"{results.channel_label(shot.channel)}, {shot.snr_db:g} dB, CBR {shot.rate}/768"
    title = f"{photo.name}: {results.method_label(shot.method)}, {where}"
    caption = captions.get((photo.name, shot), "")
    return {"uri": embedded.uris[path] if path else "", "title": title, "caption": caption, "method": shot.method}


def _captions(table: pd.DataFrame) -> dict[tuple[str, Shot], str]:
    """A few numbers under each picture: those of the lowest seed, which is the one that is pictured."""
    captions: dict[tuple[str, Shot], str] = {}
    for metric in _CAPTION_METRICS:
        values = table[(table["metric"] == metric) & (table["seed"] == table["seed"].min())]
        short = "PSNR" if metric == "psnr" else "feat."
        for r in values.itertuples(index=False):
            key = (
                str(r.image),
                Shot(str(r.method), str(r.channel), float(str(r.snr_db)), results.rate_of(float(str(r.cbr)))),
            )
            text = f"{short} {results.number(float(str(r.value)))}"
            captions[key] = f"{captions[key]} · {text}" if key in captions else text
    return captions


def _control_pictures(
    embedded: Embedded, captions: Mapping[tuple[str, Shot], str], check: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Per photograph: the original, ours, and the controls at the control's condition."""
    found = []
    for condition in check["conditions"]:
        link = (condition["channel"], condition["snr_db"], results.rate_of(condition["cbr"]))
        for photo in embedded.photos:
            shots = [Shot(method, *link) for method in (results.OURS, *results.CONTROLS)]
            cells = [_cell(photo, shot, embedded, captions) for shot in shots if shot in photo.received]
            if any(cell["method"] in results.CONTROLS for cell in cells):
                found.append({"name": photo.name, "original": embedded.uris[photo.original], "cells": cells})
    return found


def _stages(folder: Path) -> list[dict[str, Any]]:
    """Seconds and the other scalars of each stage, the longest first."""
    stages = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        content = read_json(path)
        if isinstance(content, dict):
            scalars = {k: v for k, v in content.items() if isinstance(v, int | float | str) and k != "seconds"}
            seconds = content.get("seconds")
            stages.append({"stage": path.stem, "seconds": seconds if _is_number(seconds) else None, "scalars": scalars})
    return sorted(stages, key=lambda stage: -(stage["seconds"] or 0))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metric_guide(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What each measured metric means, and which registered ones these results lack."""
    measured = results.order_metrics(r["metric"] for r in rows)
    infos = [metrics.info(name) for name in measured]
    return {
        "measured": [
            {"info": info, "arrow": ARROWS[info.direction], "standin": results.is_standin(info.name)} for info in infos
        ],
        "absent": [results.metric_label(name) for name in metrics.names() if name not in measured],
        "sets": any(info.scope == "set" for info in infos),
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
