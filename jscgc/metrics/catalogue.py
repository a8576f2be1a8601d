"""Every metric's declaration, in one place: this is the table that `jscgc info` prints.

Importing it costs no torch. A new metric is one entry here and one class in its own module.
"""

from __future__ import annotations

from jscgc.metrics.base import MetricInfo
from jscgc.metrics.weights import ALEXNET, EFFICIENTNET_LITE0, INCEPTION

_LPIPS = "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018"
_FID = "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017; clean-fid: Parmar et al., CVPR 2022"
_KID = "Binkowski et al., Demystifying MMD GANs, ICLR 2018; clean-fid: Parmar et al., CVPR 2022"
_LITE = "network: Tan & Le, EfficientNet, ICML 2019 (Lite0)"

PSNR = MetricInfo(
    name="psnr",
    label="PSNR (dB)",
    direction="higher",
    minimum=0.0,
    maximum=100.0,
    citation="Wang & Bovik, Mean Squared Error: Love It or Leave It?, IEEE SPM 2009",
    weights=None,
    scope="pair",
)
MS_SSIM = MetricInfo(
    name="ms_ssim",
    label="MS-SSIM",
    direction="higher",
    minimum=0.0,
    maximum=1.0,
    citation="Wang, Simoncelli & Bovik, Multiscale Structural Similarity, Asilomar 2003",
    weights=None,
    scope="pair",
)
LPIPS = MetricInfo(
    name="lpips",
    label="LPIPS (alex)",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation=_LPIPS,
    weights=ALEXNET.name,
    scope="pair",
)
FEATURE_DISTANCE_EFFICIENTNET_LITE0 = MetricInfo(
    name="feature_distance_efficientnet_lite0",
    label="feature distance (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=16.0,
    citation=f"stand-in, after {_LPIPS}, without learned heads; {_LITE}",
    weights=EFFICIENTNET_LITE0.name,
    scope="pair",
)
SEMANTIC_COSINE_EFFICIENTNET_LITE0 = MetricInfo(
    name="semantic_cosine_efficientnet_lite0",
    label="semantic cosine (EfficientNet-Lite0)",
    direction="higher",
    minimum=0.0,
    maximum=1.0,
    citation=f"stand-in for the CLIP score (Hessel et al., CLIPScore, EMNLP 2021) and the DINO score; {_LITE}",
    weights=EFFICIENTNET_LITE0.name,
    scope="pair",
)
CLASS_CHANGE_EFFICIENTNET_LITE0 = MetricInfo(
    name="class_change_efficientnet_lite0",
    label="share of changed classes (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation=f"one minus top-1 agreement of the ImageNet prediction, per image 0 or 1; {_LITE}",
    weights=EFFICIENTNET_LITE0.name,
    scope="pair",
)
FID_EFFICIENTNET_LITE0 = MetricInfo(
    name="fid_efficientnet_lite0",
    label="Fréchet distance (EfficientNet-Lite0)",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation=f"stand-in, after {_FID}; {_LITE}",
    weights=EFFICIENTNET_LITE0.name,
    scope="set",
)
KID_EFFICIENTNET_LITE0 = MetricInfo(
    name="kid_efficientnet_lite0",
    label="kernel distance (EfficientNet-Lite0)",
    direction="lower",
    minimum=None,
    maximum=None,
    citation=f"stand-in, after {_KID}; {_LITE}",
    weights=EFFICIENTNET_LITE0.name,
    scope="set",
)
FID_INCEPTION = MetricInfo(
    name="fid_inception",
    label="FID",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation=_FID,
    weights=INCEPTION.name,
    scope="set",
)
KID_INCEPTION = MetricInfo(
    name="kid_inception",
    label="KID",
    direction="lower",
    minimum=None,
    maximum=None,
    citation=_KID,
    weights=INCEPTION.name,
    scope="set",
)
