"""Deep-feature distance on EfficientNet-Lite0: an embedded stand-in for LPIPS, and not LPIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import check_pair
from jscgc.metrics.packages import EFFICIENTNET
from jscgc.metrics.weights import EFFICIENTNET_LITE0

if TYPE_CHECKING:
    from torch import Tensor

    from jscgc.metrics.base import Images, Scores

INFO = MetricInfo(
    name="feature_distance_efficientnet_lite0",
    label="feature distance (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=16.0,
    citation="stand-in, after Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, "
    "without learned heads; network: Tan & Le, EfficientNet, ICML 2019 (Lite0)",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
)


class FeatureDistance:
    """Sum over blocks 2, 4, 10, 15 of the mean over positions of |f/|f| - g/|g||^2; lower is better, in [0, 16].

    f and g are the channel vectors of both images at a position: LPIPS's form (Zhang et al., CVPR 2018, eq. 1) with all
    weights 1 in place of its learned heads. At native resolution; images with a side below 64 pixels are enlarged.
    """

    info: ClassVar[MetricInfo] = INFO

    def __init__(self, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        self._network = shared(device)

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
        (F.normalize(f, dim=1, eps=1e-10) - F.normalize(g, dim=1, eps=1e-10)).square().sum(1).mean(dim=(1, 2))
        for f, g in zip(first, second, strict=True)
    ]
    return torch.stack(distances).sum(0)


METRIC = Metric(INFO, FeatureDistance, EFFICIENTNET, (EFFICIENTNET_LITE0,), order=110)
