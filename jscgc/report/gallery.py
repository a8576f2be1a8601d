"""The page's pictures: every one embedded once, and the places that show them - grid, slider, extremes, failures, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.report import results
from jscgc.report.pictures import Embedded, Photo, Shot, embed, find_photos
from jscgc.report.pictures import data_uri as encode

DECODING_FAILED = "decoding_failed"
"""The metric whose mean is the share of transmissions whose channel decoder gave up."""
_CAPTION_METRICS = ("psnr", "feature_distance_efficientnet_lite0")
_RANKED_BY = ("feature_distance_efficientnet_lite0", "lpips", "psnr")
"""By what pictures are called worst and best: the first that was measured."""
_EXTRA_BYTES = 2_000_000
_MOST_FAILED = 12


class Store:
    """Pictures by a short identifier, each once."""

    def __init__(self, embedded: Embedded) -> None:
        self._side = embedded.side
        self._paths: dict[Path, str] = {}
        self.uris: dict[str, str] = {}
        self._spare = _EXTRA_BYTES
        for path, uri in embedded.uris.items():
            self._add(path, uri)

    def _add(self, path: Path, uri: str) -> str:
        name = f"p{len(self._paths)}"
        self._paths[path], self.uris[name] = name, uri
        return name

    def id(self, path: Path | None) -> str:
        """The identifier of an embedded picture; empty if it is not embedded."""
        return self._paths.get(path, "") if path is not None else ""

    def ensure(self, path: Path) -> str:
        """As `id`, embedding the picture if there is room left for pictures beyond the grid's."""
        if path not in self._paths:
            uri = encode(path, self._side or 288, 76)
            if len(uri) > self._spare:
                return ""
            self._spare -= len(uri)
            self._add(path, uri)
        return self._paths[path]


def gallery(folder: Path, table: pd.DataFrame, check: Mapping[str, Any]) -> dict[str, Any]:
    """What the picture sections show.

    Args:
        folder: with IMAGE/original.png and the received pictures.
        table: tidy results.
        check: `controls` of the summary's checks.
    """
    photos = find_photos(folder, table)
    embedded = embed(photos) if photos else Embedded({}, 0, [])
    store = Store(embedded)
    captions = picture_captions(table)
    stuck = {key for key, value in _pictured(table, results.CANNOT_OPERATE).items() if value > 0}
    shots = [shot for photo in embedded.photos for shot in photo.received if not results.is_aside(shot.method)]
    methods = results.order_methods(shot.method for shot in shots)
    channels = results.order_channels(shot.channel for shot in shots)
    links = [(c, r) for c in channels for r in sorted({s.rate for s in shots if s.channel == c}, reverse=True)]
    extremes = extreme_pictures(photos, table, store, captions)
    failed = failed_pictures(photos, table, store, captions)
    return {
        "found": len(photos),
        "side": embedded.side,
        "methods": methods,
        "channels": [(c, results.channel_label(c)) for c in channels],
        "rates": sorted({shot.rate for shot in shots}, reverse=True),
        "photos": [_photo_panels(photo, store, captions, methods, links, stuck) for photo in embedded.photos],
        "controls": _control_pictures(embedded.photos, store, captions, check),
        "slider": _slider(embedded.photos, store, captions, shots),
        "extremes": extremes,
        "failed": failed,
        "failures": failure_table(table),
        "store": store.uris,
    }


def picture_captions(table: pd.DataFrame) -> dict[tuple[str, Shot], str]:
    """A few numbers under each picture: those of the lowest seed, which is the one that is pictured."""
    captions: dict[tuple[str, Shot], str] = {}
    for metric in _CAPTION_METRICS:
        short = "PSNR" if metric == "psnr" else "feat."
        for key, value in _pictured(table, metric).items():
            text = f"{short} {results.number(value)}"
            captions[key] = f"{captions[key]} · {text}" if key in captions else text
    return captions


def _pictured(table: pd.DataFrame, metric: str) -> dict[tuple[str, Shot], float]:
    """(photograph, shot) -> the metric's value of the pictured draw."""
    values = table[(table["metric"] == metric) & (table["seed"] == table["seed"].min())]
    columns = values[["image", "method", "channel", "snr_db", "cbr", "value"]]
    return {
        (str(image), Shot(str(method), str(channel), float(snr_db), results.rate_of(float(cbr)))): float(value)
        for image, method, channel, snr_db, cbr, value in columns.itertuples(index=False)
    }


def _key(photo: str, shot: Shot) -> str:
    """A picture's name in the slider's index; the script builds the same from its selectors."""
    return "|".join((photo, shot.method, shot.channel, f"{shot.snr_db:g}", str(shot.rate)))


def _title(photo: str, shot: Shot) -> str:
    where = f"{results.channel_label(shot.channel)}, {shot.snr_db:g} dB, CBR {shot.rate}/768"
    return f"{photo}: {results.method_label(shot.method)}, {where}"


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
        snrs = sorted({shot.snr_db for shot in here if not results.is_aside(shot.method)})
        lines = []
        for snr_db in snrs:
            cells = [_cell(photo, Shot(m, channel, snr_db, rate), store, captions) for m in methods]
            for cell in cells:
                lost = (photo.name, Shot(cell["method"], channel, snr_db, rate)) in stuck
                cell["why"] = "cannot operate" if lost else "no picture"
            lines.append((f"{snr_db:g} dB".replace("-", "−"), cells))
        panels.append({"channel": channel, "rate": rate, "lines": lines})
    return {"name": photo.name, "original": store.id(photo.original), "size": photo.size, "panels": panels}


def _cell(photo: Photo, shot: Shot, store: Store, captions: Mapping[tuple[str, Shot], str]) -> dict[str, Any]:
    """One received picture; an empty `id` where there is none."""
    return {
        "id": store.id(photo.received.get(shot)),
        "key": _key(photo.name, shot),
        "size": photo.size,
        "original": store.id(photo.original),
        "title": _title(photo.name, shot),
        "caption": captions.get((photo.name, shot), ""),
        "method": shot.method,
        "why": "no picture",
    }


def _control_pictures(
    photos: Sequence[Photo], store: Store, captions: Mapping[tuple[str, Shot], str], check: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Per photograph: the original, ours, and the controls at the control's condition."""
    found = []
    for condition in check["conditions"]:
        link = (condition["channel"], condition["snr_db"], results.rate_of(condition["cbr"]))
        for photo in photos:
            shots = [Shot(method, *link) for method in (results.OURS, *results.CONTROLS)]
            cells = [_cell(photo, shot, store, captions) for shot in shots if shot in photo.received]
            if any(cell["method"] in results.CONTROLS for cell in cells):
                original = store.id(photo.original)
                found.append({"name": photo.name, "original": original, "size": photo.size, "cells": cells})
    return found


def _slider(
    photos: Sequence[Photo], store: Store, captions: Mapping[tuple[str, Shot], str], shots: Sequence[Shot]
) -> dict[str, Any]:
    """The slider's choices and an index of the pictures: `pictures` is KEY -> [identifier, caption], KEY as the script builds it."""
    methods = results.order_methods(shot.method for shot in shots)
    pictures = {
        _key(photo.name, shot): [
            store.id(path),
            captions.get((photo.name, shot), ""),
        ]
        for photo in photos
        for shot, path in photo.received.items()
        if not results.is_aside(shot.method)
    }
    channels = results.order_channels(shot.channel for shot in shots)
    snrs = sorted({shot.snr_db for shot in shots})
    rates = sorted({shot.rate for shot in shots})
    return {
        "originals": {photo.name: store.id(photo.original) for photo in photos},
        "sizes": {photo.name: photo.size for photo in photos},
        "pictures": pictures,
        "choices": {
            "photo": [(photo.name, photo.name) for photo in photos],
            "left": [("original", "original"), *((m, results.method_label(m)) for m in methods)],
            "right": [("original", "original"), *((m, results.method_label(m)) for m in methods)],
            "channel": [(c, results.channel_label(c)) for c in channels],
            "snr": [(f"{s:g}", f"{s:g} dB") for s in snrs],
            "rate": [(str(r), f"{r}/768") for r in rates],
        },
        "first": {
            "photo": photos[0].name if photos else "",
            "left": "original",
            "right": methods[0] if methods else "",
            "channel": channels[0] if channels else "",
            "snr": f"{results.middle(snrs):g}" if snrs else "",
            "rate": str(rates[-1]) if rates else "",
        },
    }


def extreme_pictures(
    photos: Sequence[Photo], table: pd.DataFrame, store: Store, captions: Mapping[tuple[str, Shot], str]
) -> dict[str, Any]:
    """The worst and the best received picture of every method at the middle SNR, chosen by number among all photographs.

    Returns:
        {"metric" (None if nothing can be ranked), "snr_db", "rows": [{method, link: (channel, rate), of, worst, best: {id, original,
        title, caption, value}}]}; `of` is how many pictures were ranked.
    """
    metric = next((m for m in _RANKED_BY if (table["metric"] == m).any()), None)
    found: dict[str, Any] = {"metric": metric, "snr_db": None, "rows": []}
    info = results.metric_info(metric) if metric else None
    shots = {shot for photo in photos for shot in photo.received if not results.is_aside(shot.method)}
    if info is None or not shots:
        return found
    assert metric is not None
    values = _pictured(table, metric)
    snr_db = found["snr_db"] = results.middle(shot.snr_db for shot in shots)
    methods = results.order_methods(shot.method for shot in shots)
    channels = results.order_channels(shot.channel for shot in shots)
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
            ends[end] = {**_cell(photo, shot, store, captions), "name": photo.name, "value": value}
        found["rows"].append({"method": shot.method, "link": (shot.channel, shot.rate), "of": len(ranked), **ends})
    return found


def failed_pictures(
    photos: Sequence[Photo], table: pd.DataFrame, store: Store, captions: Mapping[tuple[str, Shot], str]
) -> dict[str, Any]:
    """Pictures whose channel decoder gave up, {"found": how many, "cells": the first few as `_cell`}."""
    lost = {key for key, value in _pictured(table, DECODING_FAILED).items() if value > 0}
    shown = [(photo, shot) for photo in photos for shot in photo.received if (photo.name, shot) in lost]
    shown.sort(key=lambda item: (item[1], item[0].name))
    for photo, shot in shown[:_MOST_FAILED]:
        store.ensure(photo.original)
        store.ensure(photo.received[shot])
    return {"found": len(shown), "cells": [_cell(p, s, store, captions) for p, s in shown[:_MOST_FAILED]]}


def failure_table(table: pd.DataFrame) -> dict[str, Any]:
    """Where separated systems fail: {"snrs", "rows": [{method, channel, cbr, cells: one per SNR {lost, photos, failed, sent}}]}.

    `lost` of `photos` had no file small enough; the decoder gave up on `failed` of the `sent` transmissions.
    """
    stuck = table[table["metric"] == results.CANNOT_OPERATE]
    failed = table[table["metric"] == DECODING_FAILED]
    both = pd.concat([stuck, failed])
    both = both[[not results.is_aside(m) for m in both["method"]]]
    snrs = sorted(float(s) for s in both["snr_db"].unique())
    rows = []
    for method in results.order_methods(both["method"].unique()):
        for channel in results.order_channels(both[both["method"] == method]["channel"].unique()):
            own = both[(both["method"] == method) & (both["channel"] == channel)]
            for cbr in sorted(own["cbr"].unique()):
                cells = [_failures(own[(own["cbr"] == cbr) & (own["snr_db"] == snr_db)]) for snr_db in snrs]
                rows.append({"method": method, "channel": channel, "cbr": float(cbr), "cells": cells})
    return {"snrs": snrs, "rows": rows}


def _failures(rows: pd.DataFrame) -> dict[str, int]:
    stuck = rows[rows["metric"] == results.CANNOT_OPERATE].groupby("image")["value"].max()
    failed = rows[rows["metric"] == DECODING_FAILED]["value"]
    return {
        "lost": int((stuck > 0).sum()),
        "photos": len(stuck),
        "failed": int((failed > 0).sum()),
        "sent": int(failed.notna().sum()),
    }
