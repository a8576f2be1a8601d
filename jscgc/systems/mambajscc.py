"""MambaJSCC on latents (arXiv 2409.16592): the same encoder, a mirrored decoder, trained for least squared error.

`mambajscc_psnr`. It is the reconstruction competitor, the frozen codec of DiffJSCC and the start of JSCGC's encoder. It
works on the same VAE's latents as the generative systems, so that what differs is the receiver and not the VAE.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jscgc.channel.params import LinkParams
from jscgc.channel.receiver import Received, features
from jscgc.encoder.encoder import MambaDecoder, MambaEncoder
from jscgc.encoder.klt import start_linear
from jscgc.encoder.params import EncoderParams
from jscgc.encoder.symbols import SymbolEncoder, leading_planes
from jscgc.flow.samplers import Samples
from jscgc.systems.base import Sampling
from jscgc.systems.links import draw_link

_FLOOR = 0.03
"""Networks of this size leave such an error of unit-variance latents, however good the link."""


class Codec(nn.Module):
    """Encoder and decoder between latents [B,C,h,w] and symbols.

    Args:
        encoder: latents -> symbols.
        decoder: feature planes [B,3 max_rate,h',w'] and average SNR [B] -> latents.
    """

    generative = False
    own_steps = 0

    def __init__(self, encoder: SymbolEncoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @classmethod
    def mamba(cls, channels: int, params: EncoderParams, max_rate: int, factor: int) -> Codec:
        """MambaJSCC's: the Mamba encoder and its mirror."""
        return cls(MambaEncoder(channels, params, max_rate, factor), MambaDecoder(channels, params, max_rate, factor))

    def start(self, latents: Tensor) -> None:
        """Before training: the linear codes start as the Karhunen-Loeve transform of these latents [N,C,h,w], see klt.py."""
        if getattr(self.encoder, "linear", None) is not None:
            start_linear(self.encoder, self.decoder, latents)

    def give(self, encoder: SymbolEncoder, decoder: nn.Module | None) -> None:
        """Start networks like these with their weights; networks for lower rates with those of the planes that they have.

        Args:
            decoder: None where the other system has none.

        Raises:
            ValueError: they are for higher rates.
        """
        planes = self.encoder.max_rate, encoder.max_rate, getattr(encoder, "spread", 1)
        for given, other in ((self.encoder, encoder), (self.decoder, decoder)):
            if other is not None:
                other.load_state_dict(leading_planes(given.state_dict(), other.state_dict(), *planes))

    def symbols(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """The transmitter."""
        symbols: Tensor = self.encoder(latents, snr_db, rate)
        return symbols

    def restore(self, received: Received, sampling: Sampling, conditioned: bool = True) -> Samples:
        """The receiver; there is nothing to sample."""
        return Samples(self.reconstruct(received), 0)

    def information(
        self, latents: Tensor, received: Received, wrong: Received, points: int, rng: torch.Generator
    ) -> None:
        """There are no velocity fields to estimate it from."""
        return None

    def reconstruct(self, received: Received) -> Tensor:
        """Normalised latents from received symbols."""
        latents: Tensor = self.decoder(features(received, self.encoder.max_rate), received.snr_db)
        return latents.float()

    def over(self, latents: Tensor, params: LinkParams, rng: torch.Generator) -> Tensor:
        """Latents as they arrive over a drawn link."""
        link = draw_link(params, len(latents), rng, latents.device)
        return self.reconstruct(link.send(self.encoder.nested(latents, link.snr_db, link.rates), rng))

    def loss(self, latents: Tensor, params: LinkParams, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the latents over a drawn link."""
        return {"loss": torch.mean((self.over(latents, params, rng) - latents) ** 2)}

    def loss_in_decibels(self, latents: Tensor, params: LinkParams, rng: torch.Generator) -> dict[str, Tensor]:
        """The same with every image's error over what its link permits: a decibel counts as much on every link.

        Unweighted, the worst links have nearly all the say, because their errors are the largest.

        Returns:
            loss: the weighted mean. error: the mean squared error.
        """
        link = draw_link(params, len(latents), rng, latents.device)
        symbols = self.encoder.nested(latents, link.snr_db, link.rates)
        restored = self.reconstruct(link.send(symbols, rng))
        errors = torch.mean((restored - latents) ** 2, dim=(1, 2, 3))
        attainable = link.attainable(latents[0].numel() / symbols[0, 0].numel())
        return {"loss": torch.mean(errors / (attainable + _FLOOR)), "error": errors.detach().mean()}
