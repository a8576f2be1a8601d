"""The JSCGC paper's figures and claims as data, and which of our metrics look at the same.

`data/published_paper.csv` holds every point of the paper's plots (Kodak at full resolution): `over` is the axis of the plot it is
of (`snr_db`, `rate` or `steps`), `rate` the CBR times 768, `steps` 0 where a plot has one number of them (50, the paper says);
`exact` says whether the paper states the number or whether it was read off a plot (to about 0.004; rFID to 1).
`data/published_claims.csv` holds the ratios that the paper states in words.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jscgc.report.reading import rate_of

Row = Mapping[str, Any]
PARTNERS = {
    "PSNR (dB)": ("psnr",),
    "LPIPS": ("lpips_alex", "lpips_vgg"),
    "DISTS": ("dists",),
    "CLIP score": ("clip_score", "semantic_cosine_efficientnet_lite2"),
    "DINO score": ("dino_score", "dino_score_vits14", "semantic_cosine_efficientnet_lite2"),
    "DreamSim": ("dreamsim", "feature_distance_efficientnet_lite2"),
    "rFID": ("fid_inception", "fid_efficientnet_lite2"),
}
"""Published metric -> ours that look at the same, the nearest first."""
SECONDS = "seconds"
"""The published column that is no metric: to receive one photograph."""
LOWER = ("LPIPS", "DISTS", "DreamSim", "rFID", SECONDS)
RAYLEIGH = ("rayleigh_fast", "rayleigh_block")
"""Ours that stand beside the paper's Rayleigh channel, of which we do not know whether it fades per symbol or per photograph; the
first that was measured."""


def _read(name: str) -> list[dict[str, str]]:
    text = files("jscgc.report").joinpath(f"data/{name}").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def paper_rows() -> list[dict[str, Any]]:
    """The paper's values: {over, metric, channel, rate, snr_db, steps, method, value, exact, text, source}; text: as stated."""
    return [
        {
            **r,
            "rate": int(r["rate"]),
            "snr_db": float(r["snr_db"]),
            "steps": int(r["steps"]),
            "value": float(r["value"]),
            "text": r["value"],
            "exact": r["exact"] == "yes",
        }
        for r in _read("published_paper.csv")
    ]


def paper_claims() -> list[dict[str, Any]]:
    """The paper's stated ratios: {metric, channel, rate, snr_db, method, other, percent, text, note, source}."""
    return [
        {
            **r,
            "rate": int(r["rate"]),
            "snr_db": float(r["snr_db"]),
            "percent": float(r["percent"]),
            "text": r["percent"],
        }
        for r in _read("published_claims.csv")
    ]


def partner(metric: str, measured: Iterable[str]) -> str | None:
    """Ours that is nearest to a published metric; None if none was measured."""
    there = set(measured)
    return next((name for name in PARTNERS.get(metric, ()) if name in there), None)


def channel_of(published: str, measured: Iterable[str]) -> str | None:
    """Ours beside a published channel; None if none was measured."""
    there = set(measured)
    return next((name for name in (RAYLEIGH if published == "rayleigh" else (published,)) if name in there), None)


def at(row: Row, channel: str | None, rate: int, snr_db: float) -> bool:
    """Whether one of our rows was measured there."""
    return bool(row["channel"] == channel and rate_of(row["cbr"]) == rate and row["snr_db"] == snr_db)
