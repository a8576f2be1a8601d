"""Wireless channels: y_hat = h y + n with n ~ CN(0, sigma^2), and what the receiver believes of h and sigma^2.

A channel is a function of symbols, SNR and an explicit random generator; differentiable in the symbols; batched, with one
SNR per image. The SNR is the *average* one (E|h|^2 = 1); the transmitter knows it and never knows h. Draws come in a fixed
order (h, noise of the data, noise of the pilots), so that a receiver's knowledge changes none of what the air does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from jscgc.channel.noise import (
    believed_noise_var,
    check_snr,
    complex_normal,
    moment_noise_var,
    noise_variance,
    per_image,
    pilot_noise_var,
)
from jscgc.channel.spec import ChannelSpec, parse_channel


@dataclass(frozen=True)
class ChannelOutput:
    """What arrives on the data symbols, and what the receiver believes of the link.

    received: h y + n, complex [B,...], like the symbols.
    gain: h as the receiver believes it, complex, [B,...] or [B,1,...].
    gain_var: error variance of that belief, float, shaped like `gain`; 0 where h is known, or taken for known.
    noise_var: sigma^2 per complex symbol as the receiver believes it, float [B].
    """

    received: Tensor
    gain: Tensor
    gain_var: Tensor
    noise_var: Tensor


class Channel(Protocol):
    """A channel, and the channel uses it needs beside the data."""

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        """Symbols complex [B,...] of unit power and average SNR float [B] -> what the receiver has.

        Raises:
            ValueError: not one finite SNR per image.
        """
        ...

    def overhead(self, data: int) -> int:
        """Channel uses charged beside `data` symbols of an image: pilots, empty elements, cyclic prefix."""
        ...


def _add_noise(faded: Tensor, noise_var: Tensor, rng: torch.Generator) -> Tensor:
    deviation = per_image(noise_var.sqrt(), faded.ndim)
    return faded + deviation * complex_normal(faded.shape, rng, faded)


def _fading(spec: ChannelSpec, shape: tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    """h of mean power 1, complex `shape` = [B,...].

    Rayleigh: CN(0,1). Rician: sqrt(K/(K+1)) e^{j phi} + sqrt(1/(K+1)) CN(0,1); the phase phi of the line of sight is
    uniform and the same for all symbols of an image (a phase that was known would let it be received without CSI).
    """
    scattered = complex_normal(shape, rng, like)
    if not spec.name.startswith("rician"):
        return scattered
    k = 10 ** (spec.k_db / 10)
    phase = 2 * math.pi * torch.rand(shape[0], generator=rng).to(like.device)
    sight = per_image(torch.polar(torch.ones_like(phase), phase), len(shape))
    return math.sqrt(k / (k + 1)) * sight + math.sqrt(1 / (k + 1)) * scattered


def _known(received: Tensor, gain: Tensor, noise_var: Tensor, spec: ChannelSpec) -> ChannelOutput:
    """The receiver's view without pilots: h is known, or with csi=none taken for 1."""
    if spec.csi == "none":
        gain = torch.ones_like(gain)
    believed = believed_noise_var(noise_var, spec.snr_offset_db, lambda: moment_noise_var(received, gain))
    return ChannelOutput(received, gain, torch.zeros_like(gain.real), believed)


class Awgn:
    """Additive white Gaussian noise: h = 1."""

    def __init__(self, spec: ChannelSpec) -> None:
        self._spec = spec

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        check_snr(snr_db, len(symbols))
        noise_var = noise_variance(snr_db)
        gain = torch.ones([len(symbols)] + [1] * (symbols.ndim - 1), dtype=symbols.dtype, device=symbols.device)
        return _known(_add_noise(gain * symbols, noise_var, rng), gain, noise_var, self._spec)

    def overhead(self, data: int) -> int:
        return 0


class FastFading:
    """Rayleigh or Rician fading with one h per symbol: no pilot could ever meet the h of another symbol."""

    def __init__(self, spec: ChannelSpec) -> None:
        self._spec = spec

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        check_snr(snr_db, len(symbols))
        noise_var = noise_variance(snr_db)
        gain = _fading(self._spec, symbols.shape, rng, symbols)
        return _known(_add_noise(gain * symbols, noise_var, rng), gain, noise_var, self._spec)

    def overhead(self, data: int) -> int:
        return 0


class BlockFading:
    """Rayleigh or Rician fading with one h per image; known, estimated from P unit pilots of the same image, or ignored.

    LS: h_hat = mean of the pilots = h + e, var e = sigma^2 / P. LMMSE: the prior E h = 0, E|h|^2 = 1 (for Rician too: its
    phase is unknown) shrinks it, h_hat = h_LS / (1 + v) with error variance v / (1 + v), v = sigma^2 / P. Both use the
    sigma^2 that the receiver believes; snr=blind takes it from the pilots' spread, `pilot_noise_var`.
    """

    def __init__(self, spec: ChannelSpec) -> None:
        self._spec = spec

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        check_snr(snr_db, len(symbols))
        noise_var = noise_variance(snr_db)
        gain = _fading(self._spec, (len(symbols), *[1] * (symbols.ndim - 1)), rng, symbols)
        received = _add_noise(gain * symbols, noise_var, rng)
        if not self._spec.estimated:
            return _known(received, gain, noise_var, self._spec)
        pilots = _add_noise(gain.reshape(-1, 1).expand(-1, self._spec.pilots), noise_var, rng)
        estimate = pilots.mean(1)
        believed = believed_noise_var(noise_var, self._spec.snr_offset_db, lambda: pilot_noise_var(pilots, estimate))
        error_var = believed / self._spec.pilots
        if self._spec.csi == "lmmse":
            estimate, error_var = estimate / (1 + error_var), error_var / (1 + error_var)
        return ChannelOutput(received, per_image(estimate, symbols.ndim), per_image(error_var, symbols.ndim), believed)

    def overhead(self, data: int) -> int:
        return self._spec.pilots if self._spec.estimated else 0


@cache
def get_channel(text: str) -> Channel:
    """The channel that a text names, by the grammar of `spec`.

    Raises:
        ValueError: as `parse_channel`; or a multipath channel without the package it needs.
    """
    spec = parse_channel(text)
    if spec.multipath:
        # Only here: it is the one module that needs an optional package.
        from jscgc.channel.multipath import Multipath

        return Multipath(spec)
    if spec.name == "awgn":
        return Awgn(spec)
    return BlockFading(spec) if spec.name.endswith("block") else FastFading(spec)
