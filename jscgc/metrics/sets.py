"""FID and KID: clean-fid's statistics code on features of patches, silent and deterministic.

Both are biased or noisy with few patches, and neither compares across patch sizes, numbers of patches or networks.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from cleanfid import fid as cleanfid
from jaxtyping import Float32, Float64
from torch import Tensor

from jscgc.metrics import catalogue, efficientnet, inception
from jscgc.metrics.base import MetricInfo

FEATURE_BLOCK = 4
"""Block whose spatial means stand in for Inception's pooled features: 40 numbers at 1/8 of the resolution.

Few numbers because there are few patches. Measured on 384 64-pixel patches of five photographs: two random halves are
27 apart (unscaled) and the whole from its JPEG 80 by 26; with the 112 numbers of block 10, 148 and 68.
"""
FEATURE_SCALE = 1 / 8
"""Brings the features (root mean square 4 on photographs) to the size of Inception's, for which KID's kernel is made:
its constant then counts, and a few patches of high contrast do not decide the value."""

ONE_SUBSET = 4000
"""Most patches whose kernel matrices (a gigabyte here) are computed at once."""

Extractor = Callable[[Tensor], np.ndarray]
"""float32 [N,3,s,s] in [0,1] -> float64 [N,D]."""


def frechet_distance(reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
    """Fréchet distance of the Gaussians fitted to two sets, |mu1-mu2|^2 + Tr(S1 + S2 - 2 sqrt(S1 S2)).

    By clean-fid. Where a set has no more than D members its covariance is singular and clean-fid's matrix square root
    loses digits or fails (imaginary component); there Tr sqrt(S1 S2) is the sum of the singular values of X Y^T, X and
    Y being the centred sets over sqrt(n-1): the same number, exact at any rank. Source: Heusel et al., NeurIPS 2017.
    """
    _check(reference, received)
    if min(len(reference), len(received)) > reference.shape[1]:
        with _quiet():
            return max(0.0, float(cleanfid.fid_from_feats(reference, received)))
    difference = reference.mean(0) - received.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (reference, received))
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return max(0.0, float(difference @ difference + np.square(x).sum() + np.square(y).sum() - 2 * cross))


def kernel_distance(reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y/D + 1)^3; may fall below 0.

    Unbiased for independent sets; where each received patch has its reference in the other set, as in the Kodak
    protocol, it lies lower, at identity below 0 (the kernel's diagonal counts across the sets but not within them).
    By clean-fid: of all members up to `ONE_SUBSET` of them, beyond that the mean over 100 subsets of 1000, as is usual (the
    same expectation). The subsets are the same in every call, and numpy's global random state is left as it was. Source:
    Binkowski et al., ICLR 2018.
    """
    _check(reference, received)
    state = np.random.get_state()
    np.random.seed(0)
    try:
        whole = max(len(reference), len(received)) <= ONE_SUBSET
        subsets, size = (1, ONE_SUBSET) if whole else (100, 1000)
        return float(cleanfid.kernel_distance(reference, received, num_subsets=subsets, max_subset_size=size))
    finally:
        np.random.set_state(state)


class FID:
    """Fréchet distance of two sets of patches in a feature space; lower is better, from 0."""

    def __init__(self, info: MetricInfo, extractor: Extractor) -> None:
        self.info = info
        self._extractor = extractor

    def features(self, images: Float32[Tensor, "n 3 s s"]) -> Float64[np.ndarray, "n d"]:
        """Features of patches; [N,3,s,s] in [0,1] -> [N,D]."""
        return self._extractor(images)

    def distance(self, reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
        """See `frechet_distance`."""
        return frechet_distance(reference, received)


class KID:
    """Kernel distance of two sets of patches in a feature space; lower is better, may fall below 0."""

    def __init__(self, info: MetricInfo, extractor: Extractor) -> None:
        self.info = info
        self._extractor = extractor

    def features(self, images: Float32[Tensor, "n 3 s s"]) -> Float64[np.ndarray, "n d"]:
        """Features of patches; [N,3,s,s] in [0,1] -> [N,D]."""
        return self._extractor(images)

    def distance(self, reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
        """See `kernel_distance`."""
        return kernel_distance(reference, received)


def fid_efficientnet_lite0(device: str = "cpu") -> FID:
    """FID on the scaled means of EfficientNet-Lite0's block 4."""
    return FID(catalogue.FID_EFFICIENTNET_LITE0, _efficientnet(device))


def kid_efficientnet_lite0(device: str = "cpu") -> KID:
    """KID on the scaled means of EfficientNet-Lite0's block 4."""
    return KID(catalogue.KID_EFFICIENTNET_LITE0, _efficientnet(device))


def fid_inception(device: str = "cpu") -> FID:
    """FID proper, on clean-fid's Inception features."""
    return FID(catalogue.FID_INCEPTION, inception.shared(device))


def kid_inception(device: str = "cpu") -> KID:
    """KID proper, on clean-fid's Inception features."""
    return KID(catalogue.KID_INCEPTION, inception.shared(device))


def _efficientnet(device: str) -> Extractor:
    network = efficientnet.shared(device)
    return lambda images: network.block_means(images, FEATURE_BLOCK).numpy().astype(np.float64) * FEATURE_SCALE


def _check(reference: np.ndarray, received: np.ndarray) -> None:
    if reference.ndim != 2 or received.ndim != 2 or reference.shape[1] != received.shape[1]:
        raise ValueError(f"features {list(reference.shape)} and {list(received.shape)}: two [N,D] of the same D needed")
    if min(len(reference), len(received)) < 2:
        raise ValueError("at least two patches on each side are needed: one has no covariance")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """clean-fid prints about near-singular products, and SciPy warns of the argument that clean-fid passes."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
