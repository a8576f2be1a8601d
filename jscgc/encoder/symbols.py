"""What every encoder does with its output: ordered symbols, any prefix of which is a transmission of unit power."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

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


def leading_planes(
    weights: Mapping[str, Tensor], smaller: Mapping[str, Tensor], max_rate: int, rate: int, spread: int
) -> dict[str, Tensor]:
    """The weights of an encoder (or decoder) of `max_rate` planes for one of `rate` that is otherwise alike: symbols are ordered,
    so its first planes are a whole code.

    Args:
        weights: by their names.
        smaller: those of the smaller network, for their shapes.
        spread: positions of the 1/16 grid along a side that a position of the network carries.

    Raises:
        ValueError: there are fewer planes than `rate`.
    """
    if rate > max_rate:
        raise ValueError(f"weights for {max_rate} complex symbols per position can't start a network for {rate}")
    planes = max_rate * spread**2

    def cut(value: Tensor, shape: torch.Size) -> Tensor:
        for dim, size in enumerate(shape):
            if value.shape[dim] != size and value.shape[dim] % planes == 0:
                parts = torch.split(value, planes, dim)  # real and imaginary parts, ...
                value = torch.cat([part.narrow(dim, 0, rate * spread**2) for part in parts], dim)
        return value

    return {name: cut(value, smaller[name].shape) if name in smaller else value for name, value in weights.items()}


def sent(rates: Tensor, max_rate: int) -> Tensor:
    """1 for the planes that an image of rate rates[i] sends, 0 beyond: float [B,max_rate,1,1]."""
    return (torch.arange(max_rate, device=rates.device) < rates[:, None]).float()[:, :, None, None]
