"""Means with intervals over trainings, photographs and channel draws together.

A value belongs to training t, photograph i and draw s. Draws of one photograph are no photographs: they are averaged first. What
is left, m[t,i], has two ways, trainings and photographs crossed, both drawn at random: a training shifts all photographs, a
photograph all trainings, and each pair has its own rest. Either way has a plain t interval of its own, of the T training means
and of the I photograph means; the interval of the mean takes both half-widths as the sides of a right angle:

    half^2 = t(T-1)^2 s_T^2 / T  +  t(I-1)^2 s_I^2 / I          t: Student's quantile, s: standard deviation of the means

With one training it is the t interval over photographs, *given these weights*; with one photograph that over trainings; with one
of both that over draws. Normal effects give it at least the coverage that it claims: s_T^2/T + s_I^2/I estimates no less than the
mean's variance (the rest is in it twice), and P(z^2 < x) is concave in x, so the mixture of two exact t intervals covers no less
than they (Banerjee, J. Am. Stat. Assoc. 56, 1961).

Simulated (4000 tables a case; three trainings, 24 photographs, one and two draws of standard deviation .3; training effects of
standard deviation 0, .2, .5, 1, 2 and rest 0, .3, 1, photographs' being 1). Per cent that the 95 % interval covers, and its mean
width over that of +-1.96 true standard deviations, from least to most of the rests and draws; `python
tests/evaluation/test_statistics.py` makes the table anew, its tests hold 93 % in the first two rows:

    training effect                0               .2               .5                1                2
    normal            95.9-98.7  1.1-1.5  97-99  1.4-1.6   97-98  1.7-1.8   96-97  1.9-1.9   95-96  1.9-1.9
    skewed            93.9-98.9  1.1-1.5  97-99  1.4-1.6   97-98  1.7-1.8   96-97  1.9-1.9   95-96  1.9-2.0
    very skewed       90.5-98.5  1.0-1.5  97-99  1.3-1.6   97-98  1.7-1.8   95-96  1.9-1.9   94-96  1.9-1.9

Skewed photographs are lognormal; their logarithm's standard deviation is .5 (skewness 1.75; 24 of them show 1.0, as PSNR and
FLIP do on Kodak), of the very skewed 1 (6.2; they show 1.9). Three trainings tell little about trainings: hence nearly twice the
width. One training, given its weights, with 3, 6, 24 photographs: 95 % if normal, 94, 93, 94 % if skewed, 93, 91, 91 % if very.

Tried and left: Satterthwaite's degrees of freedom for (MS_T + MS_I) / TI, which fall to 91.8 % at training effects of 1 (by
chance s_T is small and the degrees many), and so with - MS_TI; T - 1 degrees for all, 2.2 times as wide as need be
where trainings agree; - MS_TI in the formula above, which saves 6 % of the width at most; Hall's correction for skewness
(J. R. Stat. Soc. B 54, 1992), up to 1.7 times as wide and at 92 % where the t interval has 88.

Whether a difference is one at all is also asked by sign flips over photographs, honestly for all comparisons together (see
`sign_flip_p_values`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_CHUNK = 2_000_000
"""Most values at once; bounds the memory to some tens of megabytes."""


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; all NaN if there was no finite value."""

    mean: float
    low: float
    high: float
    count: int
    """Finite values that entered."""
    dropped: int = 0
    """Values left out: NaN, infinite, or of a photograph that some training lacks."""
    trainings: int = 0
    """That entered; 0 without a value."""
    images: int = 0
    """That entered, in each training."""

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return value < self.low or value > self.high

    @property
    def over(self) -> str:
        """What it covers, in words: `images and draws`, with several trainings `trainings, images and draws`."""
        ways = ["trainings"] * (self.trainings > 1) + ["images"] * (self.images > 1) + ["draws"]
        return " and ".join([", ".join(ways[:-1]), ways[-1]] if ways[:-1] else ways)


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean over trainings and photographs of each pair's mean over its draws, with its interval.

    Args:
        values: [trainings, images, draws], or [images, draws] of one training; NaN or infinite where one is missing. Those
            trainings count that have a value, and the photographs that all of these have; where there is none such, all.
            Every training weighs the same, and every photograph.
        level: coverage, between 0 and 1.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[None] if table.ndim == 2 else table
    if table.ndim != 3:
        raise ValueError(f"expected values of trainings x images x draws, got shape {table.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")
    finite: NDArray[np.bool_] = np.isfinite(table)
    there: NDArray[np.bool_] = np.logical_or.reduce(finite, axis=2)
    if not there.any():
        return Interval(math.nan, math.nan, math.nan, 0, table.size)
    trainings = there.any(1)
    common = there[trainings].all(0)
    images = common if common.any() else there.any(0)
    used = np.where(finite, table, np.nan)[np.ix_(trainings, images)]
    drawn = used[np.isfinite(used)]
    start = drawn[0]  # what is constant has no spread at all, rounding left out
    cells = mean_of_finite(used - start, 2)
    ways = [mean_of_finite(cells, 1), mean_of_finite(cells, 0)] if cells.size > 1 else [drawn - start]
    halves = [
        student_quantile((1 + level) / 2, len(way) - 1) * way.std(ddof=1) / math.sqrt(len(way))
        for way in ways
        if len(way) > 1
    ]
    mean, half = float(start + ways[-1].mean()), math.hypot(*halves)
    return Interval(mean, mean - half, mean + half, len(drawn), table.size - len(drawn), *cells.shape)


def mean_of_finite(values: Floats, axis: int) -> Floats:
    """Along an axis, NaN where nothing is finite."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(finite, values, 0.0).sum(axis) / finite.sum(axis)
    return mean


@lru_cache(maxsize=256)
def student_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t; `probability` in [0.5, 1), `degrees` of freedom from 1 up, whole or not.

    With t = sqrt(degrees) tan(angle), P(0 < T < t) is the integral of cos^(degrees - 1) from 0 to the angle, over twice that to
    pi/2. It is concave in the angle, so Newton's steps from 0 rise to the solution. (SciPy is no part of what a report needs.)
    """
    if not (0.5 <= probability < 1 and degrees >= 1):
        raise ValueError(f"no quantile of Student's t at {probability} with {degrees} degrees of freedom")
    nodes, weights = np.polynomial.legendre.leggauss(64)
    ratio = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    angle = 0.0
    for _ in range(100):
        area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (degrees - 1))
        step = ((probability - 0.5) / ratio - area) / math.cos(angle) ** (degrees - 1)
        angle += step
        if abs(step) <= 1e-15 * angle:
            break
    return math.sqrt(degrees) * math.tan(angle)


def sign_flip_p_values(differences: ArrayLike, flips: int = 10_000, seed: int = 0) -> NDArray[np.float64]:
    """Two-sided p-values of "no difference", adjusted for all comparisons together.

    If two methods are exchangeable, an image's difference is as likely to have the other sign. All signs of an image flip
    together, in every comparison; the share of flips in which the largest |t| of *any* comparison reaches this one's |t| is its
    p-value: if there were no difference anywhere, the chance of even one p <= 0.05 is 5 % at most (single-step max-T, Westfall &
    Young 1993). With n images no p-value is below 2^(1-n): three images can never show anything at 5 %.

    Args:
        differences: [comparisons, images]; NaN where a comparison lacks an image.
        flips: random sign patterns; all 2^(n-1) of them where those are no more.
        seed: of the random patterns.

    Returns:
        [comparisons]; NaN for a comparison without any image.
    """
    values = np.asarray(differences, dtype=np.float64)
    present = np.isfinite(values)
    counts, filled = present.sum(1), np.where(present, values, 0.0)
    squares = np.square(filled).sum(1)
    images = values.shape[1]
    if images and 2 ** (images - 1) <= flips:
        # The first image's sign stays: flipping all of them gives the same |t|.
        bits = np.arange(2 ** (images - 1))[:, None] >> np.arange(images - 1)
        patterns = np.concatenate([np.ones((len(bits), 1)), 1 - 2.0 * (bits & 1)], axis=1)
    else:
        random = np.random.default_rng(seed).choice([-1.0, 1.0], size=(flips, images))
        patterns = np.concatenate([np.ones((1, images)), random])

    def squared_t(means: NDArray[np.float64]) -> NDArray[np.float64]:
        # The sum of squares is the same under every flip; t^2 = n m^2 / s^2 with (n - 1) s^2 = sum of squares - n m^2.
        explained = counts[:, None] * np.square(means)
        rest = np.maximum(squares[:, None] - explained, 1e-12 * squares[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            squared: NDArray[np.float64] = np.nan_to_num((counts[:, None] - 1) * explained / rest)
        return squared

    def means(signs: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = filled @ signs.T / np.maximum(counts, 1)[:, None]
        return mean

    observed = squared_t(means(np.ones((1, images))))[:, 0]
    size = max(1, _CHUNK // max(1, len(values)))
    largest = np.concatenate(
        [squared_t(means(patterns[i : i + size])).max(0, initial=0.0) for i in range(0, len(patterns), size)]
    )
    reached = largest[None, :] >= observed[:, None] * (1 - 1e-9)
    return np.where(counts > 0, reached.mean(1), np.nan)
