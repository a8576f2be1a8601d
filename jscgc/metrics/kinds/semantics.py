"""Does the received image still mean the same? Embedded stand-ins on EfficientNet-Lite0 and -Lite2, at their classification size.

All resize the whole image (bicubic, antialiased, aspect kept) to a shorter side of 224 pixels (Lite2: 260), without cropping.
"""

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
    from jscgc.metrics.base import Images, Scores

_LITE = "network: Tan & Le, EfficientNet, ICML 2019 (Lite)"

COSINE_LITE0 = MetricInfo(
    name="semantic_cosine_efficientnet_lite0",
    label="semantic cosine (EfficientNet-Lite0)",
    direction="higher",
    minimum=0.0,
    maximum=1.0,
    citation=f"stand-in for the CLIP score (Hessel et al., CLIPScore, EMNLP 2021) and the DINO score; {_LITE}",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
    axis="semantics",
    stand_in=True,
)
CHANGE_LITE0 = MetricInfo(
    name="class_change_efficientnet_lite0",
    label="share of changed classes (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation=f"one minus top-1 agreement of the ImageNet prediction, per image 0 or 1; {_LITE}",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
    axis="semantics",
    stand_in=True,
)

COSINE_LITE2 = replace(
    COSINE_LITE0,
    name="semantic_cosine_efficientnet_lite2",
    label="semantic cosine (EfficientNet-Lite2)",
    network=EFFICIENTNET_LITE2.key,
    judge=True,
)
CHANGE_LITE2 = replace(
    CHANGE_LITE0,
    name="class_change_efficientnet_lite2",
    label="share of changed classes (EfficientNet-Lite2)",
    network=EFFICIENTNET_LITE2.key,
    judge=True,
)


class SemanticCosine:
    """Cosine of the 1280 pooled features of both images; higher is better, in [0, 1] (no feature is negative)."""

    def __init__(self, info: MetricInfo, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        assert info.network is not None
        self.info = info
        self._network = shared(info.network, device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch.nn.functional as F

        check_pair(reference, received)
        sent, got = self._network.recognise(reference).pooled, self._network.recognise(received).pooled
        return F.cosine_similarity(sent, got, dim=1).clamp(0, 1).cpu()


class ClassChange:
    """1.0 where the likeliest ImageNet class of both images differs, else 0.0; the mean is a share; lower is better."""

    def __init__(self, info: MetricInfo, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        assert info.network is not None
        self.info = info
        self._network = shared(info.network, device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """0.0 or 1.0 for each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        sent, got = self._network.recognise(reference).logits, self._network.recognise(received).logits
        return (sent.argmax(1) != got.argmax(1)).float().cpu()


METRICS = (
    Metric(COSINE_LITE2, partial(SemanticCosine, COSINE_LITE2), LITE2_PACKAGES, (EFFICIENTNET_LITE2,), order=115),
    Metric(CHANGE_LITE2, partial(ClassChange, CHANGE_LITE2), LITE2_PACKAGES, (EFFICIENTNET_LITE2,), order=120),
    Metric(COSINE_LITE0, partial(SemanticCosine, COSINE_LITE0), LITE0_PACKAGES, (EFFICIENTNET_LITE0,), order=145),
    Metric(CHANGE_LITE0, partial(ClassChange, CHANGE_LITE0), LITE0_PACKAGES, (EFFICIENTNET_LITE0,), order=150),
)
