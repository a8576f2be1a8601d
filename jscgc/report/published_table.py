"""Every published number beside ours: *published | ours at paper scale | ours small*, so that nobody takes one for the other.

Ours stands in one of the two columns: at paper scale if the results are of a profile of the paper's sizes and their receiver is
as large as that, else small, with the profile's name. What these results do not have at the very condition is not filled in
from a near one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from jscgc.report.published import group_label, once_each, received_in
from jscgc.report.published_data import SECONDS, Row, at, channel_of, paper_claims, paper_rows, partner
from jscgc.report.reading import (
    OURS,
    REFERENCE,
    is_aside,
    is_standin,
    method_label,
    number,
    order_metrics,
    short_label,
)

PAPER_PROFILES = ("paper", "paper8")
PAPER_PARAMETERS = 10**9
"""A receiver below is not of the paper's scale (7.7 10^9), whatever its profile is called."""
NOT_RUN, NOT_MEASURED, ELSEWHERE = "not run", "not measured", "not in these results"
CLAIMS, BEHAVIOUR = "Ratios stated in words", "Error behaviour (Remark 4): 10 dB → −5 dB"
_BEHAVIOUR = {"PSNR (dB)": "distortion", "DINO score": "meaning", "rFID": "realism"}
_UNITS = {"snr_db": "{:g} dB", "rate": "{:g}/768", "steps": "{:g} steps"}
_AT = "AWGN, 5 dB, CBR 2/768"


@dataclass(frozen=True)
class Line:
    """One published number. at: where on its curve. ours: None where it was not measured; by: our metric's label."""

    figure: str
    metric: str
    method: str
    at: str
    published: str
    exact: bool
    ours: str | None
    by: str
    stand_in: bool = False
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """The lines of one curve, their values side by side."""

    metric: str
    method: str
    at: str
    published: str
    ours: str
    by: str
    stand_in: bool
    note: str


@dataclass(frozen=True)
class Table:
    """lines: all of them. paper_scale: whether ours are of the paper's scale. profile: of ours."""

    lines: tuple[Line, ...]
    paper_scale: bool
    profile: str

    def columns(self, ours: str | None) -> tuple[str, str]:
        """Of ours: the texts of the two columns, at paper scale and small."""
        value = ours or NOT_MEASURED
        return (value, ELSEWHERE) if self.paper_scale else (NOT_RUN, value)

    @property
    def figures(self) -> dict[str, list[Curve]]:
        """Figure -> its curves, in the paper's order; those of one figure have the same points."""
        return {
            figure: [_curve(list(lines)) for _, lines in groupby(of, key=lambda line: (line.metric, line.method))]
            for figure, of in ((name, list(part)) for name, part in groupby(self.lines, key=lambda line: line.figure))
        }

    def records(self) -> list[dict[str, str]]:
        """For a CSV: a row for every number."""
        found = []
        for line in self.lines:
            paper, small = self.columns(line.ours)
            found.append(
                {
                    "figure": line.figure,
                    "metric": line.metric,
                    "method": line.method,
                    "at": line.at,
                    "published": line.published,
                    "published_is": "stated" if line.exact else "read off a plot",
                    "ours_at_paper_scale": paper,
                    "ours_small": small,
                    "profile": self.profile,
                    "our_metric": f"{line.by}, stand-in" if line.stand_in else line.by,
                    "note": line.note,
                }
            )
        return found


def at_paper_scale(profile: str, timing: Iterable[Row]) -> bool:
    """Whether results of this profile are of the paper's scale; the receiver's size (timing.json) must say so, too."""
    parameters = max((t.get("receiver_parameters") or 0 for t in timing if t["method"] == OURS), default=0)
    return profile in PAPER_PROFILES and parameters >= PAPER_PARAMETERS


def published_table(rows: Sequence[Row], timing: Sequence[Row], profile: str) -> Table:
    """Every number of the paper beside these results.

    Args:
        rows: of the summary, asides too.
        timing: timing.json.
        profile: of the parameters.
    """
    measured = [r for r in rows if r["mean"] is not None]
    main = [r for r in measured if not is_aside(r["method"])]
    swept = [r for r in measured if r["method"] in (OURS, REFERENCE)]
    times, size = received_in(timing)
    values = _Values(main)
    lines = [
        *_plotted(values, swept, times, size),
        *_behaviour(values),
        *_claims(values),
    ]
    return Table(tuple(lines), at_paper_scale(profile, timing), profile)


@dataclass(frozen=True)
class _Value:
    metric: str
    mean: float


class _Values:
    """Ours by published names."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._channels = {r["channel"] for r in rows}

    def of(self, row: Row, method: str) -> _Value | None:
        """Of a method at the condition of a published row, with the most steps; by the metric that is nearest to the row's."""
        channel = channel_of(row["channel"], self._channels)
        here = [r for r in self._rows if r["method"] == method and at(r, channel, row["rate"], row["snr_db"])]
        return _nearest(row["metric"], sorted(here, key=lambda r: r["steps"]))


def _nearest(published: str, rows: Sequence[Row]) -> _Value | None:
    means = {r["metric"]: float(r["mean"]) for r in rows}
    metric = partner(published, order_metrics(means))
    return _Value(metric, means[metric]) if metric else None


def _line(figure: str, row: Row, where: str, value: _Value | None) -> Line:
    by = short_label(value.metric) if value else ""
    ours = number(value.mean) if value else None
    stand_in = bool(value) and is_standin(value.metric) if value else False
    return Line(
        figure, row["metric"], method_label(row["method"]), where, row["text"], row["exact"], ours, by, stand_in
    )


def _plotted(values: _Values, swept: Sequence[Row], times: Mapping[int, float], size: str) -> Iterator[Line]:
    for row in paper_rows():
        figure, where = group_label(row), _UNITS[row["over"]].format(row[row["over"]]).replace("-", "−")
        if row["metric"] == SECONDS:
            seconds = times.get(row["steps"])
            ours = None if seconds is None else number(seconds)
            by = "" if ours is None else f"seconds to receive {size}"
            yield Line(figure, SECONDS, method_label(OURS), where, row["text"], row["exact"], ours, by)
        elif row["over"] == "steps":
            here = [
                r for r in swept if r["steps"] == row["steps"] and at(r, row["channel"], row["rate"], row["snr_db"])
            ]
            yield _line(figure, row, where, _nearest(row["metric"], once_each(here)))
        else:
            yield _line(figure, row, where, values.of(row, row["method"]))


def _behaviour(values: _Values) -> Iterator[Line]:
    """What falls with the SNR: distortion, meaning or realism. Remark 4 is in words; these are the numbers of its plots."""
    theirs = {
        (r["metric"], r["method"], r["snr_db"]): r
        for r in paper_rows()
        if (r["over"], r["channel"]) == ("snr_db", "awgn")
    }
    for metric, kind in _BEHAVIOUR.items():
        for method in (OURS, "diffjscc", "mambajscc_psnr"):
            ends = [theirs[metric, method, snr_db] for snr_db in (10.0, -5.0)]
            ours = [values.of(row, method) for row in ends]
            first, last = ours
            there = first is not None and last is not None and first.metric == last.metric
            text = " → ".join(number(value.mean) for value in ours if value) if there else None
            yield Line(
                BEHAVIOUR,
                f"{metric}, {kind}",
                method_label(method),
                "10 dB → −5 dB",
                " → ".join(row["text"] for row in ends),
                all(row["exact"] for row in ends),
                text,
                short_label(first.metric) if there and first else "",
                bool(there and first and is_standin(first.metric)),
            )


def _claims(values: _Values) -> Iterator[Line]:
    for claim in paper_claims():
        first, second = (values.of(claim, claim[key]) for key in ("method", "other"))
        there = first is not None and second is not None and first.metric == second.metric and second.mean
        ours = f"{100 * first.mean / second.mean:.1f} %" if first and second and there else None
        yield Line(
            CLAIMS,
            claim["metric"],
            f"{method_label(claim['method'])} / {method_label(claim['other'])}",
            _AT,
            f"{claim['text']} %",
            True,
            ours,
            short_label(first.metric) if first and there else "",
            bool(there and first and is_standin(first.metric)),
            claim["note"],
        )


def _units_once(places: Sequence[str]) -> str:
    """`−5 / 0 / 5 / 10 dB`: a unit that all have stands behind the last."""
    units = {place.partition(" ")[2] for place in places}
    if len(places) == 1 or len(units) > 1:
        return " / ".join(places)
    return f"{' / '.join(place.partition(' ')[0] for place in places)} {units.pop()}".strip()


def _curve(lines: Sequence[Line]) -> Curve:
    def joined(texts: Iterable[str]) -> str:
        return " / ".join(texts)

    ours = "" if all(line.ours is None for line in lines) else joined(line.ours or "–" for line in lines)
    by = dict.fromkeys(line.by for line in lines if line.by)
    return Curve(
        lines[0].metric,
        lines[0].method,
        _units_once([line.at for line in lines]),
        joined(line.published + ("*" if line.exact else "") for line in lines),
        ours,
        "; ".join(by),
        any(line.stand_in for line in lines),
        "; ".join(dict.fromkeys(line.note for line in lines if line.note)),
    )
