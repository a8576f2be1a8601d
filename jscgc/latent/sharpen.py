"""A VAE's decoder made sharper: trained on against a discriminator of patches, with the encoder held.

An autoencoder that is trained for the error of pixels decodes what it does not know as its mean, which is blur. An adversarial
loss of patches (Esser et al., VQGAN, CVPR 2021) asks for detail that looks like a photograph's instead. Because the encoder does
not move, latents stay what they were, and so does every prior, codec and receiver that was trained on them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from jscgc.latent.nano_vae import NanoVae


class BoundedConv2d(nn.Conv2d):
    """A convolution whose weights, as a matrix of outputs by inputs, are divided by their largest singular value.

    Spectral normalisation (Miyato et al., ICLR 2018) bounds how steep a discriminator is. The value is computed here and not
    carried on from step to step as torch's `spectral_norm` does: all state is in the weights, which checkpoints hold, so that a
    resumed run goes on exactly.
    """

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):  # half precision is too coarse for eigenvectors
            matrix = self.weight.flatten(1)
            with torch.no_grad():  # the derivative of the largest singular value is that of |u^T W| with u held
                u = torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1]
            largest = (u @ matrix).norm()
        convolved: Tensor = self._conv_forward(input, self.weight / largest, self.bias)
        return convolved


class PatchDiscriminator(nn.Module):
    """Photos [B,3,H,W] in [0,1] -> how real each place looks, [B,1,H/4,W/4], by the 28x28 pixels around it.

    It is shown the differences of pixels from their 3x3 means, too: detail is what it is for.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            BoundedConv2d(6, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            BoundedConv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            BoundedConv2d(2 * width, 4 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            BoundedConv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, photos: Tensor) -> Tensor:
        x = 2 * photos - 1
        detail = x - F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        logits: Tensor = self.layers(torch.cat([x, 4 * detail], dim=1)).float()
        return logits


def hinge(discriminator: PatchDiscriminator, photos: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """The decoder's adversarial loss and the discriminator's own, 2 where it can tell nothing.

    The discriminator's weights are constants in the former and what is decoded is one in the latter, so that one step over both
    is a step of each.
    """
    constants = {name: p.detach() for name, p in discriminator.named_parameters()}
    adversarial = -functional_call(discriminator, constants, (decoded,)).mean()
    judged = F.relu(1 - discriminator(photos)).mean() + F.relu(1 + discriminator(decoded.detach())).mean()
    return adversarial, judged


class Sharpening(nn.Module):
    """Decoder and discriminator, which learn in the same steps, each from its own part of one loss.

    Args:
        vae: its decoder is trained in place; its encoder is not.
        width: of the discriminator.
    """

    def __init__(self, vae: NanoVae, width: int) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        self.discriminator = PatchDiscriminator(width)

    def loss(
        self,
        photos: Tensor,
        rng: torch.Generator,
        adversarial_weight: float,
        perceive: Callable[[Tensor, Tensor], Tensor] | None = None,
        perceptual_weight: float = 0.0,
        received: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The decoder's L1 + L2, hinge loss and distance of features, plus the discriminator's hinge loss.

        Args:
            photos: float [B,3,H,W] in [0,1], sides multiples of 8.
            rng: of the posterior's sample, on the CPU.
            adversarial_weight: of the decoder's hinge loss.
            perceive: (photos, decoded) -> distances [B], differentiable in the second; added `perceptual_weight` times.
            received: latents [N,C,H/8,W/8], N <= B, of the first N photos as they arrived somewhere, in place of the VAE's own.

        Returns:
            loss; l1; psnr_db; adversarial: the decoder's hinge loss; discriminator: its own, 2 where it can tell nothing;
            perceived, if there is `perceive`.
        """
        with torch.no_grad():
            parts = [] if received is None else [received]
            if len(rest := photos[sum(map(len, parts)) :]):
                mean, logvar = self.vae.posterior(rest)
                parts.append(mean + torch.exp(logvar / 2) * torch.randn(mean.shape, generator=rng).to(mean))
        decoded = self.vae.decode(torch.cat(parts))
        adversarial, judged = hinge(self.discriminator, photos, decoded)
        l1, mse = F.l1_loss(decoded, photos), F.mse_loss(decoded, photos)
        scalars = {
            "loss": 2 * l1 + 4 * mse + adversarial_weight * adversarial + judged,
            "l1": l1,
            "psnr_db": -10 * torch.log10(mse.detach()),
            "adversarial": adversarial.detach(),
            "discriminator": judged.detach(),
        }
        if perceive is not None and perceptual_weight:
            perceived = perceive(photos, decoded).mean()
            scalars |= {"loss": scalars["loss"] + perceptual_weight * perceived, "perceived": perceived}
        return scalars
