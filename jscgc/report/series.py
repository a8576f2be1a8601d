"""How a method looks in every plot: hue for its family, dash and marker for the member, the same on page and paper.

The hues keep a contrast of at least 3:1 on the page's light ground as on its dark one (WCAG 2.1, 1.4.11), which lets little
room for lightness to differ; so colour never stands alone: no two known methods share a marker, and no two series of a figure
share marker and dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jscgc.method import METHODS
from jscgc.report.reading import is_aside, method_label, order_methods

Series = tuple[str, int]
"""(method, sampling steps)."""

_BLUE, _VERMILION, _PURPLE, _GREEN, _OCHRE = "#2f7de1", "#d9600a", "#b657a8", "#0b9a74", "#a87f0c"
_GREY, _CYAN, _ROSE, _BROWN = "#7d8590", "#1a93ad", "#dd4a68", "#a3704a"
HUES = (_BLUE, _VERMILION, _PURPLE, _GREEN, _OCHRE, _GREY, _CYAN, _ROSE, _BROWN)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SPARE_MARKERS = (
    "hexagon", "star-diamond", "square-open", "diamond-open", "hexagon-open", "star-diamond-open",
    "x-open", "cross-open",
)  # fmt: skip

_GLYPHS = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    "square": "M-3.5-3.5H3.5V3.5H-3.5Z",
    "diamond": "M0-4.5L4.5 0L0 4.5L-4.5 0Z",
    "triangle-up": "M0-4.5L4.3 3.5H-4.3Z",
    "triangle-down": "M0 4.5L4.3-3.5H-4.3Z",
    "triangle-left": "M-4.5 0L3.5-4.3V4.3Z",
    "triangle-right": "M4.5 0L-3.5-4.3V4.3Z",
    "x": "M-4-2.2L-2.2-4L0-1.8L2.2-4L4-2.2L1.8 0L4 2.2L2.2 4L0 1.8L-2.2 4L-4 2.2L-1.8 0Z",
    "cross": "M-1.4-4.3H1.4V-1.4H4.3V1.4H1.4V4.3H-1.4V1.4H-4.3V-1.4H-1.4Z",
    "star": "M0-4.8L1.3-1.6L4.6-1.5L2 .7L2.8 4L0 2.1L-2.8 4L-2 .7L-4.6-1.5L-1.3-1.6Z",
    "pentagon": "M0-4.4L4.2-1.4L2.6 3.6H-2.6L-4.2-1.4Z",
    "hexagon": "M0-4.4L3.8-2.2V2.2L0 4.4L-3.8 2.2V-2.2Z",
    "star-diamond": "M0-4.8L1.6-1.6L4.8 0L1.6 1.6L0 4.8L-1.6 1.6L-4.8 0L-1.6-1.6Z",
    "octagon": "M-1.8-4.2H1.8L4.2-1.8V1.8L1.8 4.2H-1.8L-4.2 1.8V-1.8Z",
    "hexagram": "M0-4.8L1.4-2.4H4.2L2.8 0L4.2 2.4H1.4L0 4.8L-1.4 2.4H-4.2L-2.8 0L-4.2-2.4H-1.4Z",
    "hourglass": "M-4-4H4L-4 4H4Z",
    "bowtie": "M-4-4V4L4-4V4Z",
}


@dataclass(frozen=True)
class Style:
    """A line's look; `dash` and `marker` are plotly's names."""

    colour: str
    dash: str
    marker: str

    @property
    def glyph(self) -> str:
        """The marker as an SVG path around the origin, within ±4."""
        return _GLYPHS[self.marker.removesuffix("-open")]

    @property
    def open(self) -> bool:
        """Whether the marker is an outline."""
        return self.marker.endswith("-open")

    @property
    def dasharray(self) -> str:
        """The dash as SVG has it."""
        known = {"solid": "none", "dash": "5 3", "dot": "2 2", "dashdot": "6 2 2 2", "longdash": "8 3"}
        return known.get(self.dash, "8 2 2 2")

    @property
    def faint(self) -> str:
        """The colour as a band around a line."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},0.14)"


def series_names(rows: Iterable[Mapping[str, Any]]) -> dict[Series, str]:
    """(method, steps) -> label; the steps are named where a method was evaluated with several."""
    keys = {(r["method"], r["steps"]) for r in rows if not is_aside(r["method"])}
    several = {method for method, _ in keys if sum(m == method for m, _ in keys) > 1}
    ordered = [key for method in order_methods(m for m, _ in keys) for key in sorted(keys) if key[0] == method]
    return {(m, s): method_label(m) + (f", {s} steps" if m in several else "") for m, s in ordered}


def series_styles(series: Sequence[Series]) -> dict[Series, Style]:
    """A look for each series, none twice.

    Known methods look the same in every report; a method's further numbers of steps keep its hue. Strangers take what is left,
    by their order.
    """
    styles: dict[Series, Style] = {}
    taken: set[Style] = set()
    looks = {method.name: method.look for method in METHODS if method.look}
    for method, steps in sorted(series, key=lambda key: key[0] not in looks):
        colour = next((styles[key].colour for key in styles if key[0] == method), None)
        look = looks.get(method) if colour is None else None
        style = Style(look.hue, look.dash, look.marker) if look else _spare(taken, colour)
        styles[method, steps] = style
        taken.add(style)
    return {key: styles[key] for key in series}


def _spare(taken: set[Style], hue: str | None) -> Style:
    """The first look whose marker and dash are together free, of the hue or of the one used least."""
    used = {(style.dash, style.marker) for style in taken}
    counts = {colour: sum(style.colour == colour for style in taken) for colour in HUES}
    colour = hue or min(HUES, key=lambda name: counts[name])
    free = ((dash, marker) for dash in DASHES for marker in SPARE_MARKERS if (dash, marker) not in used)
    dash, marker = next(free, (DASHES[0], SPARE_MARKERS[0]))
    return Style(colour, dash, marker)
