"""Does the received image still mean the same? Embedded stand-ins on EfficientNet-Lite0, at its classification size.

Both resize the whole image (bicubic, antialiased, aspect kept) to a shorter side of 224 pixels, without cropping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import check_pair
from jscgc.metrics.packages import EFFICIENTNET
from jscgc.metrics.weights import EFFICIENTNET_LITE0

if TYPE_CHECKING:
    from jscgc.metrics.base import Images, Scores

_LITE = "network: Tan & Le, EfficientNet, ICML 2019 (Lite0)"

COSINE = MetricInfo(
    name="semantic_cosine_efficientnet_lite0",
    label="semantic cosine (EfficientNet-Lite0)",
    direction="higher",
    minimum=0.0,
    maximum=1.0,
    citation=f"stand-in for the CLIP score (Hessel et al., CLIPScore, EMNLP 2021) and the DINO score; {_LITE}",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
)
CHANGE = MetricInfo(
    name="class_change_efficientnet_lite0",
    label="share of changed classes (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation=f"one minus top-1 agreement of the ImageNet prediction, per image 0 or 1; {_LITE}",
    scope="pair",
    network=EFFICIENTNET_LITE0.key,
)


class SemanticCosine:
    """Cosine of the 1280 pooled features of both images; higher is better, in [0, 1] (no feature is negative)."""

    info: ClassVar[MetricInfo] = COSINE

    def __init__(self, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        self._network = shared(device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        import torch.nn.functional as F

        check_pair(reference, received)
        sent, got = self._network.recognise(reference).pooled, self._network.recognise(received).pooled
        return F.cosine_similarity(sent, got, dim=1).clamp(0, 1).cpu()


class ClassChange:
    """1.0 where the likeliest ImageNet class of both images differs, else 0.0; the mean is a share; lower is better."""

    info: ClassVar[MetricInfo] = CHANGE

    def __init__(self, device: str = "cpu") -> None:
        from jscgc.metrics.networks.efficientnet import shared

        self._network = shared(device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """0.0 or 1.0 for each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        sent, got = self._network.recognise(reference).logits, self._network.recognise(received).logits
        return (sent.argmax(1) != got.argmax(1)).float().cpu()


METRICS = (
    Metric(COSINE, SemanticCosine, EFFICIENTNET, (EFFICIENTNET_LITE0,), order=120),
    Metric(CHANGE, ClassChange, EFFICIENTNET, (EFFICIENTNET_LITE0,), order=130),
)
