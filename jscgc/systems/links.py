"""The links of training: a channel drawn anew at every step, SNR and rate for every image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jscgc.channel.channels import get_channel
from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import Received, equalise
from jscgc.encoder.symbols import sent
from jscgc.flow.params import SampleParams
from jscgc.systems.base import Sampling
from jscgc.systems.latent import LatentSystem


@dataclass(frozen=True)
class DrawnLink:
    """Conditions of a training batch: one channel for all; one average SNR [B] and rate [B] per image."""

    channel: str
    snr_db: Tensor
    rates: Tensor

    def attainable(self, dimensions: float) -> Tensor:
        """Mean squared error [B] of a white Gaussian source of unit variance at capacity: D(R) = 2^(-2R), R bits a dimension.

        Args:
            dimensions: real dimensions of the source per complex symbol position.
        """
        bits = self.rates * torch.log2(1 + 10 ** (self.snr_db / 10))
        return torch.exp2(-2 * bits / dimensions)

    def send(self, symbols: Tensor, rng: torch.Generator) -> Received:
        """Channel and equaliser for nested symbols [B,max_rate,h,w]; differentiable in them (paper, eq. 6).

        Planes that an image does not send arrive as nothing: estimate and reliability 0, as a receiver of a prefix reads them.
        """
        received = equalise(get_channel(self.channel)(symbols, self.snr_db, rng))
        mask = sent(self.rates, symbols.shape[1])
        return replace(received, estimate=received.estimate * mask, reliability=received.reliability * mask)


def draw_link(params: LinkParams, batch: int, rng: torch.Generator, device: torch.device) -> DrawnLink:
    """Channel and rates uniform over their lists, SNR uniform in its range."""
    channel = int(torch.randint(len(params.channels), (), generator=rng))
    rates = torch.tensor(params.rates)[torch.randint(len(params.rates), (batch,), generator=rng)]
    low, high = params.snr_db
    snr_db = low + (high - low) * torch.rand(batch, generator=rng)
    return DrawnLink(params.channels[channel], snr_db.to(device), rates.to(device))


@torch.no_grad()
def arrived(
    system: LatentSystem, photos: Tensor, params: LinkParams, sample: SampleParams, rng: torch.Generator
) -> Tensor:
    """The VAE's latents [B,C,h,w] as the receiver has them, of photos [B,3,H,W] over a drawn link of one rate.

    Raises:
        ValueError: the system was not trained for that rate.
    """
    link = draw_link(params, len(photos), rng, photos.device)
    symbols = system.encode(photos, link.snr_db, int(link.rates[0]))
    received = equalise(get_channel(link.channel)(symbols, link.snr_db, rng))
    return system.space.own(system.codec.restore(received, Sampling(sample, rng)).x0)
