"""How much bandwidth a method saves at equal quality, averaged over the qualities that both reach (Bjøntegaard, VCEG-M33, 2001).

    log CBR of each method as a function of the metric's value, through the measured points (PCHIP: monotone, no overshoot);
    saved = 1 - exp(mean over the values that both curves have of [log CBR of ours - log CBR of the other]).

A factor f in CBR everywhere gives exactly 1 - f; swapping the methods, (1 - a)(1 - b) = 1. Many pairs of curves are computed at
once, for the jackknife: what the package `bjontegaard` (by which tests check this) does for one pair.
PCHIP: Fritsch & Butland 1984, as SciPy has it; with two points a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Saved:
    """share: of the CBR that is saved, [...]; NaN where the curves do not overlap or one does not rise. overlap: of the
    range of values that one or the other has, the share that both have, [...]."""

    share: Floats
    overlap: Floats


def cbr_saved(cbr: ArrayLike, values: ArrayLike, other_cbr: ArrayLike, other_values: ArrayLike) -> Saved:
    """What a method saves beside another.

    Args:
        cbr: [P], rising.
        values: [..., P], at those CBRs; higher is better (negate a distance).
        other_cbr, other_values: [Q] and [..., Q], of the other method.

    Raises:
        ValueError: fewer than two points, or CBRs that do not rise.
    """
    rates = [np.log(np.asarray(r, dtype=np.float64)) for r in (cbr, other_cbr)]
    curves = [np.asarray(v, dtype=np.float64) for v in (values, other_values)]
    if any(len(rate) < 2 or not (np.diff(rate) > 0).all() for rate in rates):
        raise ValueError("a curve needs two CBRs or more, rising")
    rising = np.asarray((np.diff(curves[0]) > 0).all(-1) & (np.diff(curves[1]) > 0).all(-1))
    low = np.maximum(curves[0][..., 0], curves[1][..., 0])
    high = np.minimum(curves[0][..., -1], curves[1][..., -1])
    whole = np.maximum(curves[0][..., -1], curves[1][..., -1]) - np.minimum(curves[0][..., 0], curves[1][..., 0])
    usable = rising & (high > low)
    shape = np.broadcast_shapes(curves[0].shape[:-1], curves[1].shape[:-1])
    share = np.full(shape, np.nan)
    overlap = np.where(usable, (high - low) / np.where(whole > 0, whole, 1.0), 0.0)
    if usable.any():
        full = [np.broadcast_to(curve, (*shape, curve.shape[-1]))[usable] for curve in curves]
        ends = [np.broadcast_to(end, shape)[usable] for end in (low, high)]
        ours, others = (_integral(curve, rate, *ends) for curve, rate in zip(full, rates, strict=True))
        share[usable] = -np.expm1((ours - others) / (ends[1] - ends[0]))
    return Saved(share, overlap)


def _integral(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """Of the PCHIP interpolant through (x [N,P] rising, y [P]) from low to high, [N] each, within x."""
    width = np.diff(x, axis=1)
    slope = np.diff(y) / width
    rise = _derivatives(width, slope)
    square = (3 * slope - 2 * rise[:, :-1] - rise[:, 1:]) / width
    cube = (rise[:, :-1] + rise[:, 1:] - 2 * slope) / np.square(width)

    def area(s: Floats, piece: Any) -> Any:
        """Below piece `piece` from its start to s beyond it."""
        rows = np.arange(len(x))[:, None]
        start, first = np.broadcast_to(y, x.shape)[rows, piece], rise[rows, piece]
        return s * (start + s * (first / 2 + s * (square[rows, piece] / 3 + s * cube[rows, piece] / 4)))

    pieces = np.broadcast_to(np.arange(width.shape[1]), width.shape)
    before = np.concatenate([np.zeros((len(x), 1)), np.cumsum(area(width, pieces), axis=1)], axis=1)

    def up_to(end: Floats) -> Floats:
        piece = np.clip((x <= end[:, None]).sum(1) - 1, 0, width.shape[1] - 1)[:, None]
        s = end[:, None] - np.take_along_axis(x, piece, 1)
        below: Floats = (np.take_along_axis(before, piece, 1) + area(s, piece))[:, 0]
        return below

    return up_to(high) - up_to(low)


def _derivatives(width: Floats, slope: Floats) -> Floats:
    """At the points of rising data, [N,P] from [N,P-1]: weighted harmonic means inside, three-point formulas at the ends."""
    if width.shape[1] == 1:
        return np.repeat(slope, 2, axis=1)
    first, second = 2 * width[:, 1:] + width[:, :-1], width[:, 1:] + 2 * width[:, :-1]
    inside = (first + second) / (first / slope[:, :-1] + second / slope[:, 1:])

    def end(w0: Floats, w1: Floats, s0: Floats, s1: Floats) -> Floats:
        # All slopes are positive: the only bound to keep is no turning back.
        return np.maximum(((2 * w0 + w1) * s0 - w0 * s1) / (w0 + w1), 0.0)

    left = end(width[:, 0], width[:, 1], slope[:, 0], slope[:, 1])
    right = end(width[:, -1], width[:, -2], slope[:, -1], slope[:, -2])
    return np.concatenate([left[:, None], inside, right[:, None]], axis=1)
