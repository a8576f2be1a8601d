"""Does the received image still mean the same? Embedded stand-ins on EfficientNet-Lite0, at its classification size.

Both resize the whole image (bicubic, antialiased, aspect kept) to a shorter side of 224 pixels, without cropping.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo
from jscgc.metrics.efficientnet import shared
from jscgc.metrics.images import Images, Scores, check_pair


class SemanticCosine:
    """Cosine of the 1280 pooled features of both images; higher is better, in [0, 1] (no feature is negative)."""

    info: ClassVar[MetricInfo] = catalogue.SEMANTIC_COSINE_EFFICIENTNET_LITE0

    def __init__(self, device: str = "cpu") -> None:
        self._network = shared(device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        sent, got = self._network.recognise(reference).pooled, self._network.recognise(received).pooled
        return F.cosine_similarity(sent, got, dim=1).clamp(0, 1).cpu()


class ClassChange:
    """1.0 where the likeliest ImageNet class of both images differs, else 0.0; the mean is a share; lower is better."""

    info: ClassVar[MetricInfo] = catalogue.CLASS_CHANGE_EFFICIENTNET_LITE0

    def __init__(self, device: str = "cpu") -> None:
        self._network = shared(device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """0.0 or 1.0 for each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        sent, got = self._network.recognise(reference).logits, self._network.recognise(received).logits
        return (sent.argmax(1) != got.argmax(1)).float().cpu()
