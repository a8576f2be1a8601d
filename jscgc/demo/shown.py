"""What the page keeps of an arrival: pictures as PNG, numbers, and the symbols it draws. No tensors stay behind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jscgc.data.images import Pixels, read_photo, to_png, to_tensor
from jscgc.demo.choice import Choice
from jscgc.demo.figures import Points, points
from jscgc.transmission import Arrival, comparison, conditions, pictures


@dataclass(frozen=True)
class Shown:
    """One method's arrival; `pngs` by the names of `transmission.pictures`."""

    method: str
    row: dict[str, Any]
    pngs: dict[str, bytes]
    symbols: Points | None
    spread: NDArray[np.float32] | None
    """Standard deviation over the samples, [H,W]; None for one sample."""

    @property
    def png(self) -> bytes:
        """The received photo."""
        return self.pngs[self.method]

    @property
    def samples(self) -> int:
        """How many images the receiver drew."""
        return int(self.row.get("samples", 1))


@dataclass(frozen=True)
class Refused:
    """A method that received nothing, and why."""

    method: str
    why: str
    cannot_operate: bool


def shown(arrival: Arrival) -> Shown:
    """What to keep."""
    on_air = arrival.reception.on_air
    pngs = {name: to_png(picture) for name, picture in pictures(arrival).items()}
    spread = arrival.reception.spread.cpu().numpy() if len(arrival.reception.samples) > 1 else None
    return Shown(arrival.method, arrival.row, pngs, None if on_air is None else points(on_air), spread)


@dataclass
class Transmission:
    """A photo on its way: methods are done one after another, and stay done if the page is drawn anew meanwhile."""

    choice: Choice
    photo: Pixels
    done: dict[str, Shown | Refused] = field(default_factory=dict)
    stopped: bool = False

    @property
    def waiting(self) -> list[str]:
        """Methods still to come."""
        return [] if self.stopped else [name for name in self.choice.methods if name not in self.done]

    @property
    def arrived(self) -> list[Shown]:
        """In the order they were chosen in."""
        return [shown for name in self.choice.methods if isinstance(shown := self.done.get(name), Shown)]

    @property
    def refused(self) -> list[Refused]:
        """Those that received nothing."""
        return [refused for name in self.choice.methods if isinstance(refused := self.done.get(name), Refused)]

    def document(self) -> dict[str, Any]:
        """Conditions and metrics as `jscgc transmit --json` has them."""
        common = conditions(self.choice.place, to_tensor(self.photo), self.choice.request)
        cannot = {refused.method: refused.why for refused in self.refused}
        return {**common, "results": [shown.row for shown in self.arrived], "cannot_operate": cannot}

    def metrics(self) -> bytes:
        """The document as a file."""
        return (json.dumps(self.document(), indent=2, allow_nan=False) + "\n").encode()

    def side_by_side(self) -> bytes:
        """The labelled PNG that `jscgc transmit` makes."""
        received = {name: _pixels(png) for shown in self.arrived for name, png in shown.pngs.items()}
        rows = [shown.row for shown in self.arrived]
        return to_png(comparison(self.photo, received, rows, self.choice.request))

    def archive(self) -> bytes:
        """A ZIP file of the original and every received picture."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
            file.writestr("original.png", to_png(self.photo))
            for shown in self.arrived:
                for name, png in shown.pngs.items():
                    file.writestr(f"{name}.png", png)
        return stream.getvalue()


def _pixels(png: bytes) -> Pixels:
    return read_photo(png, "a received picture")


def best(rows: Sequence[dict[str, Any]], metric: str) -> float | None:
    """The best value of a metric, first samples and means alike; None where there is nothing to compare."""
    from jscgc.metrics import info

    values = [row[of][metric] for row in rows for of in ("metrics", "mean_metrics") if metric in row.get(of, {})]
    if len(rows) < 2 or len(set(values)) < 2:
        return None
    return float(max(values) if info(metric).direction == "higher" else min(values))
