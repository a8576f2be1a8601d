"""Deep-feature distance on EfficientNet-Lite0 and -Lite2: embedded stand-ins for LPIPS, and not LPIPS."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import check_pair
from jscgc.metrics.packages import EFFICIENTNET_LITE0 as LITE0_PACKAGES
from jscgc.metrics.packages import EFFICIENTNET_LITE2 as LITE2_PACKAGES
from jscgc.metrics.weights import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores

LITE0 = MetricInfo(
    name="feature_distance_efficientnet_lite0",
    label="feature distance (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=16.0,
    citation="stand-in, after Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, "
    "without learned heads; network: Tan & Le, EfficientNet, ICML 2019 (Lite)",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
    axis="perception",
    stand_in=True,
)
LITE2 = replace(
    LITE0,
    name="feature_distance_efficientnet_lite2",
    label="feature distance (EfficientNet-Lite2)",
    network=EFFICIENTNET_LITE2.key,
    judge=True,
)


class FeatureDistance:
    """Sum over the last blocks of 1/4 to 1/32 of the mean over positions of |f/|f| - g/|g||^2; lower is better, in [0, 16].

    f and g are the channel vectors of both images at a position: LPIPS's form (Zhang et al., CVPR 2018, eq. 1) with all
    weights 1 in place of its learned heads. At native resolution; images with a side below 64 pixels are enlarged.
    """

    def __init__(self, info: MetricInfo, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        assert info.network is not None
        self.info = info
        self._network = shared(info.network, device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Distance of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        return _distance(self._network.blocks(reference), self._network.blocks(received)).cpu()

    def loss(self, reference: Images, received: Images) -> Tensor:
        """As `Trainable.loss`."""
        import torch

        check_pair(reference, received)
        with torch.no_grad():
            wanted = self._network.blocks_of(reference)
        return _distance(wanted, self._network.blocks_of(received))


def _distance(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    import torch
    import torch.nn.functional as F

    distances = [
        (F.normalize(f.float(), dim=1, eps=1e-10) - F.normalize(g.float(), dim=1, eps=1e-10))
        .square()
        .sum(1)
        .mean(dim=(1, 2))
        for f, g in zip(first, second, strict=True)
    ]
    return torch.stack(distances).sum(0)


METRICS = (
    Metric(LITE2, partial(FeatureDistance, LITE2), LITE2_PACKAGES, (EFFICIENTNET_LITE2,), order=110),
    Metric(LITE0, partial(FeatureDistance, LITE0), LITE0_PACKAGES, (EFFICIENTNET_LITE0,), order=140),
)
