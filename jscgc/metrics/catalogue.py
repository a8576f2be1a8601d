"""Every metric's declaration, in one place: this is the table that `jscgc info` prints.

Importing it costs no torch. A new metric is one entry here and one class in its own module.
"""

from __future__ import annotations

from jscgc.metrics.base import MetricInfo
from jscgc.metrics.weights import (
    ALEXNET,
    CLIP_CONVNEXT_LARGE,
    DINO_VITB16,
    DINOV2_VITL14,
    DINOV2_VITS14,
    DISTS_HEADS,
    DREAMSIM_ENSEMBLE,
    EFFICIENTNET_LITE0,
    INCEPTION,
    VGG16,
)

_LPIPS = "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018"
_FID = "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017; clean-fid: Parmar et al., CVPR 2022"
_KID = "Binkowski et al., Demystifying MMD GANs, ICLR 2018; clean-fid: Parmar et al., CVPR 2022"
_DINO = "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024"
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
FLIP = MetricInfo(
    name="flip",
    label="FLIP",
    direction="lower",
    minimum=0.0,
    maximum=1.0,
    citation="Andersson et al., FLIP: A Difference Evaluator for Alternating Images, HPG 2020",
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
LPIPS_VGG = MetricInfo(
    name="lpips_vgg",
    label="LPIPS (vgg)",
    direction="lower",
    minimum=0.0,
    maximum=None,
    citation=_LPIPS,
    weights=VGG16.name,
    scope="pair",
)
DISTS = MetricInfo(
    name="dists",
    label="DISTS",
    direction="lower",
    minimum=0.0,
    maximum=2.0,
    citation="Ding et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020",
    weights=f"{VGG16.name}; {DISTS_HEADS.name}",
    scope="pair",
)
CLIP_SCORE = MetricInfo(
    name="clip_score",
    label="CLIP score (ConvNeXt-L)",
    direction="higher",
    minimum=-1.0,
    maximum=1.0,
    citation="Radford et al., CLIP, ICML 2021; Ilharco et al., OpenCLIP, 2021; between images, as Hessel et al., EMNLP 2021",
    weights=CLIP_CONVNEXT_LARGE.name,
    scope="pair",
)
DINO_SCORE = MetricInfo(
    name="dino_score",
    label="DINO score (DINOv2 ViT-L/14)",
    direction="higher",
    minimum=-1.0,
    maximum=1.0,
    citation=_DINO,
    weights=DINOV2_VITL14.name,
    scope="pair",
)
DINO_SCORE_VITS14 = MetricInfo(
    name="dino_score_vits14",
    label="DINO score (DINOv2 ViT-S/14)",
    direction="higher",
    minimum=-1.0,
    maximum=1.0,
    citation=_DINO,
    weights=DINOV2_VITS14.name,
    scope="pair",
)
DREAMSIM = MetricInfo(
    name="dreamsim",
    label="DreamSim",
    direction="lower",
    minimum=0.0,
    maximum=2.0,
    citation="Fu et al., DreamSim: Learning New Dimensions of Human Visual Similarity, NeurIPS 2023",
    weights=f"{DREAMSIM_ENSEMBLE.name}; {DINO_VITB16.name}",
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
