"""DINO score of two images."""

from __future__ import annotations

import math

import timm
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor, nn
from torchvision import transforms

from jscgc.metrics import catalogue
from jscgc.metrics.base import MetricInfo
from jscgc.metrics.embedding import Embedder
from jscgc.metrics.images import Images, Scores, check_pair
from jscgc.metrics.weights import DINOV2_VITL14, DINOV2_VITS14, WeightsFile

SIDE, RESIZED = 224, 256
PATCH = 14

preprocess = transforms.Compose(
    [
        transforms.Resize(RESIZED, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
"""DINOv2's transform for evaluation (dinov2.data.transforms.make_classification_eval_transform)."""


class DinoScore:
    """Cosine of the DINOv2 class tokens (after the last normalisation) of both images; higher is better, in [-1, 1].

    DINOv2's preprocessing: Pillow's bicubic filter to a shorter side of 256 pixels, the central 224x224 of it, ImageNet's
    mean and standard deviation.
    """

    def __init__(self, info: MetricInfo, embedder: Embedder) -> None:
        self.info = info
        self._embed = embedder

    def __call__(self, reference: Images, received: Images) -> Scores:
        """Cosine of each pair; [B,3,H,W] in [0,1] twice -> [B]."""
        check_pair(reference, received)
        return F.cosine_similarity(self._embed(reference), self._embed(received), dim=1).clamp(-1, 1)


def dino_score(device: str = "cpu") -> DinoScore:
    """With ViT-L/14, as in the JSCGC paper."""
    network = load_dinov2("vit_large_patch14_dinov2", DINOV2_VITL14)
    return DinoScore(catalogue.DINO_SCORE, Embedder(network, preprocess, device))


def dino_score_vits14(device: str = "cpu") -> DinoScore:
    """With ViT-S/14."""
    network = load_dinov2("vit_small_patch14_dinov2", DINOV2_VITS14)
    return DinoScore(catalogue.DINO_SCORE_VITS14, Embedder(network, preprocess, device))


def load_dinov2(model: str, weights: WeightsFile) -> nn.Module:
    """timm's ViT for 224x224 pixels with the weights of the publisher's file; float32 [B,3,224,224] -> [B,D]."""
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
    old = math.isqrt(embedding.shape[1] - 1)
    if old == side:
        return embedding
    grid = rearrange(embedding[:, 1:], "1 (h w) d -> 1 d h w", h=old)
    scale = (side + 0.1) / old
    resized = F.interpolate(grid.float(), scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([embedding[:, :1], rearrange(resized, "1 d h w -> 1 (h w) d").to(embedding.dtype)], 1)
