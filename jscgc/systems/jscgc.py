"""JSCGC (arXiv 2606.12858): the received symbols themselves are the condition, and encoder, adapter and (if set) generator
learn together from the one loss (4), its gradient running generator -> channel -> encoder (eq. 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import Received, features
from jscgc.encoder.encoder import PLANES_GAIN, MambaDecoder, MambaEncoder, latent_to_grid
from jscgc.encoder.params import EncoderParams
from jscgc.flow.information import Information
from jscgc.flow.params import ObjectiveParams
from jscgc.flow.samplers import Samples
from jscgc.generator.params import AdapterParams
from jscgc.systems.base import Sampling
from jscgc.systems.links import draw_link
from jscgc.systems.params import JscgcParams
from jscgc.systems.receiver import GenerativeReceiver, Prior


class JscgcNet(nn.Module):
    """Encoder and receiver between latents [B,C,h,w] and symbols."""

    generative = True
    own_steps = None

    def __init__(
        self, channels: int, encoder: EncoderParams, prior: Prior, adapter: AdapterParams, max_rate: int, factor: int
    ) -> None:
        super().__init__()
        down, spread = latent_to_grid(factor)
        self.encoder = MambaEncoder(channels, encoder, max_rate, factor)
        self.refiner = MambaDecoder(channels, encoder, max_rate, factor) if adapter.refiner_decoder else None
        arriving = 3 * max_rate * spread**2
        # Beside the decoder as wide as what that gives; alone wide enough to lose nothing.
        view = channels if self.refiner is not None else -(-arriving // down**2)
        planes = nn.Conv2d(arriving, view * down**2, 1)
        if self.refiner is None:
            with torch.no_grad():
                planes.weight.mul_(PLANES_GAIN)  # for the decoder's reason: most planes are empty
        self.own = nn.Sequential(nn.PixelUnshuffle(spread), planes, nn.PixelShuffle(down))
        self.condition_channels = view + (channels if self.refiner is not None else 0)
        self.receiver = GenerativeReceiver(prior, self.condition_channels, channels, adapter)

    def condition(self, received: Received) -> Tensor:
        """What the adapter reads, on the latent grid: refined features [B,C,h,w], and a linear view [B,C,h,w] of the symbols.

        The first part of the paper's Refiner is the mirrored Mamba decoder, which can start from the reconstruction
        codec's as the encoder does (our choice: the paper gives neither). Nothing asks it to reconstruct: it is trained by
        the generator's loss alone. Without it (`refiner_decoder: false`) there is only the view, with channels of its own.
        """
        planes = features(received, self.encoder.max_rate)
        views = [] if self.refiner is None else [self.refiner(planes, received.snr_db)]
        return torch.cat([*views, self.own(planes)], dim=1).float()  # in it the sampler draws and goes on

    def loss(
        self, latents: Tensor, link: LinkParams, params: JscgcParams, objective: ObjectiveParams, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Eq. (4) through encoder and channel."""
        drawn = draw_link(link, len(latents), rng, latents.device)
        received = drawn.send(self.encoder.nested(latents, drawn.snr_db, drawn.rates), rng)
        return self.receiver.loss(latents, self.condition(received), received, params, objective, rng)

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter."""
        symbols: Tensor = self.encoder(latents, snr_db, rate)
        return symbols

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver: sample latents given the received symbols."""
        return self.receiver.sample(self.condition(received), received, sampling, conditioned)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information:
        """What is measured of I(X; Y_hat) for latents and what was received of them, and of others."""
        right, control = (self.condition(received), received), (self.condition(wrong), wrong)
        return self.receiver.information(latents, right, control, points, rng)
