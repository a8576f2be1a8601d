"""FID and KID: clean-fid's statistics code on features of patches, silent and deterministic.

Both are biased or noisy with few patches, and neither compares across patch sizes, numbers of patches or networks.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.packages import EFFICIENTNET_LITE0 as LITE0_PACKAGES
from jscgc.metrics.packages import EFFICIENTNET_LITE2 as LITE2_PACKAGES
from jscgc.metrics.packages import TORCHVISION
from jscgc.metrics.weights import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, INCEPTION

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float64
    from torch import Tensor

    from jscgc.metrics.base import Images

FEATURE_BLOCK = {EFFICIENTNET_LITE0.key: 4, EFFICIENTNET_LITE2.key: 6}
"""Block whose spatial means stand in for Inception's pooled features: 40 numbers (Lite2: 48) at 1/8 of the resolution.

Few numbers because there are few patches. Measured with Lite0 on 384 64-pixel patches of five photographs: two random halves are
27 apart (unscaled) and the whole from its JPEG 80 by 26; with the 112 numbers of block 10, 148 and 68.
"""
FEATURE_SCALE = 1 / 8
"""Brings the features (root mean square 4 on photographs) to the size of Inception's, for which KID's kernel is made:
its constant then counts, and a few patches of high contrast do not decide the value."""

ONE_SUBSET = 4000
"""Most patches whose kernel matrices (a gigabyte here) are computed at once."""

_LITE = "network: Tan & Le, EfficientNet, ICML 2019 (Lite)"

FID = MetricInfo(
    name="fid_inception",
    label="FID",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation="Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017; clean-fid: Parmar et al., CVPR 2022",
    scope="set",
    network=INCEPTION.key,
    axis="realism",
    judge=True,
)
KID = MetricInfo(
    name="kid_inception",
    label="KID",
    direction="lower",
    minimum=None,
    maximum=None,
    citation="Binkowski et al., Demystifying MMD GANs, ICLR 2018; clean-fid: Parmar et al., CVPR 2022",
    scope="set",
    network=INCEPTION.key,
    axis="realism",
    judge=True,
)
FID_LITE0 = replace(
    FID,
    name="fid_efficientnet_lite0",
    label="Fréchet distance (EfficientNet-Lite0)",
    citation=f"stand-in, after {FID.citation}; {_LITE}",
    network=EFFICIENTNET_LITE0.key,
    judge=False,
    stand_in=True,
)
KID_LITE0 = replace(
    KID,
    name="kid_efficientnet_lite0",
    label="kernel distance (EfficientNet-Lite0)",
    citation=f"stand-in, after {KID.citation}; {_LITE}",
    network=EFFICIENTNET_LITE0.key,
    judge=False,
    stand_in=True,
)
FID_LITE2 = replace(
    FID_LITE0,
    name="fid_efficientnet_lite2",
    label="Fréchet distance (EfficientNet-Lite2)",
    network=EFFICIENTNET_LITE2.key,
    judge=True,
)
KID_LITE2 = replace(
    KID_LITE0,
    name="kid_efficientnet_lite2",
    label="kernel distance (EfficientNet-Lite2)",
    network=EFFICIENTNET_LITE2.key,
    judge=True,
)


class SetDistance:
    """A distance of two sets of patches in the feature space of a network."""

    def __init__(
        self,
        info: MetricInfo,
        statistic: Callable[[np.ndarray, np.ndarray], float],
        network: Callable[[str], Callable[[Tensor], np.ndarray]],
        device: str = "cpu",
    ) -> None:
        """`network`: given the device, what turns float32 [N,3,s,s] in [0,1] into float64 [N,D]."""
        self.info = info
        self._statistic = statistic
        self._extract = network(device)

    def features(self, images: Images) -> Float64[np.ndarray, "n d"]:
        """Features of patches; [N,3,s,s] in [0,1] -> [N,D]."""
        return self._extract(images)

    def distance(self, reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
        """See `frechet_distance`, lower is better, from 0; or `kernel_distance`, which may fall below 0."""
        return self._statistic(reference, received)


def frechet_distance(reference: Float64[np.ndarray, "n d"], received: Float64[np.ndarray, "m d"]) -> float:
    """Fréchet distance of the Gaussians fitted to two sets, |mu1-mu2|^2 + Tr(S1 + S2 - 2 sqrt(S1 S2)).

    By clean-fid. Where a set has no more than D members its covariance is singular and clean-fid's matrix square root
    loses digits or fails (imaginary component); there Tr sqrt(S1 S2) is the sum of the singular values of X Y^T, X and
    Y being the centred sets over sqrt(n-1): the same number, exact at any rank. Source: Heusel et al., NeurIPS 2017.
    """
    import numpy as np
    from cleanfid import fid as cleanfid

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
    import numpy as np
    from cleanfid import fid as cleanfid

    _check(reference, received)
    state = np.random.get_state()
    np.random.seed(0)
    try:
        whole = max(len(reference), len(received)) <= ONE_SUBSET
        subsets, size = (1, ONE_SUBSET) if whole else (100, 1000)
        return float(cleanfid.kernel_distance(reference, received, num_subsets=subsets, max_subset_size=size))
    finally:
        np.random.set_state(state)


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


def _lite(key: str, device: str) -> Callable[[Tensor], np.ndarray]:
    """Scaled means of the network's FEATURE_BLOCK."""
    import numpy as np

    from jscgc.metrics.networks.efficientnet import shared

    network, block = shared(key, device), FEATURE_BLOCK[key]
    return lambda images: network.block_means(images, block).numpy().astype(np.float64) * FEATURE_SCALE


def _inception(device: str) -> Callable[[Tensor], np.ndarray]:
    """clean-fid's features."""
    from jscgc.metrics.networks.inception import shared

    return shared(device)


_CLEAN_FID = (("cleanfid", "clean-fid==0.1.35"), *TORCHVISION)
_LITE0 = (LITE0_PACKAGES + _CLEAN_FID, (EFFICIENTNET_LITE0,))
_LITE2 = (LITE2_PACKAGES + _CLEAN_FID, (EFFICIENTNET_LITE2,))
_of_lite0, _of_lite2 = (partial(_lite, key) for key in FEATURE_BLOCK)
METRICS = (
    Metric(FID_LITE2, partial(SetDistance, FID_LITE2, frechet_distance, _of_lite2), *_LITE2, order=125),
    Metric(KID_LITE2, partial(SetDistance, KID_LITE2, kernel_distance, _of_lite2), *_LITE2, order=130),
    Metric(FID_LITE0, partial(SetDistance, FID_LITE0, frechet_distance, _of_lite0), *_LITE0, order=155),
    Metric(KID_LITE0, partial(SetDistance, KID_LITE0, kernel_distance, _of_lite0), *_LITE0, order=160),
    Metric(FID, partial(SetDistance, FID, frechet_distance, _inception), _CLEAN_FID, (INCEPTION,), 165),
    Metric(KID, partial(SetDistance, KID, kernel_distance, _inception), _CLEAN_FID, (INCEPTION,), 170),
)
