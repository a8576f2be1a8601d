"""The system made of a latent space and what a method adds: latents -> symbols, and received symbols -> latents."""

from __future__ import annotations

import torch
from torch import Tensor

from jscgc.channel.noise import check_snr
from jscgc.channel.receiver import Received
from jscgc.flow.information import Information
from jscgc.latent.autoencoder import LatentSpace
from jscgc.systems.base import Decoded, LatentCodec, Sampling
from jscgc.systems.transmit import check_photos, check_rate


class LatentSystem:
    """The System made of a latent space and a LatentCodec."""

    def __init__(self, name: str, space: LatentSpace, codec: LatentCodec, rates: tuple[int, ...]) -> None:
        self.name, self.space, self.codec, self.rates = name, space, codec, rates
        self.generative, self.multiple, self.own_steps = codec.generative, space.multiple, codec.own_steps

    def encode(self, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """As `System.encode`.

        Raises:
            ValueError: not a batch of photos, a rate that the model does not send, not one finite SNR per image.
        """
        check_photos(photos, "B3HW")
        check_rate(self, rate)
        check_snr(snr_db, len(photos))
        return self.codec.symbols(self.space.encode(photos), snr_db, rate)

    def decode(
        self, received: Received, height: int, width: int, sampling: Sampling, conditioned: bool = True
    ) -> Decoded:
        samples = self.codec.restore(received, sampling, conditioned)
        return Decoded(self.space.decode(samples.x0, height, width), samples.nfe)

    def information(
        self, photos: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information | None:
        return self.codec.information(self.space.encode(photos), received, wrong, points, rng)
