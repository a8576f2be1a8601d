"""The page's own HTML: pictures, table, notes. Everything is escaped; Streamlit's Markdown would read file names as such."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jscgc.data.images import Pixels, to_png
from jscgc.demo.figures import brightest, colour_bar
from jscgc.demo.shown import Shown, Transmission, best
from jscgc.metrics import info
from jscgc.report.headline import ARROWS
from jscgc.report.reading import channel_label, method_label
from jscgc.report.side_by_side import heat_map

SPENT = (
    ("k", "channel uses k", "{:,}"),
    ("cbr_exact", "CBR = k/n", "{:.5f}"),
    ("nfe", "network evaluations", "{:,}"),
    ("encode_ms", "encoding (ms)", "{:,.0f}"),
    ("decode_ms", "decoding (ms)", "{:,.0f}"),
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jscgc.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"uri": uri, "method": method_label}
    return environment


def _render(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(**content)


def uri(png: bytes) -> str:
    """A PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def style() -> str:
    """The page's style sheet."""
    return f"<style>{Path(__file__).with_name('page.css').read_text(encoding='utf-8')}</style>"


def note(text: str, kind: str = "problem") -> str:
    """A line that stands out; `problem` or `news`."""
    return _render("note.html.j2", text=text, kind=kind)


def below() -> str:
    """Where the page is narrow, the way from the settings to what was received."""
    return _render("below.html.j2")


def facts(transmission: Transmission) -> str:
    """The conditions in words."""
    choice = transmission.choice
    height, width = transmission.photo.shape[:2]
    words = [choice.photo, f"{width} × {height} pixels", channel_label(choice.channel), f"SNR {choice.snr_db:g} dB"]
    words += [f"CBR {choice.cbr}", f"{choice.steps} steps", f"guidance {choice.guidance:g}", f"seed {choice.seed}"]
    return _render("facts.html.j2", words=words)


def pictures(photo: Pixels, methods: Sequence[str], sent: Transmission | None) -> str:
    """The original and what every method received, or why it did not, or that it is still to come."""
    height, width = photo.shape[:2]
    waiting = sent.waiting if sent else []
    words = dict.fromkeys(waiting, "next") | ({waiting[0]: "on its way"} if waiting else {})
    still = "stopped" if sent else "press Send"
    return _render(
        "pictures.html.j2",
        original=to_png(photo),
        shape=f"{width} / {height}",
        size=f"{width} × {height}",
        methods=methods,
        done=sent.done if sent else {},
        words={name: words.get(name, still) for name in methods},
        hint=sent is not None and not waiting and bool(sent.arrived),
    )


def metrics_table(arrived: Sequence[Shown]) -> str:
    """Metrics with the direction that is better, then what it took."""
    rows = [shown.row for shown in arrived]
    names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    metrics = [
        {
            "label": info(name).label,
            "arrow": ARROWS[info(name).direction],
            "better": f"{info(name).direction} is better",
            "values": [row["metrics"].get(name) for row in rows],
            "means": [row.get("mean_metrics", {}).get(name) for row in rows],
            "best": best(rows, name),
        }
        for name in names
    ]
    spent = [(label, [form.format(row[key]) for row in rows]) for key, label, form in SPENT]
    return _render("metrics.html.j2", rows=rows, metrics=metrics, spent=spent)


def uncertainty(arrived: Sequence[Shown]) -> str:
    """Map, mean and every sample of the methods that drew several; the maps are on one scale."""
    spreads = {shown.method: shown.spread for shown in arrived if shown.spread is not None}
    top = brightest(list(spreads.values()))
    maps = {method: to_png(heat_map(spread, top)) for method, spread in spreads.items()}
    several = [shown for shown in arrived if shown.method in maps]
    return _render("uncertainty.html.j2", several=several, maps=maps, bar=to_png(colour_bar()), top=top)


def formats(arrived: Sequence[Shown]) -> str:
    """What separated systems chose to send with."""
    chosen = {
        shown.method: [
            (key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
            for key, value in shown.row["format"].items()
        ]
        for shown in arrived
        if shown.row.get("format")
    }
    return _render("formats.html.j2", chosen=chosen) if chosen else ""
