"""The symbols on the I/Q plane, and the scale of the uncertainty map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from jscgc.data.images import Pixels
from jscgc.report.side_by_side import SPREAD_SHOWN, heat_map
from jscgc.systems.base import OnAir

POINTS = 1500
"""Most symbols that are drawn: a browser is slow with more, and a cloud looks the same."""
SCALES = (0.02, 0.05, 0.1, SPREAD_SHOWN)
"""Standard deviations at which an uncertainty map can be brightest, of full scale; the last is that of `jscgc transmit`."""
PANELS = ("sent", "received", "equalised")


@dataclass(frozen=True)
class Points:
    """Symbols to draw, complex [N] each, evenly picked from `total`; error_db: E|equalised - sent|^2 of all, in dB."""

    sent: NDArray[np.complex64]
    received: NDArray[np.complex64]
    equalised: NDArray[np.complex64]
    total: int
    error_db: float


def points(on_air: OnAir) -> Points:
    """At most `POINTS` of the symbols."""
    sent, received, equalised = (getattr(on_air, panel).flatten().cpu().numpy() for panel in PANELS)
    kept = np.unique(np.linspace(0, len(sent) - 1, min(len(sent), POINTS)).round().astype(int))
    error = float(np.mean(np.abs(equalised - sent) ** 2))
    return Points(sent[kept], received[kept], equalised[kept], len(sent), 10 * float(np.log10(max(error, 1e-12))))


def constellation(shown: Points) -> go.Figure:
    """Three planes of one scale: symbols as sent, as received, and equalised; coloured by the phase they were sent with.

    The colours show what the channel did to each: noise mixes them, fading turns them, equalisation turns them back.
    """
    figure = make_subplots(rows=1, cols=3, subplot_titles=PANELS, horizontal_spacing=0.03)
    phase = np.degrees(np.angle(shown.sent))
    every = np.abs(np.concatenate([shown.sent, shown.received, shown.equalised]))
    # A deep fade or an outlier must not shrink all others to a dot.
    reach = 1.1 * float(np.quantile(every, 0.995))
    for column, panel in enumerate(PANELS, start=1):
        symbols = getattr(shown, panel)
        colours = {"color": phase.round(), "colorscale": "Phase", "cmin": -180, "cmax": 180}
        figure.add_scatter(
            x=_digits(symbols.real),
            y=_digits(symbols.imag),
            mode="markers",
            marker={"size": 4, "opacity": 0.75, **colours},
            hovertemplate="%{x:.2f} %{y:+.2f}j<extra>" + panel + "</extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(range=[-reach, reach], row=1, col=column)
        anchor = "x" if column == 1 else f"x{column}"
        figure.update_yaxes(
            range=[-reach, reach], scaleanchor=anchor, constrain="domain", constraintoward="top", row=1, col=column
        )
    figure.update_xaxes(constrain="domain", zeroline=True, nticks=5, title={"text": "I", "standoff": 2})
    figure.update_yaxes(zeroline=True, nticks=5, showticklabels=False)
    figure.update_yaxes(showticklabels=True, title={"text": "Q", "standoff": 2}, row=1, col=1)
    figure.update_layout(showlegend=False, height=280, margin={"l": 8, "r": 8, "t": 28, "b": 8}, dragmode=False)
    return figure


def _digits(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 3) for value in values]


def brightest(spreads: Sequence[NDArray[np.float32]]) -> float:
    """The scale on which all of several uncertainty maps are drawn: the least of `SCALES` that nearly all values are below."""
    most = max(float(np.quantile(spread, 0.995)) for spread in spreads)
    return next((scale for scale in SCALES if most <= scale), SCALES[-1])


def colour_bar() -> Pixels:
    """The uncertainty map's colours from 0 to its brightest, uint8 [1,256,3]."""
    return heat_map(np.linspace(0, 1, 256)[None], 1)
