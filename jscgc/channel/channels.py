"""Wireless channels: y_hat = h y + n with n ~ CN(0, sigma^2), sigma^2 = 10^(-SNR_dB / 10) for unit-power symbols.

Each is a function of symbols, SNR and an explicit random generator; differentiable in the symbols; batched, with one SNR
per image. The SNR is the *average* one (E|h|^2 = 1); the transmitter knows it and never knows h.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Protocol, get_args

import torch
from torch import Tensor

from jscgc.config import ChannelName


@dataclass(frozen=True)
class ChannelOutput:
    """What arrives, and what the receiver knows (perfect CSI).

    received: h y + n, complex [B,...], like the symbols.
    gain: h, complex, [B,...] or [B,1,...].
    noise_var: sigma^2 per complex symbol, float [B].
    """

    received: Tensor
    gain: Tensor
    noise_var: Tensor


class Channel(Protocol):
    """A channel: symbols complex [B,...] and snr_db float [B] -> ChannelOutput."""

    def __call__(self, symbols: Tensor, snr_db: Tensor, generator: torch.Generator) -> ChannelOutput: ...


def complex_normal(shape: torch.Size | tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """CN(0,1): variance 1/2 on each real axis. Drawn on the CPU: the same numbers whatever the device."""
    real = torch.randn((*shape, 2), generator=generator) / math.sqrt(2)
    return torch.view_as_complex(real).to(like.device)


def noise_variance(snr_db: Tensor) -> Tensor:
    """sigma^2 = 10^(-SNR_dB / 10) per complex symbol of unit power."""
    return torch.pow(10.0, -snr_db / 10)


def _receive(symbols: Tensor, gain: Tensor, snr_db: Tensor, generator: torch.Generator) -> ChannelOutput:
    noise_var = noise_variance(snr_db)
    deviation = noise_var.sqrt().reshape(-1, *[1] * (symbols.ndim - 1))
    return ChannelOutput(
        gain * symbols + deviation * complex_normal(symbols.shape, generator, symbols), gain, noise_var
    )


def awgn(symbols: Tensor, snr_db: Tensor, generator: torch.Generator) -> ChannelOutput:
    """Additive white Gaussian noise: h = 1."""
    gain = torch.ones([len(symbols)] + [1] * (symbols.ndim - 1), dtype=symbols.dtype, device=symbols.device)
    return _receive(symbols, gain, snr_db, generator)


def rayleigh_block(symbols: Tensor, snr_db: Tensor, generator: torch.Generator) -> ChannelOutput:
    """Rayleigh block fading: one h ~ CN(0,1) per image, known to the receiver."""
    gain = complex_normal((len(symbols), *[1] * (symbols.ndim - 1)), generator, symbols)
    return _receive(symbols, gain, snr_db, generator)


def rayleigh_fast(symbols: Tensor, snr_db: Tensor, generator: torch.Generator) -> ChannelOutput:
    """Rayleigh fast fading: one h ~ CN(0,1) per symbol, known to the receiver."""
    return _receive(symbols, complex_normal(symbols.shape, generator, symbols), snr_db, generator)


_CHANNELS: dict[str, Channel] = {"awgn": awgn, "rayleigh_block": rayleigh_block, "rayleigh_fast": rayleigh_fast}
assert set(_CHANNELS) == set(get_args(ChannelName))


def get_channel(name: str) -> Channel:
    """The channel of that name.

    Raises:
        ValueError: no such channel; suggests the nearest.
    """
    if name not in _CHANNELS:
        near = difflib.get_close_matches(name, _CHANNELS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown channel {name!r}: {hint}available: {', '.join(_CHANNELS)}")
    return _CHANNELS[name]


@dataclass(frozen=True)
class Received:
    """Symbols as the receiver's networks see them.

    estimate: linear MMSE estimate of the symbols, conj(h) y_hat / (|h|^2 + sigma^2), complex [B,c,h,w].
    reliability: |h|^2 / (|h|^2 + sigma^2) in [0,1), float [B,c,h,w]: the share of a symbol's power that survived.
    snr_db: the average SNR, float [B].
    """

    estimate: Tensor
    reliability: Tensor
    snr_db: Tensor


def equalise(output: ChannelOutput) -> Received:
    """Linear MMSE equalisation with perfect CSI, for symbols [B,c,h,w] of unit power."""
    gain_power = output.gain.abs().square()
    total = gain_power + output.noise_var.reshape(-1, *[1] * (output.received.ndim - 1))
    return Received(
        estimate=output.gain.conj() * output.received / total,
        reliability=(gain_power / total).expand(output.received.shape),
        snr_db=-10 * torch.log10(output.noise_var),
    )


def features(received: Received, rates: int) -> Tensor:
    """Real feature planes float [B, 3 rates, h, w] for c <= rates symbols per position: real, imaginary, reliability.

    Symbols that were not sent read as an estimate of 0 with reliability 0, exactly like symbols lost in a deep fade: one
    receiver serves every rate, SNR and fading law.
    """
    estimate, reliability = received.estimate, received.reliability
    missing = rates - estimate.shape[1]
    if missing < 0:
        raise ValueError(f"{estimate.shape[1]} symbols per position arrived, this receiver reads {rates}")
    planes = [estimate.real, estimate.imag, reliability]
    return torch.cat([torch.nn.functional.pad(p, (0, 0, 0, 0, 0, missing)) for p in planes], dim=1)
