"""What the page says beside the comparison: information and capacity, the dial, and the theory's checks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jscgc.information import InformationRate
from jscgc.report.figures import Figure, Plot, add_series, figure_layout
from jscgc.report.reading import MEAN_OF, OURS, is_aside, method_label, metric_info
from jscgc.report.series import HUES, series_names, series_styles

_GREY = "#8a8f98"
_DIAL = ("psnr", "feature_distance_efficientnet_lite2", "lpips_alex")
_CALIBRATION = "spread_over_error"
_FAILS = {
    "forms": "the two forms differ by more than 20% of the larger",
    "control": "symbols of another photograph seem to carry more than 10% of it",
    "capacity": "a form is above capacity",
    "control missing": "it was measured without the control",
}
"""What speaks against calling it an estimate."""
_Key = tuple[str, int, str, float, float]
_Rows = Sequence[Mapping[str, Any]]


def _key(row: Mapping[str, Any]) -> _Key:
    return (row["method"], row["steps"], row["channel"], row["snr_db"], row["cbr"])


def _failures(rows: _Rows) -> dict[_Key, tuple[str, ...]]:
    """Condition -> why the mean over photographs is no estimate of the information there; empty where it is one."""
    found: dict[_Key, dict[str, float]] = {}
    for r in rows:
        if not is_aside(r["method"]) and r["mean"] is not None:
            found.setdefault(_key(r), {})[r["metric"]] = float(r["mean"])
    failures: dict[_Key, tuple[str, ...]] = {}
    for key, means in found.items():
        if "information_bits" in means:
            try:
                rate = InformationRate(
                    bits=means["information_bits"],
                    bits_losses=means["information_bits_losses"],
                    control_bits=means["information_control_bits"],
                    control_bits_losses=means["information_control_bits_losses"],
                    uses=1,  # has no say in the rule
                    capacity_bits=means["capacity_bits"],
                )
            except KeyError:
                failures[key] = ("control missing",)
            else:
                failures[key] = rate.failures
    return failures


def _verdict(failures: Mapping[_Key, tuple[str, ...]]) -> str:
    held = sum(not failed for failed in failures.values())
    if held == len(failures):
        return "an estimate of I(X; Ŷ)"
    if not held:
        return "an indicator, no estimate"
    return f"an estimate of I(X; Ŷ) at {held} of {len(failures)} conditions, elsewhere an indicator"


def information_sentence(rows: _Rows) -> str:
    """Where what was measured may be called an estimate of I(X; Y_hat), and what speaks against it elsewhere; "" if it was not
    measured."""
    every = _failures(rows)
    sentences = []
    for method, steps in sorted({key[:2] for key in every}):
        failures = {key: failed for key, failed in every.items() if key[:2] == (method, steps)}
        against = {
            said: sum(reason in failed for failed in failures.values())
            for reason, said in _FAILS.items()
            if any(reason in failed for failed in failures.values())
        }
        reasons = "; ".join(f"{said} ({count} of {len(failures)} conditions)" for said, count in against.items())
        sentences.append(f"{method_label(method)}: {_verdict(failures)}{f': {reasons}' if reasons else ''}.")
    return " ".join(sentences)


def information_plots(rows: _Rows) -> list[Plot]:
    """Bits per photograph in both forms beside the capacity, the control, bits per symbol, and the share of the capacity, against
    SNR (meta: series, channel, cbr); [] if not measured."""
    measured = [r for r in rows if not is_aside(r["method"]) and r["mean"] is not None]

    def of(metric: str) -> list[Mapping[str, Any]]:
        return [r for r in measured if r["metric"] == metric]

    bits, capacity = of("information_bits"), of("capacity_bits")
    if not bits:
        return []
    failures = _failures(rows)
    verdict = _verdict(failures)
    title = f"Bits per photograph: {verdict} (dashed: by losses; grey: capacity)"
    plots = [_against_snr("information-bits", title, bits, of("information_bits_losses"), capacity, failures)]
    if control := of("information_control_bits"):
        dashed = of("information_control_bits_losses")
        excess = of("information_control_excess_bits")
        plots += [
            _against_snr(
                "information-control", "Another photograph's symbols (dashed: by losses)", control, dashed, capacity
            ),
            _against_snr(
                "information-excess", "Their sum, 0 if the unconditional field is exact", excess, [], capacity
            ),
        ]
    return [
        *plots,
        _against_snr("information-per-use", f"Bits per data symbol: {verdict}", of("information_bits_per_use"), [], []),
        _against_snr(
            "information-efficiency", f"Share of the capacity: {verdict}", of("information_efficiency"), [], []
        ),
    ]


def _against_snr(
    name: str,
    title: str,
    rows: _Rows,
    losses: _Rows,
    capacity: _Rows,
    failures: Mapping[_Key, tuple[str, ...]] | None = None,
) -> Plot:
    """`rows` as lines, `losses` dashed in the same colours, the capacity in grey; hovering says of each point whether it is an
    estimate, where there are `failures`."""
    figure = Figure()
    names = series_names(rows)
    styles = series_styles(list(names))
    choices = sorted({(str(r["channel"]), float(r["cbr"])) for r in rows})
    for channel, cbr in choices:
        meta = {"channel": channel, "cbr": f"{cbr:g}"}
        for key, label in names.items():
            if points := _points(rows, key, channel, cbr):
                add_series(figure, points, "snr_db", label, styles[key], {**meta, "series": label})
                if failures is not None:
                    curve = figure.data[-1]
                    curve["text"] = ["no estimate" if failures[_key(r)] else "estimate" for r in points]
                    curve["hovertemplate"] += ", %{text}"
            if points := _points(losses, key, channel, cbr):
                style = replace(styles[key], dash="dash")
                add_series(figure, points, "snr_db", f"{label}, losses", style, {**meta, "series": label})
        if first := _points(capacity, next(iter(names)), channel, cbr):
            line = {"color": _GREY, "width": 2, "dash": "dash"}
            x, y = ([float(f"{r[k]:.6g}") for r in first] for k in ("snr_db", "mean"))
            figure.add_scatter(x=x, y=y, mode="lines", name="capacity", line=line, meta={**meta, "series": ""})
    figure.update_layout(figure_layout("SNR (dB)"))
    return Plot(name, title, figure.plain())


def _points(
    rows: Iterable[Mapping[str, Any]], key: tuple[str, int], channel: str, cbr: float
) -> list[Mapping[str, Any]]:
    points = [r for r in rows if (r["method"], r["steps"]) == key and r["channel"] == channel and r["cbr"] == cbr]
    return sorted(points, key=lambda r: float(r["snr_db"]))


@dataclass(frozen=True)
class Dial:
    """The first condition at which means of N samples were scored. rows: N -> metric -> row of the summary."""

    channel: str
    snr_db: float
    cbr: float
    steps: int
    rows: dict[int, dict[str, Mapping[str, Any]]]


def _dial(rows: _Rows) -> Dial | None:
    found: dict[tuple[str, float, float, int], dict[int, dict[str, Mapping[str, Any]]]] = {}
    for r in rows:
        mean_of = re.fullmatch(rf"{OURS}{MEAN_OF}(\d+)", r["method"])
        if mean_of and r["mean"] is not None:
            condition = (r["channel"], r["snr_db"], r["cbr"], r["steps"])
            found.setdefault(condition, {}).setdefault(int(mean_of[1]), {})[r["metric"]] = r
    return next((Dial(*condition, rows=dial) for condition, dial in found.items()), None)


def calibration_sentence(rows: _Rows) -> str:
    """How much the samples differ beside how much they are wrong, at the largest N; "" if not measured."""
    dial = _dial(rows)
    counts = [n for n, row in dial.rows.items() if _CALIBRATION in row] if dial else []
    if dial is None or not counts:
        return ""
    row = dial.rows[max(counts)][_CALIBRATION]
    said = "no difference from an exact receiver can be told"
    if row["high"] < 1:
        said = "the samples are more alike than they are right, and the uncertainty map understates"
    elif row["low"] > 1:
        said = "the samples differ by more than they are wrong, and the uncertainty map overstates"
    return (
        f"Spread over error of {max(counts)} samples is {row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}], "
        f"of exact posterior samples 1: {said}. What the autoencoder loses is error, too, and no sample shows it."
    )


def dial_plots(rows: _Rows) -> tuple[str, list[Plot]]:
    """Where the dial was measured, and its plots: quality of the mean of N samples against N, and the samples' spread over its
    error; none if not measured.

    The dashed line is the law of exact posterior samples: squared error (1 + 1/N) times the least one, put through the value at
    N = 1; spread over error 1.
    """
    dial = _dial(rows)
    if dial is None:
        return "", []
    plots = []
    for metric in (*_DIAL, _CALIBRATION):
        counts = sorted(n for n in dial.rows if metric in dial.rows[n])
        info = metric_info(metric)
        title = "Spread over error" if metric == _CALIBRATION else info.label if info else None
        # Of one sample there is no spread.
        if title is None or len(counts) < len(dial.rows) - (metric == _CALIBRATION) or not counts:
            continue
        figure = Figure()
        line = {"color": HUES[0], "width": 2}
        values = [float(f"{dial.rows[n][metric]['mean']:.6g}") for n in counts]
        figure.add_scatter(
            x=counts, y=values, mode="lines+markers", name="measured", line=line, meta={"series": "dial"}
        )
        laws = {
            "psnr": [values[0] + 10 * math.log10(2 / (1 + 1 / n)) for n in counts],
            _CALIBRATION: [1.0] * len(counts),
        }
        if law := laws.get(metric):
            dashed = {"color": _GREY, "width": 2, "dash": "dash"}
            figure.add_scatter(
                x=counts, y=law, mode="lines", name="exact samples", line=dashed, meta={"series": "dial"}
            )
        figure.update_layout(figure_layout("samples N in the mean"))
        figure.update_xaxes(type="log", tickvals=counts, ticktext=[str(n) for n in counts])
        plots.append(Plot(f"dial-{metric}", title, figure.plain()))
    place = f"{dial.channel}, {dial.snr_db:g} dB, CBR {round(768 * dial.cbr)}/768"
    return f"{place}; samples of {dial.steps} steps, without guidance", plots


def theory_plots(figures: Mapping[str, Any]) -> list[Plot]:
    """Errors of the solvers against steps, and how each loss shares power between components."""
    plots = []
    if orders := figures.get("orders"):
        figure = Figure()
        for colour, (solver, measured) in zip(HUES, orders.items(), strict=False):
            line = {"color": colour, "width": 2}
            x, y = measured["steps"], measured["error"]
            figure.add_scatter(x=x, y=y, mode="lines+markers", name=solver, line=line, meta={"series": solver})
        figure.update_layout(figure_layout("steps"), showlegend=True)
        figure.update_xaxes(type="log")
        figure.update_yaxes(type="log", exponentformat="power")
        plots.append(Plot("theory-orders", "Largest error of a sample against steps", figure.plain()))
    if allocation := figures.get("allocation"):
        figure = Figure()
        for colour, (loss, fit) in zip(HUES, allocation.items(), strict=False):
            x, y = fit["variance"], fit["one_plus_snr"]
            marker = {"color": colour, "size": 8}
            figure.add_scatter(x=x, y=y, mode="markers", name=loss, marker=marker, meta={"series": loss})
            # The law through the measured powers' geometric mean.
            scale = math.exp(
                sum(math.log(b) - fit["exponent"] * math.log(a) for a, b in zip(x, y, strict=True)) / len(x)
            )
            law = [scale * a ** fit["exponent"] for a in x]
            line = {"color": colour, "width": 1}
            label = f"variance^{fit['exponent']:.2g}"
            figure.add_scatter(x=x, y=law, mode="lines", name=label, line=line, meta={"series": loss})
        figure.update_layout(figure_layout("variance of the component"), showlegend=True)
        figure.update_xaxes(type="log")
        figure.update_yaxes(type="log")
        plots.append(Plot("theory-allocation", "1 + P/σ² that each loss gives a component", figure.plain()))
    return plots
