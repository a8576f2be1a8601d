"""What every encoder does with its output: ordered symbols, any prefix of which is a transmission of unit power."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from jscgc.channel.accounting import normalise_power


class SymbolEncoder(nn.Module, ABC):
    """An encoder of `max_rate` ordered complex symbols per position; how many are sent is chosen at every call."""

    def __init__(self, max_rate: int) -> None:
        super().__init__()
        self.max_rate = max_rate

    @abstractmethod
    def planes(self, latents: Tensor, snr_db: Tensor) -> Tensor:
        """Latents [B,C,h,w], average SNR [B] -> float [B,2 max_rate,h',w']: all real parts, then all imaginary ones."""

    def forward(self, latents: Tensor, snr_db: Tensor, rate: int) -> Tensor:
        """Normalised latents [B,C,h,w], average SNR [B] -> complex64 symbols [B,rate,h',w'] of unit power per image.

        Raises:
            ValueError: rate outside 1..max_rate.
        """
        if not 1 <= rate <= self.max_rate:
            raise ValueError(f"rate must be in 1..{self.max_rate} complex symbols per position, got {rate}")
        return normalise_power(self._ordered(latents, snr_db)[:, :rate])

    def nested(self, latents: Tensor, snr_db: Tensor, rates: Tensor) -> Tensor:
        """Every image at a rate of its own: complex64 symbols [B,max_rate,h',w'], zero beyond rates [B] (whole numbers).

        The first rates[i] planes of image i are what `forward` sends at rates[i]; for training, where one batch holds many
        rates.
        """
        assert int(rates.max()) <= self.max_rate
        symbols = self._ordered(latents, snr_db) * sent(rates, self.max_rate)
        # Unit power over what is sent, not over all planes, of which the rest is zero.
        return normalise_power(symbols) * (rates / self.max_rate).sqrt()[:, None, None, None]

    def _ordered(self, latents: Tensor, snr_db: Tensor) -> Tensor:
        real, imaginary = self.planes(latents, snr_db).float().chunk(2, dim=1)
        return torch.complex(real.contiguous(), imaginary.contiguous())


def sent(rates: Tensor, max_rate: int) -> Tensor:
    """1 for the planes that an image of rate rates[i] sends, 0 beyond: float [B,max_rate,1,1]."""
    return (torch.arange(max_rate, device=rates.device) < rates[:, None]).float()[:, :, None, None]
