"""DiffCom (Wang et al. 2024, arXiv 2406.07390; its HiFi form): the unconditional generator, guided by what was received.

No training beyond the reconstruction codec's and the prior's. The codec's reconstruction, noised to t = start, goes down the
probability flow; at every step the posterior mean x0 = x_t - t nu(x_t, t) is encoded and compared with the received signal,
and x_t moves against the gradient of that misfit and of the distance to the reconstruction (diffusion posterior sampling,
Chung et al. 2023). Written for flow matching: x_t = (1 - t) x_0 + t noise; the original is a DDPM's.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from jscgc.channel.receiver import Received
from jscgc.flow.path import interpolate
from jscgc.flow.samplers import Samples
from jscgc.systems.base import Sampling
from jscgc.systems.mambajscc import Codec
from jscgc.systems.receiver import Prior

NOISE_FLOOR = 1e-3
"""Least variance that a received symbol is weighted by: a perfect one would outweigh all others."""


class DiffComNet(nn.Module):
    """Frozen codec and frozen prior between latents [B,C,h,w] and symbols."""

    generative = True

    def __init__(
        self, codec: Codec, prior: Prior, steps: int, start: float, likelihood: float, reconstruction: float
    ) -> None:
        """Arguments as of `methods.diffcom.DiffComParams`."""
        super().__init__()
        self.codec, self.prior = codec.requires_grad_(False), prior.requires_grad_(False)
        self.own_steps, self.start = steps, start
        self.likelihood, self.reconstruction = likelihood, reconstruction

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter: the codec's."""
        return self.codec.symbols(latents, snr_db, rate)

    def misfit(self, latents: Tensor, received: Received) -> Tensor:
        """-2 log p(received | latents) up to a constant, float [B], were the receiver's beliefs right.

        The linear MMSE estimate of a symbol x of reliability rho is rho x + e with E|e|^2 = rho (1 - rho).
        """
        rate = received.estimate.shape[1]
        symbols = self.codec.symbols(latents, received.snr_db, rate)
        rho = received.reliability
        error = (received.estimate - rho * symbols).abs().square()
        misfit: Tensor = (2 * error / (rho * (1 - rho)).clamp_min(NOISE_FLOOR)).flatten(1).sum(1)
        return misfit

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver. Steps and guidance are its own, not those of `sampling`."""
        reconstruction = self.codec.reconstruct(received)
        noise = torch.randn(reconstruction.shape, generator=sampling.rng).to(reconstruction)
        start = self.start if conditioned else 1.0
        x = interpolate(reconstruction, noise, torch.full((len(noise),), start).to(noise))
        times = torch.linspace(start, 0, self.own_steps + 1).tolist()
        for t, following in pairwise(times):
            with torch.enable_grad():
                x = x.detach().requires_grad_(conditioned)
                velocity = self.prior.backbone(x, torch.full((len(x),), t).to(x))
                moved = x.detach() + (following - t) * velocity.detach()
                if conditioned:
                    mean = x - t * velocity
                    moved = moved - self.likelihood * (t - following) * _direction(self.misfit(mean, received), x)
                    distance = (mean - reconstruction).square().flatten(1).sum(1)
                    moved = moved - self.reconstruction * (t - following) * _direction(distance, x)
            x = moved
        return Samples(x.detach(), self.own_steps)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> None:
        """There is no conditional velocity field to estimate it from."""
        return None


def _direction(misfit: Tensor, x: Tensor) -> Tensor:
    """The gradient of sum(misfit) in x, scaled to unit root mean square per image: step lengths then mean the same for every
    SNR, rate and image size."""
    (gradient,) = torch.autograd.grad(misfit.sum(), x, retain_graph=True)
    size = gradient.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)
    return gradient / size.reshape(-1, *[1] * (x.ndim - 1))
