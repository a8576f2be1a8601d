"""Means with bootstrap intervals, over images and the channel draws of each image.

Draws of one image are not independent images: a cluster bootstrap resamples images, then the draws within each image
(Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Intervals are percentile intervals;
with a handful of images or draws they are optimistic (too narrow), which no resampling can mend.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def bootstrap_interval(values: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of independent values.

    Args:
        values: [N], one value per independent unit (an image, or a draw of a set metric).
        level: coverage, between 0 and 1.
        draws: bootstrap resamples.
        seed: of the resampling; equal arguments give equal intervals.
    """
    return hierarchical_interval(np.asarray(values, dtype=np.float64).reshape(-1, 1), level, draws, seed)


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
    rng = np.random.default_rng(seed)
    images, seeds = packed.shape
    size = max(1, _CHUNK // packed.size)
    parts = []
    for start in range(0, draws, size):
        chunk = min(size, draws - start)
        rows = rng.integers(images, size=(chunk, images))
        drawn = counts[rows]
        slots = (rng.random((chunk, images, seeds)) * drawn[..., None]).astype(np.int64)
        taken = packed[rows[..., None], slots] * (np.arange(seeds) < drawn[..., None])
        parts.append((taken.sum(2) / drawn).mean(1))
    return np.concatenate(parts)
