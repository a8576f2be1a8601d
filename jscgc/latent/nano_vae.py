"""The nano VAE: a small convolutional autoencoder that two CPU cores train in minutes.

photo [B,3,H,W] -> pixel-unshuffle 4 -> residual blocks at 1/4 -> residual blocks at 1/8 -> mean, log-variance [B,C,H/8,W/8]
latent [B,C,h,w] -> residual blocks at 1/8 -> residual blocks at 1/4 -> pixel-shuffle 4 -> photo [B,3,8h,8w]

No normalisation layers: a pixel then depends on its neighbourhood only, not on the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))); the last convolution starts at zero, so that a deep stack starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        # In place where nothing has to be kept for a gradient: at full size new memory costs as much as the sum.
        change: Tensor = self.conv2(F.silu(self.conv1(F.silu(x)), inplace=not torch.is_grad_enabled()))
        return change.add_(x)


class NanoVae(nn.Module):
    """A VAE with 8x down-sampling.

    Args:
        channels: latent channels C.
        width: feature channels at 1/4 of the image; twice as many at 1/8.
        depth: residual blocks per resolution, in encoder and decoder each.
    """

    factor = 8

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, width, 3, padding=1),
            *[ResidualBlock(width) for _ in range(depth)],
            nn.Conv2d(width, 2 * width, 2, stride=2),
            *[ResidualBlock(2 * width) for _ in range(depth)],
            nn.Conv2d(2 * width, 2 * channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, 2 * width, 3, padding=1),
            *[ResidualBlock(2 * width) for _ in range(depth)],
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
            *[ResidualBlock(width) for _ in range(depth)],
            nn.Conv2d(width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def part(self, name: str) -> nn.Module:
        """`encoder` or `decoder`."""
        part: nn.Module = getattr(self, name)
        return part

    def posterior(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each [B,C,H/8,W/8], of photos [B,3,H,W] in [0,1]; H and W multiples of 8."""
        mean, logvar = self.encoder(2 * photos - 1).float().chunk(2, dim=1)
        return mean, logvar.clamp(-12, 4)

    def encode(self, photos: Tensor) -> Tensor:
        """Posterior mean [B,C,H/8,W/8] of photos [B,3,H,W] in [0,1]."""
        return self.posterior(photos)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Photos [B,3,8h,8w] of latents [B,C,h,w]; not clamped, so that training sees the overshoot."""
        decoded: Tensor = self.decoder(latents).float()
        return (decoded + 1) / 2

    def loss(
        self,
        photos: Tensor,
        kl_weight: float,
        rng: torch.Generator,
        perceive: Callable[[Tensor, Tensor], Tensor] | None = None,
        perceptual_weight: float = 0.0,
        equivariance: float = 0.0,
        anchor: NanoVae | None = None,
        anchor_weight: float = 1.0,
        added_shrink: float = 0.0,
    ) -> dict[str, Tensor]:
        """Negative evidence bound: L1 + L2 on pixels plus `kl_weight` times the KL to N(0,1), nats per latent value.

        The sampled posterior also teaches the decoder to bear the small errors that a generator leaves.

        Args:
            photos: float [B,3,H,W] in [0,1], sides multiples of 16.
            kl_weight: of the KL.
            rng: of the posterior's sample, on the CPU.
            perceive: (photos, decoded) -> distances [B], differentiable in the second; added `perceptual_weight` times.
            perceptual_weight: see `perceive`.
            equivariance: probability that the whole batch's latents are halved in size before they are decoded, against
                photographs halved in size: latents then scale as images do, which makes them easier to generate
                (Kouzelis et al., EQ-VAE, ICML 2025, with scales only).
            anchor: a VAE for fewer channels, whose latents the first channels shall be: `anchor_weight` times the squared
                difference, over their variance, is added.
            anchor_weight: see `anchor`.
            added_shrink: share of the photos whose further channels are decoded shrunk by a factor uniform in 0..1, as where
                little is known of them: an estimate of least squared error is that much too small. Only with `anchor`.
        """
        mean, logvar = self.posterior(photos)
        noise = torch.randn(mean.shape, generator=rng).to(mean)
        latents = mean + torch.exp(logvar / 2) * noise
        anchored = None
        if anchor is not None:
            with torch.no_grad():
                wanted = anchor.encode(photos)
            anchored = F.mse_loss(mean[:, : anchor.channels], wanted) / wanted.var()
            shrinks, share = torch.rand(2, len(latents), 1, 1, 1, generator=rng)
            keep = torch.where(shrinks < added_shrink, share, 1.0).to(latents)
            latents = torch.cat([latents[:, : anchor.channels], latents[:, anchor.channels :] * keep], dim=1)
        if equivariance and torch.rand((), generator=rng) < equivariance:
            latents, photos = (F.interpolate(x, scale_factor=0.5, mode="area") for x in (latents, photos))
        decoded = self.decode(latents)
        l1 = F.l1_loss(decoded, photos)
        mse = F.mse_loss(decoded, photos)
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        # On the scale [-1,1] (twice ours) plain L1 + L2 are 2 l1 + 4 mse.
        scalars = {
            "loss": 2 * l1 + 4 * mse + kl_weight * kl,
            "l1": l1,
            "psnr_db": -10 * torch.log10(mse.detach()),
            "kl": kl,
        }
        if anchored is not None:
            scalars |= {"loss": scalars["loss"] + anchor_weight * anchored, "anchored": anchored}
        if perceive is not None and perceptual_weight:
            perceived = perceive(photos, decoded).mean()
            scalars |= {"loss": scalars["loss"] + perceptual_weight * perceived, "perceived": perceived}
        return scalars
