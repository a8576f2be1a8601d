"""What a receiver makes up, by SNR: whether a network still recognises the same, whether writing can still be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jscgc.report.reading import is_aside, metric_info, order_channels, order_methods, order_metrics

_BEGINNINGS = ("class_change", "text_error")


def invented(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tables of shares of changed classes and of text errors, lower is better.

    Args:
        rows: the summary's.

    Returns:
        One table per metric, channel and CBR: {metric, channel, cbr, photographs (with a value), snrs, lines: [{method, cells:
        the summary's row at each SNR, or None}]}. Of metrics of a kind those that judge, where there is one.
    """
    kept = [r for r in rows if not is_aside(r["method"]) and r["metric"].startswith(_BEGINNINGS)]
    tables = []
    for metric in _judges(order_metrics(r["metric"] for r in kept)):
        of = [r for r in kept if r["metric"] == metric and r["mean"] is not None]
        for channel in order_channels(r["channel"] for r in of):
            for cbr in sorted({r["cbr"] for r in of if r["channel"] == channel}):
                here = [r for r in of if (r["channel"], r["cbr"]) == (channel, cbr)]
                snrs = sorted({r["snr_db"] for r in here})
                values = {(r["method"], r["snr_db"]): r for r in sorted(here, key=lambda r: r["steps"])}
                lines = [
                    {"method": method, "cells": [values.get((method, snr)) for snr in snrs]}
                    for method in order_methods(r["method"] for r in here)
                ]
                photographs = max(r["values"] // max(1, r["draws"] * r["trainings"]) for r in here)
                place = {"metric": metric, "channel": channel, "cbr": cbr, "photographs": photographs}
                tables.append({**place, "snrs": snrs, "lines": lines})
    return tables


def _judges(metrics: Sequence[str]) -> list[str]:
    """Of each beginning those that judge, or all where none does."""
    chosen = []
    for beginning in _BEGINNINGS:
        alike = [(name, metric_info(name)) for name in metrics if name.startswith(beginning)]
        judges = [name for name, info in alike if info is not None and info.judge]
        chosen += judges or [name for name, _ in alike]
    return chosen
