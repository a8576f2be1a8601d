"""torchvision's VGG-16 up to relu5_3, the trunk of LPIPS (vgg) and DISTS: loaded once, its tensors shared by both."""

from __future__ import annotations

from functools import cache

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import vgg16

from jscgc.metrics.weights import VGG16

LAYERS = 30
"""Layers of `vgg16().features` up to relu5_3."""


def trunk() -> nn.Sequential:
    """The layers without weights (on the meta device)."""
    with torch.device("meta"):
        layers = vgg16(weights=None, init_weights=False).features[:LAYERS]
    if not isinstance(layers, nn.Sequential):
        raise TypeError("torchvision's VGG-16 is no sequence of layers")
    return layers.requires_grad_(False).eval()


@cache
def shared(device: str) -> nn.Sequential:
    """The one trunk of this process on a device, with its published weights."""
    network = trunk()
    network.load_state_dict(load_file(VGG16.verified(), device=device), assign=True)
    return network.requires_grad_(False)
