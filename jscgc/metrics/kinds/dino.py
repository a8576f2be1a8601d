"""DINO score of two images."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jscgc.metrics.base import Metric, MetricInfo
from jscgc.metrics.images import middle
from jscgc.metrics.packages import TIMM, TORCHVISION
from jscgc.metrics.weights import DINOV2_VITL14, DINOV2_VITS14, WeightsFile

if TYPE_CHECKING:
    from jaxtyping import Float32
    from PIL import Image
    from torch import Tensor, nn

    from jscgc.metrics.base import Images, Scores

SIDE, RESIZED = 224, 256
PATCH = 14

VITL14 = MetricInfo(
    name="dino_score",
    label="DINO score (DINOv2 ViT-L/14)",
    direction="higher",
    minimum=-1.0,
    maximum=1.0,
    citation="Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024",
    scope="pair",
    network=DINOV2_VITL14.key,
    axis="semantics",
    judge=True,
)
VITS14 = replace(VITL14, name="dino_score_vits14", label="DINO score (DINOv2 ViT-S/14)", network=DINOV2_VITS14.key)


class DinoScore:
    """Cosine of the DINOv2 class tokens (after the last normalisation) of both images; higher is better, in [-1, 1].

    DINOv2's preprocessing: Pillow's bicubic filter to a shorter side of 256 pixels, the central 224x224 of it, ImageNet's
    mean and standard deviation.
    """

    def __init__(
        self,
        info: MetricInfo,
        model: str,
        weights: WeightsFile,
        device: str = "cpu",
        network: nn.Module | None = None,
    ) -> None:
        """`model`: timm's name of the network. `network`: to use instead of the published one."""
        from jscgc.metrics.networks.embedding import Embedder

        self.info = info
        self._embed = Embedder(load_dinov2(model, weights) if network is None else network, preprocess, device)

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        return self._embed.cosine(reference, received).clamp(-1, 1)


def preprocess(picture: Image.Image) -> Float32[Tensor, "3 224 224"]:
    """DINOv2's transform for evaluation (dinov2.data.transforms.make_classification_eval_transform)."""
    from torchvision import transforms

    steps = [
        transforms.Resize(RESIZED, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    prepared: Tensor = transforms.Compose(steps)(middle(picture))
    return prepared


def load_dinov2(model: str, weights: WeightsFile) -> nn.Module:
    """timm's ViT for 224x224 pixels with the weights of the publisher's file; float32 [B,3,224,224] -> [B,D]."""
    import timm
    import torch

    state = torch.load(weights.verified(), map_location="cpu", weights_only=True)
    state.pop("mask_token", None)  # of the training only
    state["pos_embed"] = interpolate(state["pos_embed"], SIDE // PATCH)
    with torch.device("meta"):
        network: nn.Module = timm.create_model(model, pretrained=False, num_classes=0, img_size=SIDE)
    network.load_state_dict(state, assign=True)
    return network


def interpolate(embedding: Float32[Tensor, "1 n d"], side: int) -> Float32[Tensor, "1 m d"]:
    """Position embedding of a class token and a square of patches -> of `side` x `side` patches, as DINOv2 does it.

    Bicubic without antialiasing, with DINOv2's scale of (side + 0.1) / old side; timm and transformers scale otherwise.
    """
    import torch
    import torch.nn.functional as F
    from einops import rearrange

    old = math.isqrt(embedding.shape[1] - 1)
    if old == side:
        return embedding
    grid = rearrange(embedding[:, 1:], "1 (h w) d -> 1 d h w", h=old)
    scale = (side + 0.1) / old
    resized = F.interpolate(grid.float(), scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([embedding[:, :1], rearrange(resized, "1 d h w -> 1 (h w) d").to(embedding.dtype)], 1)


LARGE = partial(DinoScore, VITL14, "vit_large_patch14_dinov2", DINOV2_VITL14)
SMALL = partial(DinoScore, VITS14, "vit_small_patch14_dinov2", DINOV2_VITS14)
METRICS = (
    Metric(VITL14, LARGE, TIMM + TORCHVISION, (DINOV2_VITL14,), order=80),  # the JSCGC paper's
    Metric(VITS14, SMALL, TIMM + TORCHVISION, (DINOV2_VITS14,), order=90),
)
