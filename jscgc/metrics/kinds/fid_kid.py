"""FID and KID: clean-fid's statistics on features of patches (see `distances`), silent and deterministic.

Both are biased or noisy with few patches, and neither compares across patch sizes, numbers of patches or networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.packages import EFFICIENTNET_LITE0 as LITE0_PACKAGES
from jscgc.metrics.packages import EFFICIENTNET_LITE2 as LITE2_PACKAGES
from jscgc.metrics.packages import TORCHVISION
from jscgc.metrics.weights import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, INCEPTION

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from jscgc.metrics.base import Features, Images
    from jscgc.metrics.distances import Against

FEATURE_BLOCK = {EFFICIENTNET_LITE0.key: 4, EFFICIENTNET_LITE2.key: 6}
"""Block whose spatial means stand in for Inception's pooled features: 40 numbers (Lite2: 48) at 1/8 of the resolution.

Few numbers because there are few patches. Measured with Lite0 on 384 64-pixel patches of five photographs: two random halves are
27 apart (unscaled) and the whole from its JPEG 80 by 26; with the 112 numbers of block 10, 148 and 68.
"""
FEATURE_SCALE = 1 / 8
"""Brings the features (root mean square 4 on photographs) to the size of Inception's, for which KID's kernel is made:
its constant then counts, and a few patches of high contrast do not decide the value."""

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
        statistic: Literal["Frechet", "Kernel"],
        network: Callable[[str], Callable[[Tensor], np.ndarray]],
        device: str = "cpu",
    ) -> None:
        """`statistic`: of `distances`. `network`: given the device, what turns float32 [N,3,s,s] in [0,1] into float64 [N,D]."""
        self.info = info
        self._statistic = statistic
        self._extract = network(device)

    def features(self, images: Images) -> Features:
        """Features of patches; [N,3,s,s] in [0,1] -> [N,D]."""
        return self._extract(images)

    def distance(self, reference: Features, received: Features) -> float:
        """Lower is better; from 0 the Fréchet distance, the kernel distance may fall below."""
        return self.against([reference])([received]).whole

    def against(self, reference: Sequence[Features]) -> Against:
        """As `Jackknifed.against`."""
        from jscgc.metrics import distances

        return distances.Frechet(reference) if self._statistic == "Frechet" else distances.Kernel(reference)


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
_LITE0 = (LITE0_PACKAGES, (EFFICIENTNET_LITE0,))
_LITE2 = (LITE2_PACKAGES, (EFFICIENTNET_LITE2,))
_of_lite0, _of_lite2 = (partial(_lite, key) for key in FEATURE_BLOCK)
METRICS = (
    Metric(FID_LITE2, partial(SetDistance, FID_LITE2, "Frechet", _of_lite2), *_LITE2, order=125),
    Metric(KID_LITE2, partial(SetDistance, KID_LITE2, "Kernel", _of_lite2), *_LITE2, order=130),
    Metric(FID_LITE0, partial(SetDistance, FID_LITE0, "Frechet", _of_lite0), *_LITE0, order=155),
    Metric(KID_LITE0, partial(SetDistance, KID_LITE0, "Kernel", _of_lite0), *_LITE0, order=160),
    Metric(FID, partial(SetDistance, FID, "Frechet", _inception), _CLEAN_FID, (INCEPTION,), 165),
    Metric(KID, partial(SetDistance, KID, "Kernel", _inception), _CLEAN_FID, (INCEPTION,), 170),
)
