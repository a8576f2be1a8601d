"""The system made of a latent space and what a method adds: latents -> symbols, and received symbols -> latents."""

from __future__ import annotations

import torch
from torch import Tensor

from jscgc.channel.noise import check_snr
from jscgc.channel.receiver import Received
from jscgc.flow.information import Information
from jscgc.latent.autoencoder import LatentSpace
from jscgc.precision import Precision, computing
from jscgc.systems.base import Decoded, LatentCodec, Sampling
from jscgc.systems.transmit import check_photos, check_rate


class LatentSystem:
    """The System made of a latent space and a LatentCodec.

    Args:
        precision: that VAE and networks compute in; photos and symbols are of single precision all the same.
    """

    def __init__(
        self,
        name: str,
        space: LatentSpace,
        codec: LatentCodec,
        rates: tuple[int, ...],
        precision: Precision = "float32",
    ) -> None:
        self.name, self.space, self.codec, self.rates, self.precision = name, space, codec, rates, precision
        self.generative, self.multiple, self.own_steps = codec.generative, space.multiple, codec.own_steps

    def encode(self, photos: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """As `System.encode`.

        Raises:
            ValueError: not a batch of photos, a rate that the model does not send, not one finite SNR per image.
        """
        check_photos(photos, "B3HW")
        check_rate(self, rate)
        check_snr(snr_db, len(photos))
        with computing(self.precision, photos.device):
            return self.codec.symbols(self.space.encode(photos), snr_db, rate)

    def decode(
        self, received: Received, height: int, width: int, sampling: Sampling, conditioned: bool = True
    ) -> Decoded:
        with computing(self.precision, received.estimate.device):
            samples = self.codec.restore(received, sampling, conditioned)
            return Decoded(self.space.decode(samples.x0, height, width).float(), samples.nfe)

    def information(
        self, photos: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> Information | None:
        with computing(self.precision, photos.device):
            return self.codec.information(self.space.encode(photos), received, wrong, points, rng)
