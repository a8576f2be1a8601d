"""Distances of two sets of patches, and the same without each photograph (a jackknife): FID's and KID's, of features.

    reference  [N_1,D], [N_2,D], ... of its photographs --sums of each, once--> what received sets are held against
    received   [M_1,D], [M_2,D], ... of the same        --sums of each-------> the distance of all, and of all but one

To leave a photograph out is to subtract its sums. The statistics are clean-fid's; neither its subsets nor its matrix square root
is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

Features = Float64[np.ndarray, "n d"]
_Floats = NDArray[np.float64]
_ROWS = 256
"""Of a kernel matrix at once: so few stay in the processor's cache."""


@dataclass(frozen=True)
class Distances:
    """whole: of all patches. without: without those of each photograph, in their order; NaN where a side has fewer than two."""

    whole: float
    without: tuple[float, ...]


Against = Callable[[Sequence[Features]], Distances]
"""Takes the received photographs' features, in the order of the reference's."""


def recomputed(distance: Callable[[Features, Features], float], reference: Sequence[Features]) -> Against:
    """Of any distance of two sets, computed anew without each photograph."""

    def against(received: Sequence[Features]) -> Distances:
        def value(without: int) -> float:
            sides = [[part for at, part in enumerate(side) if at != without] for side in (reference, received)]
            enough = all(sum(map(len, side)) > 1 for side in sides)
            return distance(*map(np.concatenate, sides)) if enough else np.nan

        return Distances(value(-1), tuple(value(at) for at in range(len(reference))))

    return against


class Frechet:
    """Fréchet distance of the Gaussians fitted to two sets, |mu1-mu2|^2 + Tr(S1 + S2 - 2 sqrt(S1 S2)), from 0.

    Tr sqrt(S1 S2) is the sum of the roots of the eigenvalues of sqrt(S1) S2 sqrt(S1); where a set has no more than D members,
    that of the singular values of X Y^T, X and Y being the centred sets over sqrt(n-1). Both are exact at any rank, where
    clean-fid's matrix square root loses digits or fails. Source: Heusel et al., NeurIPS 2017.
    """

    def __init__(self, reference: Sequence[Features]) -> None:
        """`reference`: of each photograph; errors as `check`."""
        self._centre = check(reference).mean(0)
        self._reference = _Moments(reference, self._centre)

    @cached_property
    def _roots(self) -> list[_Floats]:
        return [_root(self._reference.covariance(at)) for at in range(len(self._reference.counts))]

    def __call__(self, received: Sequence[Features]) -> Distances:
        """Against features of the same photographs; errors as `check`."""
        check(received, len(self._centre))
        first, second = self._reference, _Moments(received, self._centre)
        cross = np.array([self._cross(second, at) for at in range(len(first.counts))])
        apart = np.square(first.means - second.means).sum(1)
        return _distances((apart + first.traces + second.traces - 2 * cross).clip(min=0), first, second)

    def _cross(self, second: _Moments, at: int) -> float:
        """Tr sqrt(S1 S2) of all (0), or without photograph `at` - 1."""
        first = self._reference
        if min(first.counts[at], second.counts[at]) > len(self._centre):
            overlap = self._roots[at] @ second.covariance(at) @ self._roots[at]
            return float(np.sqrt(np.linalg.eigvalsh(overlap).clip(min=0)).sum())
        x, y = (side.centred(at) for side in (first, second))
        return float(np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt(first.degrees[at] * second.degrees[at]))


class Kernel:
    """Squared maximum mean discrepancy with the kernel (x.y/D + 1)^3; may fall below 0.

    The mean over pairs of different members of each set, minus twice that over pairs across: unbiased for independent sets. Where
    each received patch has its reference in the other set, as in the Kodak protocol, it lies lower, at identity below 0 (the
    kernel's diagonal counts across the sets but not within them). With as many members on both sides as a subset of clean-fid's
    has, or fewer, this is its value; otherwise what its mean over random subsets estimates. Source: Binkowski et al., ICLR 2018.
    """

    def __init__(self, reference: Sequence[Features]) -> None:
        """`reference`: of each photograph; errors as `check`."""
        check(reference)
        self._reference = _Set(reference)
        self._within = self._reference.within()

    def __call__(self, received: Sequence[Features]) -> Distances:
        """Against features of the same photographs; errors as `check`."""
        check(received, self._reference.parts[0].shape[1])
        first, second = self._reference, _Set(received)
        across = _kernel_sums(first, second) / np.maximum(first.counts * second.counts, 1)
        return _distances(self._within + second.within() - 2 * across, first, second)


class _Set:
    """parts: of each of P photographs. counts [1+P]: patches of all, and of all but each."""

    def __init__(self, parts: Sequence[Features]) -> None:
        self.parts = parts
        self.counts = _left(np.array([len(part) for part in parts], dtype=np.float64))

    def within(self) -> _Floats:
        """Mean kernel [1+P] of two different members."""
        alike = _left(np.array([_kernel(np.square(part).sum(1), part.shape[1]).sum() for part in self.parts]))
        means: _Floats = (_kernel_sums(self, self) - alike) / np.maximum(self.counts * (self.counts - 1), 1)
        return means


class _Moments(_Set):
    """means [1+P,D], about a centre that is near them (or subtracting would lose digits); traces [1+P] of the covariances."""

    def __init__(self, parts: Sequence[Features], centre: _Floats) -> None:
        super().__init__([part - centre for part in parts])
        self.degrees = np.maximum(self.counts - 1, 1)
        self.means = _left(np.stack([part.sum(0) for part in self.parts])) / np.maximum(self.counts, 1)[:, None]
        squares = _left(np.array([np.square(part).sum() for part in self.parts]))
        self.traces = (squares - self.counts * np.square(self.means).sum(1)) / self.degrees

    @cached_property
    def _products(self) -> _Floats:
        every = np.concatenate(self.parts)
        products: _Floats = every.T @ every
        return products

    def covariance(self, at: int) -> _Floats:
        """[D,D] of all (0), or without photograph `at` - 1."""
        left = self._products - self.parts[at - 1].T @ self.parts[at - 1] if at else self._products
        covariance: _Floats = (left - self.counts[at] * np.outer(self.means[at], self.means[at])) / self.degrees[at]
        return covariance

    def centred(self, at: int) -> Features:
        """The members of all (0), or those without photograph `at` - 1, minus their mean."""
        left = [part for index, part in enumerate(self.parts) if index != at - 1]
        centred: Features = np.concatenate([self.parts[0][:0], *left]) - self.means[at]
        return centred


def _root(covariance: _Floats) -> _Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: _Floats = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def _kernel_sums(first: _Set, second: _Set) -> _Floats:
    """Sums [1+P] of the kernel over all pairs of both sets, and over those without each photograph."""
    every = np.concatenate(second.parts)
    starts = np.cumsum([0, *(len(part) for part in second.parts)])
    blocks = np.zeros((len(first.parts), len(second.parts)))
    for at, part in enumerate(first.parts):
        begin = at if first is second else 0  # what follows; the rest is its mirror image
        for row in range(0, len(part), _ROWS):
            kernel = _kernel(part[row : row + _ROWS] @ every[starts[begin] :].T, every.shape[1])
            ends = np.concatenate([[0.0], kernel.sum(0).cumsum()])
            blocks[at, begin:] += np.diff(ends[starts[begin:] - starts[begin]])
    if first is second:
        blocks = blocks + np.triu(blocks, 1).T
    return np.concatenate([[blocks.sum()], blocks.sum() - blocks.sum(0) - blocks.sum(1) + blocks.diagonal()])


def _kernel(products: _Floats, width: int) -> _Floats:
    """(x.y/D + 1)^3 of products x.y, which are lost. (`**3` takes fifty times as long.)"""
    products /= width
    products += 1
    cube: _Floats = products * products
    cube *= products
    return cube


def _left(of_each: _Floats) -> _Floats:
    """Sums [P,...] of photographs -> [1+P,...]: of all, and of all but each."""
    whole = of_each.sum(0, keepdims=True)
    return np.concatenate([whole, whole - of_each])


def _distances(values: _Floats, first: _Set, second: _Set) -> Distances:
    """`values` [1+P], of which those of fewer than two patches mean nothing."""
    every = np.where(np.minimum(first.counts, second.counts) < 2, np.nan, values).tolist()
    return Distances(every[0], tuple(every[1:]))


def check(features: Sequence[Features], width: int | None = None) -> Features:
    """All in one array [N,D].

    Raises:
        ValueError: they are not [N,D] of one D (`width`, if given), or fewer than two patches.
    """
    width = features[0].shape[-1] if width is None else width
    if wrong := next((part.shape for part in features if part.shape[1:] != (width,)), None):
        raise ValueError(f"features {list(wrong)}: [N,D] of the same D ({width}) needed")
    if sum(map(len, features)) < 2:
        raise ValueError("at least two patches on each side are needed: one has no covariance")
    return np.concatenate(features)
