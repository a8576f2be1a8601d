"""Means with bootstrap intervals, over images and the channel draws of each image.

Draws of one image are not independent images: a cluster bootstrap resamples images, then the draws within each image
(Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Intervals are percentile intervals;
with a handful of images or draws they are optimistic (too narrow), which no resampling can mend.

Whether a difference is one at all is asked by sign flips over images, honestly for all comparisons together (see
`sign_flip_p_values`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 2_000_000
"""Most values resampled at once; bounds the memory to some tens of megabytes."""


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval; all NaN if there was no finite value."""

    mean: float
    low: float
    high: float
    count: int
    """Finite values that entered."""
    dropped: int = 0
    """Values left out because they were NaN or infinite."""

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return value < self.low or value > self.high


def hierarchical_interval(matrix: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Cluster bootstrap of the mean over images of each image's mean over its draws.

    Args:
        matrix: [images, seeds]; NaN where a value is missing. Every image weighs the same. With one image only its
            draws are resampled, with one seed only the images are.
        level: coverage, between 0 and 1.
        draws: bootstrap resamples.
        seed: of the resampling; equal arguments give equal intervals.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"expected a matrix of images x seeds, got shape {values.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")
    finite = np.isfinite(values)
    count, dropped = int(finite.sum()), int((~finite).sum())
    if count == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, dropped)
    packed, counts = _packed(values, finite)
    means = np.where(np.arange(packed.shape[1]) < counts[:, None], packed, 0.0).sum(1) / counts
    mean = float(means.mean())
    if count == 1:
        return Interval(mean, mean, mean, 1, dropped)
    tail = (1 - level) / 2
    low, high = np.quantile(_resampled_means(packed, counts, draws, seed), [tail, 1 - tail])
    return Interval(mean, min(float(low), mean), max(float(high), mean), count, dropped)


def paired_difference(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Interval of the mean of `first - second`, both [images, seeds] with the same image and seed at each place."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must have equal shapes, got {a.shape} and {b.shape}")
    return hierarchical_interval(a - b, level, draws, seed)


def paired_differences(
    differences: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, low and high of many paired differences at once, [comparisons] each.

    Args:
        differences: [comparisons, images, seeds], all finite. The intervals are those of `hierarchical_interval` on each.
    """
    values = np.asarray(differences, dtype=np.float64)
    count, images, seeds = values.shape
    flat = values.reshape(count, images * seeds)
    resampled = flat @ resampling_weights(images, seeds, draws, seed).reshape(draws, -1).T
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=1)
    mean = flat.mean(1)
    return mean, np.minimum(low, mean), np.maximum(high, mean)


@lru_cache(maxsize=8)
def resampling_weights(images: int, seeds: int, draws: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """How much each value counts in each resample of the cluster bootstrap, [draws, images, seeds]; they sum to 1.

    A mean of [images, seeds] values in resample b is `(weights[b] * values).sum()`: what shares them is resampled together.
    """
    weights = np.zeros((draws, images, seeds))
    start = 0
    for rows, uniform in _resamples(images, seeds, draws, seed):
        slots = (uniform * seeds).astype(np.int64)
        resample = np.arange(start, start + len(rows))[:, None, None]
        np.add.at(weights, (resample, rows[..., None], slots), 1 / (images * seeds))
        start += len(rows)
    weights.setflags(write=False)
    return weights


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


def _packed(values: NDArray[np.float64], finite: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images with a value only, their finite values moved to the front (the rest 0), and how many each one has."""
    rows = finite.any(1)
    values, finite = values[rows], finite[rows]
    order = np.argsort(~finite, axis=1, kind="stable")
    return np.take_along_axis(np.where(finite, values, 0.0), order, axis=1), finite.sum(1)


def _resampled_means(
    packed: NDArray[np.float64], counts: NDArray[np.int64], draws: int, seed: int
) -> NDArray[np.float64]:
    """The mean of each of `draws` resamples, [draws]."""
    images, seeds = packed.shape
    parts = []
    for rows, uniform in _resamples(images, seeds, draws, seed):
        drawn = counts[rows]
        slots = (uniform * drawn[..., None]).astype(np.int64)
        taken = packed[rows[..., None], slots] * (np.arange(seeds) < drawn[..., None])
        parts.append((taken.sum(2) / drawn).mean(1))
    return np.concatenate(parts)


def _resamples(
    images: int, seeds: int, draws: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Chunks of resamples: images drawn [chunk, images], and numbers in [0,1) that choose draws [chunk, images, seeds]."""
    rng = np.random.default_rng(seed)
    size = max(1, _CHUNK // (images * seeds))
    for start in range(0, draws, size):
        chunk = min(size, draws - start)
        yield rng.integers(images, size=(chunk, images)), rng.random((chunk, images, seeds))
