"""The pictures that a report would rather not show: every method's worst (beside its best), and those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from jscgc.channel.central import middle
from jscgc.evaluation.judges import ranking
from jscgc.report import reading
from jscgc.report.picture_store import Store, cell_of, pictured
from jscgc.report.pictures import Photo, Shot

DECODING_FAILED = "decoding_failed"
"""The metric whose mean is the share of transmissions whose channel decoder gave up."""
_MOST_FAILED = 12
WORST = 5
"""Photographs that are shown because they were received worst."""


def ranked_by(table: pd.DataFrame) -> str | None:
    """By what pictures are called worst and best: the first metric of perception that was measured, else of pixels."""
    return ranking(table["metric"].unique())


def extreme_pictures(
    photos: Sequence[Photo], table: pd.DataFrame, store: Store, captions: Mapping[tuple[str, Shot], str]
) -> dict[str, Any]:
    """The worst and the best received picture of every method at the middle SNR, chosen by number among all photographs.

    Returns:
        {"metric" (None if nothing can be ranked), "snr_db", "rows": [{method, link: (channel, rate), of (how many were
        ranked), worst, best: {id, original, title, caption, name, value}}]}.
    """
    metric = ranked_by(table)
    ranking: dict[str, Any] = {"metric": metric, "snr_db": None, "rows": []}
    info = reading.metric_info(metric) if metric else None
    shots = {shot for photo in photos for shot in photo.received if not reading.is_aside(shot.method)}
    if info is None or not shots:
        return ranking
    assert metric is not None
    values = pictured(table, metric)
    snr_db = ranking["snr_db"] = middle(shot.snr_db for shot in shots)
    methods = reading.order_methods(shot.method for shot in shots)
    channels = reading.order_channels(shot.channel for shot in shots)
    here = sorted(
        (shot for shot in shots if shot.snr_db == snr_db),
        key=lambda s: (channels.index(s.channel), -s.rate, methods.index(s.method)),
    )
    for shot in here:
        ranked = [
            (values[photo.name, shot], photo)
            for photo in photos
            if shot in photo.received and (photo.name, shot) in values
        ]
        if not ranked:
            continue
        ranked.sort(key=lambda item: item[0] if info.direction == "lower" else -item[0])
        ends = {}
        for end, (value, photo) in (("worst", ranked[-1]), ("best", ranked[0])):
            store.ensure(photo.original)
            store.ensure(photo.received[shot])
            ends[end] = {**cell_of(photo, shot, store, captions), "name": photo.name, "value": value}
        ranking["rows"].append({"method": shot.method, "link": (shot.channel, shot.rate), "of": len(ranked), **ends})
    return ranking


def worst_photographs(
    photos: Sequence[Photo],
    table: pd.DataFrame,
    store: Store,
    captions: Mapping[tuple[str, Shot], str],
    place: tuple[str, float, int] | None,
) -> dict[str, Any]:
    """The photographs that ours receives worst at one place, of all that were sent, and what every method makes of them.

    Args:
        place: channel, SNR and rate; None: there are no results.

    Returns:
        {"metric" (None where nothing can be ranked), "place", "of" (photographs ranked), "methods", "rows": [{name, value,
        original, size, cells}]}; a photograph whose pictures were not kept has no cells.
    """
    metric = ranked_by(table)
    worst: dict[str, Any] = {"metric": metric, "place": place, "of": 0, "methods": [], "rows": []}
    info = reading.metric_info(metric) if metric else None
    if info is None or place is None:
        return worst
    channel, snr_db, rate = place
    here = table[(table["method"] == reading.OURS) & (table["metric"] == metric) & (table["channel"] == channel)]
    here = here[(here["snr_db"] == snr_db) & (here["cbr"].map(reading.rate_of) == rate) & here["value"].notna()]
    here = here[here["training"] == here["training"].min()]
    means = here.groupby("image")["value"].mean().sort_values(ascending=info.direction == "higher", kind="stable")
    by_name = {photo.name: photo for photo in photos}
    shots = {shot for photo in photos for shot in photo.received if (shot.channel, shot.snr_db, shot.rate) == place}
    worst["of"] = len(means)
    worst["methods"] = reading.order_methods(shot.method for shot in shots if not reading.is_aside(shot.method))
    for name, value in means.head(WORST).items():
        photo = by_name.get(str(name))
        row: dict[str, Any] = {"name": name, "value": float(value), "original": "", "size": (1, 1), "cells": []}
        if photo is not None:
            row |= {"original": store.ensure(photo.original), "size": photo.size}
            for method in worst["methods"]:
                shot = Shot(method, channel, snr_db, rate)
                if shot in photo.received:
                    store.ensure(photo.received[shot])
                cell = cell_of(photo, shot, store, captions)
                row["cells"].append({**cell, "why": "no picture"})
        worst["rows"].append(row)
    return worst


def failed_pictures(
    photos: Sequence[Photo], table: pd.DataFrame, store: Store, captions: Mapping[tuple[str, Shot], str]
) -> dict[str, Any]:
    """Pictures whose channel decoder gave up, {"found": how many, "cells": the first few as `_cell`}."""
    lost = {key for key, value in pictured(table, DECODING_FAILED).items() if value > 0}
    shown = [(photo, shot) for photo in photos for shot in photo.received if (photo.name, shot) in lost]
    shown.sort(key=lambda item: (item[1], item[0].name))
    for photo, shot in shown[:_MOST_FAILED]:
        store.ensure(photo.original)
        store.ensure(photo.received[shot])
    return {"found": len(shown), "cells": [cell_of(p, s, store, captions) for p, s in shown[:_MOST_FAILED]]}


def failure_table(table: pd.DataFrame) -> dict[str, Any]:
    """Where separated systems fail: {"snrs", "rows": [{method, channel, cbr, cells: one per SNR {lost, photos, failed, sent}}]}.

    `lost` of `photos` had no file small enough; the decoder gave up on `failed` of the `sent` transmissions.
    """
    stuck = table[table["metric"] == reading.CANNOT_OPERATE]
    failed = table[table["metric"] == DECODING_FAILED]
    both = pd.concat([stuck, failed])
    both = both[~both["method"].map(reading.is_aside).astype(bool)]
    snrs = sorted(float(s) for s in both["snr_db"].unique())
    rows = []
    for method in reading.order_methods(both["method"].unique()):
        for channel in reading.order_channels(both[both["method"] == method]["channel"].unique()):
            here = both[(both["method"] == method) & (both["channel"] == channel)]
            for cbr in sorted(here["cbr"].unique()):
                cells = [_failures(here[(here["cbr"] == cbr) & (here["snr_db"] == snr_db)]) for snr_db in snrs]
                rows.append({"method": method, "channel": channel, "cbr": float(cbr), "cells": cells})
    return {"snrs": snrs, "rows": rows}


def _failures(rows: pd.DataFrame) -> dict[str, int]:
    stuck = rows[rows["metric"] == reading.CANNOT_OPERATE].groupby("image")["value"].max()
    failed = rows[rows["metric"] == DECODING_FAILED]["value"]
    return {
        "lost": int((stuck > 0).sum()),
        "photos": len(stuck),
        "failed": int((failed > 0).sum()),
        "sent": int(failed.notna().sum()),
    }
