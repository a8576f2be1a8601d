"""DiffJSCC (two stages): a frozen reconstruction codec, whose output and CSI are the condition of the same generator.

Equal backbone, adapter and training with JSCGC; its encoder was trained for reconstruction and does not learn from the
generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import Received
from jscgc.flow.information import Information
from jscgc.flow.params import ObjectiveParams
from jscgc.flow.samplers import Samples
from jscgc.generator.params import AdapterParams
from jscgc.systems.base import Sampling
from jscgc.systems.links import draw_link
from jscgc.systems.mambajscc import Codec
from jscgc.systems.params import JscgcParams
from jscgc.systems.receiver import GenerativeReceiver, Prior


class DiffJsccNet(nn.Module):
    """Frozen codec and trained receiver between latents [B,C,h,w] and symbols."""

    generative = True
    own_steps = None

    def __init__(self, channels: int, codec: Codec, prior: Prior, adapter: AdapterParams) -> None:
        super().__init__()
        self.codec = codec.requires_grad_(False)
        self.receiver = GenerativeReceiver(prior, channels + 1, channels, adapter)

    @torch.no_grad()
    def condition(self, received: Received) -> Tensor:
        """The codec's latents [B,C,h,w], and the mean reliability of each position's symbols as one
        more plane."""
        latents = self.codec.reconstruct(received)
        # Of all planes that there could be: those that were not sent count as lost.
        reliability = received.reliability.sum(1, keepdim=True) / self.codec.encoder.max_rate
        return torch.cat([latents, F.interpolate(reliability, size=latents.shape[-2:], mode="nearest")], dim=1)

    def loss(
        self, latents: Tensor, link: LinkParams, params: JscgcParams, objective: ObjectiveParams, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Eq. (4) for the receiver alone."""
        drawn = draw_link(link, len(latents), rng, latents.device)
        with torch.no_grad():
            symbols = self.codec.encoder.nested(latents, drawn.snr_db, drawn.rates)
        received = drawn.send(symbols, rng)
        return self.receiver.loss(latents, self.condition(received), received, params, objective, rng)

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter: the frozen codec's."""
        with torch.no_grad():
            return self.codec.symbols(latents, snr_db, rate)

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver: reconstruct, then sample latents given the reconstruction."""
        condition = self.condition(received)
        reconstruction = condition[:, : self.receiver.channels]
        return self.receiver.sample(condition, received, sampling, conditioned, reconstruction)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information:
        """What is measured of I(X; Y_hat) for latents and what was received of them, and of others."""
        right, control = (self.condition(received), received), (self.condition(wrong), wrong)
        return self.receiver.information(latents, right, control, points, rng)
