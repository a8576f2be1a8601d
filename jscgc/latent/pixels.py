"""The latent space that is none: codecs on pixels see the photo itself, scaled to [-1,1]."""

from __future__ import annotations

from torch import Tensor, nn

from jscgc.latent.autoencoder import LatentStatistics

PIXELS = LatentStatistics(mean=[0.5] * 3, std=[0.5] * 3, factor=1, vae_sha256="")
"""What stands beside a model on pixels in place of a VAE's latents."""


class PixelVae(nn.Module):
    """An autoencoder that does nothing; photos [B,3,H,W] in [0,1] are their own latents."""

    channels, factor = PIXELS.channels, PIXELS.factor

    def encode(self, photos: Tensor) -> Tensor:
        return photos

    def decode(self, latents: Tensor) -> Tensor:
        return latents
