"""Pictures by identifier, and what is written under them: the draw that is pictured is the one of the lowest seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jscgc.report import reading
from jscgc.report.pictures import Embedded, Photo, Shot, data_uri

_EXTRA_BYTES = 2_000_000
"""For pictures beyond those of the grid."""


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
            uri = data_uri(path, self._side or 288, 76)
            if len(uri) > self._spare:
                return ""
            self._spare -= len(uri)
            self._add(path, uri)
        return self._paths[path]


def caption_metrics(table: pd.DataFrame) -> list[str]:
    """What stands under pictures: the first metric of pixels, and the first of perception."""
    measured = table["metric"].unique()
    return [m for axis in ("pixels", "perception") for m in reading.preferred(measured, axis)[:1]]


def picture_captions(table: pd.DataFrame) -> dict[tuple[str, Shot], str]:
    """A few numbers under each picture: those of the lowest seed, which is the one that is pictured."""
    captions: dict[tuple[str, Shot], str] = {}
    for metric in caption_metrics(table):
        short = reading.short_label(metric).partition(" (")[0]
        for key, value in pictured(table, metric).items():
            text = f"{short} {reading.number(value)}"
            captions[key] = f"{captions[key]} · {text}" if key in captions else text
    return captions


def pictured(table: pd.DataFrame, metric: str) -> dict[tuple[str, Shot], float]:
    """(photograph, shot) -> the metric's value of the pictured draw, of each method's first training."""
    first = table["training"] == table.groupby("method")["training"].transform("min")
    values = table[first & (table["metric"] == metric) & (table["seed"] == table["seed"].min())]
    columns = values[["image", "method", "channel", "snr_db", "cbr", "value"]]
    return {
        (str(image), Shot(str(method), str(channel), float(snr_db), reading.rate_of(float(cbr)))): float(value)
        for image, method, channel, snr_db, cbr, value in columns.itertuples(index=False)
    }


def key_of(photo: str, shot: Shot) -> str:
    """A picture's name in the slider's index; the script builds the same from its selectors."""
    return "|".join((photo, shot.method, shot.channel, f"{shot.snr_db:g}", str(shot.rate)))


def title_of(photo: str, shot: Shot) -> str:
    where = f"{reading.channel_label(shot.channel)}, {shot.snr_db:g} dB, CBR {shot.rate}/768"
    return f"{photo}: {reading.method_label(shot.method)}, {where}"


def cell_of(photo: Photo, shot: Shot, store: Store, captions: Mapping[tuple[str, Shot], str]) -> dict[str, Any]:
    """One received picture; an empty `id` where there is none."""
    return {
        "id": store.id(photo.received.get(shot)),
        "key": key_of(photo.name, shot),
        "size": photo.size,
        "original": store.id(photo.original),
        "title": title_of(photo.name, shot),
        "caption": captions.get((photo.name, shot), ""),
        "method": shot.method,
        "why": "no picture",
    }
