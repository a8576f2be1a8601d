"""The page's pictures: every one embedded once, and the places that show them - grid, slider, extremes, failures, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.channel.central import middle
from jscgc.report import reading
from jscgc.report.failures import extreme_pictures, failed_pictures, failure_table, worst_photographs
from jscgc.report.picture_store import Store, caption_metrics, cell_of, key_of, picture_captions, pictured
from jscgc.report.pictures import Embedded, Photo, Shot, embed, everywhere, find_photos


def gallery(
    folder: Path, table: pd.DataFrame, check: Mapping[str, Any], place: tuple[str, float, int] | None = None
) -> dict[str, Any]:
    """What the picture sections show.

    Args:
        folder: with IMAGE/original.png and the received pictures.
        table: tidy results.
        check: `controls` of the summary's checks.
        place: channel, SNR and rate at which the worst photographs are looked for.
    """
    photos = find_photos(folder, table)
    embedded = embed(everywhere(photos)) if photos else Embedded({}, 0, [])
    store = Store(embedded)
    captions = picture_captions(table)
    stuck = {key for key, value in pictured(table, reading.CANNOT_OPERATE).items() if value > 0}
    shots = [shot for photo in embedded.photos for shot in photo.received if not reading.is_aside(shot.method)]
    methods = reading.order_methods(shot.method for shot in shots)
    channels = reading.order_channels(shot.channel for shot in shots)
    links = [(c, r) for c in channels for r in sorted({s.rate for s in shots if s.channel == c}, reverse=True)]
    extremes = extreme_pictures(photos, table, store, captions)
    worst = worst_photographs(photos, table, store, captions, place)
    failed = failed_pictures(photos, table, store, captions)
    return {
        "found": len(everywhere(photos)),
        "side": embedded.side,
        "methods": methods,
        "channels": [(c, reading.channel_label(c)) for c in channels],
        "rates": sorted({shot.rate for shot in shots}, reverse=True),
        "photos": [_photo_panels(photo, store, captions, methods, links, stuck) for photo in embedded.photos],
        "controls": _control_pictures(embedded.photos, store, captions, check),
        "slider": _slider(embedded.photos, store, captions, shots),
        "extremes": extremes,
        "worst": worst,
        "caption": [reading.metric_label(metric) for metric in caption_metrics(table)],
        "failed": failed,
        "failures": failure_table(table),
        "store": store.uris,
    }


def _photo_panels(
    photo: Photo,
    store: Store,
    captions: Mapping[tuple[str, Shot], str],
    methods: Sequence[str],
    links: Sequence[tuple[str, int]],
    stuck: Set[tuple[str, Shot]],
) -> dict[str, Any]:
    panels = []
    for channel, rate in links:
        here = {shot for shot in photo.received if (shot.channel, shot.rate) == (channel, rate)}
        snrs = sorted({shot.snr_db for shot in here if not reading.is_aside(shot.method)})
        lines = []
        for snr_db in snrs:
            cells = [cell_of(photo, Shot(m, channel, snr_db, rate), store, captions) for m in methods]
            for cell in cells:
                lost = (photo.name, Shot(cell["method"], channel, snr_db, rate)) in stuck
                cell["why"] = "cannot operate" if lost else "no picture"
            lines.append((f"{snr_db:g} dB".replace("-", "−"), cells))
        panels.append({"channel": channel, "rate": rate, "lines": lines})
    return {"name": photo.name, "original": store.id(photo.original), "size": photo.size, "panels": panels}


def _control_pictures(
    photos: Sequence[Photo], store: Store, captions: Mapping[tuple[str, Shot], str], check: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Per photograph: the original, ours, and the controls at the control's condition."""
    pictures = []
    for condition in check["conditions"]:
        link = (condition["channel"], condition["snr_db"], reading.rate_of(condition["cbr"]))
        for photo in photos:
            shots = [Shot(method, *link) for method in (reading.OURS, *reading.CONTROLS)]
            cells = [cell_of(photo, shot, store, captions) for shot in shots if shot in photo.received]
            if any(cell["method"] in reading.CONTROLS for cell in cells):
                original = store.id(photo.original)
                pictures.append({"name": photo.name, "original": original, "size": photo.size, "cells": cells})
    return pictures


def _slider(
    photos: Sequence[Photo], store: Store, captions: Mapping[tuple[str, Shot], str], shots: Sequence[Shot]
) -> dict[str, Any]:
    """The slider's choices and an index: `pictures` is KEY -> [identifier, caption], KEY as the script builds it."""
    methods = reading.order_methods(shot.method for shot in shots)
    pictures = {
        key_of(photo.name, shot): [store.id(path), captions.get((photo.name, shot), "")]
        for photo in photos
        for shot, path in photo.received.items()
        if not reading.is_aside(shot.method)
    }
    channels = reading.order_channels(shot.channel for shot in shots)
    snrs = sorted({shot.snr_db for shot in shots})
    rates = sorted({shot.rate for shot in shots})
    return {
        "originals": {photo.name: store.id(photo.original) for photo in photos},
        "sizes": {photo.name: photo.size for photo in photos},
        "pictures": pictures,
        "choices": {
            "photo": [(photo.name, photo.name) for photo in photos],
            "left": [("original", "original"), *((m, reading.method_label(m)) for m in methods)],
            "right": [("original", "original"), *((m, reading.method_label(m)) for m in methods)],
            "channel": [(c, reading.channel_label(c)) for c in channels],
            "snr": [(f"{s:g}", f"{s:g} dB") for s in snrs],
            "rate": [(str(r), f"{r}/768") for r in rates],
        },
        "first": {
            "photo": photos[0].name if photos else "",
            "left": "original",
            "right": methods[0] if methods else "",
            "channel": channels[0] if channels else "",
            "snr": f"{middle(snrs):g}" if snrs else "",
            "rate": str(rates[-1]) if rates else "",
        },
    }
