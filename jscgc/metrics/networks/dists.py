"""DISTS's network, on the VGG-16 that LPIPS (vgg) also looks through."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor, nn

from jscgc.metrics.networks import vgg
from jscgc.metrics.weights import DISTS_HEADS

CHANNELS = (3, 64, 128, 256, 512, 512)
"""Of the image itself and of relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
_STABLE = 1e-6
"""c1 and c2 of the paper's equations 8 and 9."""


class DISTSNetwork(nn.Module):
    """1 - sum over channels of alpha l + beta s, images [B,3,H,W] in [0,1] twice -> [B].

    Per channel of the image and of five stages of VGG-16, from spatial means mu, variances and the covariance,

        l = (2 mu_x mu_y + c1) / (mu_x^2 + mu_y^2 + c1)      s = (2 cov_xy + c2) / (var_x + var_y + c2)

    VGG's maxima are replaced by L2 pooling with a 3x3 Hanning window, sqrt(h * x^2). alpha and beta are divided by their
    total. Ours, because both libraries download when they are made; tests hold it to both. Source: Ding, Ma, Wang &
    Simoncelli, Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020, equations 5 to 10.
    """

    mean: Tensor
    std: Tensor
    window: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, features: nn.Sequential, alpha: Tensor, beta: Tensor) -> None:
        """`features`: VGG-16 up to relu5_3. `alpha`, `beta`: float32, one weight per channel of `CHANNELS`, any shape."""
        super().__init__()
        self._features = features
        line = torch.tensor([0.5, 1.0, 0.5])
        self.register_buffer("window", torch.outer(line, line) / 4)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])
        total = alpha.sum() + beta.sum()
        self.register_buffer("alpha", alpha.flatten() / total)
        self.register_buffer("beta", beta.flatten() / total)

    def forward(self, reference: Float32[Tensor, "b 3 h w"], received: Float32[Tensor, "b 3 h w"]) -> Tensor:
        """The distance of each pair."""
        return self.distance(self.stages(reference), self.stages(received))

    def distance(self, reference: Sequence[Tensor], received: Sequence[Tensor]) -> Tensor:
        """The distance of each pair, of what `stages` makes of both sides."""
        means, textures = [], []
        for x, y in zip(reference, received, strict=True):
            mu_x, mu_y = x.mean((2, 3)), y.mean((2, 3))
            var_x, var_y = ((f - m[..., None, None]).square().mean((2, 3)) for f, m in ((x, mu_x), (y, mu_y)))
            covariance = (x * y).mean((2, 3)) - mu_x * mu_y
            means.append((2 * mu_x * mu_y + _STABLE) / (mu_x.square() + mu_y.square() + _STABLE))
            textures.append((2 * covariance + _STABLE) / (var_x + var_y + _STABLE))
        similarity: Tensor = torch.cat(means, 1) @ self.alpha + torch.cat(textures, 1) @ self.beta
        return 1 - similarity

    def stages(self, images: Float32[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
        """The image and the activations before each pooling, and the last."""
        stages = [images]
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        for layer in self._features:
            if isinstance(layer, nn.MaxPool2d):
                stages.append(x)
                x = self._pool(x)
            else:
                # torchvision's ReLU works in place, on activations that nothing else needs
                x = layer(x)
        return *stages, x

    def _pool(self, x: Tensor) -> Tensor:
        window = self.window.expand(x.shape[1], 1, 3, 3)
        return (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def load_dists(device: str) -> DISTSNetwork:
    """The published network, on the tensors of `vgg.shared`."""
    heads = torch.load(DISTS_HEADS.verified(), map_location=device, weights_only=True)
    return DISTSNetwork(vgg.shared(device), heads["alpha"].detach(), heads["beta"].detach())
