"""The page's own HTML: pictures, table, notes. Everything is escaped; Streamlit's Markdown would read file names as such."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jscgc.data.images import to_png
from jscgc.demo.figures import colour_bar
from jscgc.demo.shown import Shown, Transmission, best
from jscgc.metrics import info
from jscgc.report.headline import ARROWS
from jscgc.report.results import channel_label, method_label
from jscgc.report.side_by_side import SPREAD_SHOWN

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


def facts(transmission: Transmission) -> str:
    """The conditions in words."""
    choice = transmission.choice
    height, width = transmission.photo.shape[:2]
    words = [choice.photo, f"{width} × {height} pixels", channel_label(choice.channel), f"SNR {choice.snr_db:g} dB"]
    return _render("facts.html.j2", words=[*words, f"CBR {choice.cbr}", f"seed {choice.seed}"])


def pictures(transmission: Transmission) -> str:
    """The original and what every method received, or why it did not, or that it is still to come."""
    height, width = transmission.photo.shape[:2]
    return _render(
        "pictures.html.j2",
        original=to_png(transmission.photo),
        shape=f"{width} / {height}",
        methods=transmission.choice.methods,
        done=transmission.done,
        waiting=transmission.waiting,
    )


def preview(png: bytes, width: int, height: int, name: str) -> str:
    """The chosen photo, before it is sent."""
    return _render("preview.html.j2", png=png, width=width, height=height, name=name)


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
    """Mean, map and every sample of the methods that drew several."""
    several = [found for found in arrived if found.samples > 1]
    return _render("uncertainty.html.j2", several=several, bar=to_png(colour_bar()), top=SPREAD_SHOWN)


def formats(arrived: Sequence[Shown]) -> str:
    """What separated systems chose to send with."""
    chosen = {
        found.method: [
            (key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
            for key, value in found.row["format"].items()
        ]
        for found in arrived
        if found.row.get("format")
    }
    return _render("formats.html.j2", chosen=chosen) if chosen else ""
