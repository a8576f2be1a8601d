"""Flat channels: y_hat = h y + n with n ~ CN(0, sigma^2), h = 1, one h per image or one per symbol.

Draws come in a fixed order (h, noise of the data, noise of the pilots), so that a receiver's knowledge changes none of what
the air does.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from jscgc.channel.base import LEVELS, OUTAGE, ChannelOutput
from jscgc.channel.declaration import ChannelSpec
from jscgc.channel.noise import (
    add_noise,
    believed_noise_var,
    check_snr,
    complex_normal,
    moment_noise_var,
    noise_variance,
    per_image,
    pilot_noise_var,
)


def _k(spec: ChannelSpec) -> float | None:
    """The K-factor, linear; None for Rayleigh fading, which has none."""
    return 10 ** (spec.options["k_db"] / 10) if "k_db" in spec.options else None


def _fading(spec: ChannelSpec, shape: tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    """h of mean power 1, complex `shape` = [B,...].

    Rayleigh: CN(0,1). Rician: sqrt(K/(K+1)) e^{j phi} + sqrt(1/(K+1)) CN(0,1); the phase phi of the line of sight is
    uniform and the same for all symbols of an image (a phase that was known would let it be received without CSI).
    """
    scattered = complex_normal(shape, rng, like)
    k = _k(spec)
    if k is None:
        return scattered
    phase = 2 * math.pi * torch.rand(shape[0], generator=rng).to(like.device)
    sight = per_image(torch.polar(torch.ones_like(phase), phase), len(shape))
    return math.sqrt(k / (k + 1)) * sight + math.sqrt(1 / (k + 1)) * scattered


class Flat:
    """h is 1 (AWGN), or fades: with one h per symbol, where no pilot could ever meet the h of another symbol, or with one per
    image; known, estimated from P unit pilots of the same image, or with csi=none taken for 1.

    LS: h_hat = mean of the pilots = h + e, var e = sigma^2 / P. LMMSE: the prior E h = 0, E|h|^2 = 1 (for Rician too: its
    phase is unknown) shrinks it, h_hat = h_LS / (1 + v) with error variance v / (1 + v), v = sigma^2 / P. (An equaliser that
    knows what of an estimate is error shrinks that of LS alike: with one h per image both receive the same.) Both use the
    sigma^2 that the receiver believes; snr=blind takes it from the pilots' spread, `pilot_noise_var`.
    """

    def __init__(self, spec: ChannelSpec, fading: Literal["none", "symbol", "image"]) -> None:
        self._spec, self._fading = spec, fading

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: torch.Generator) -> ChannelOutput:
        check_snr(snr_db, len(symbols))
        spec, noise_var = self._spec, noise_variance(snr_db)
        shape = symbols.shape if self._fading == "symbol" else (len(symbols), *[1] * (symbols.ndim - 1))
        if self._fading == "none":
            gain = torch.ones(shape, dtype=symbols.dtype, device=symbols.device)
        else:
            gain = _fading(spec, shape, rng, symbols)
        received = add_noise(gain * symbols, noise_var, rng)
        if not spec.estimated:
            if spec.csi == "none":
                gain = torch.ones_like(gain)
            believed = believed_noise_var(noise_var, spec.snr_offset_db, lambda: moment_noise_var(received, gain))
            return ChannelOutput(received, gain, torch.zeros_like(gain.real), believed)
        count = spec.options["pilots"]
        pilots = add_noise(gain.reshape(-1, 1).expand(-1, count), noise_var, rng)
        estimate = pilots.mean(1)
        believed = believed_noise_var(noise_var, spec.snr_offset_db, lambda: pilot_noise_var(pilots, estimate))
        error_var = believed / count
        if spec.csi == "lmmse":
            estimate, error_var = estimate / (1 + error_var), error_var / (1 + error_var)
        estimate, error_var = per_image(estimate, symbols.ndim), per_image(error_var, symbols.ndim)
        return ChannelOutput(received, estimate, error_var, believed, shrunk=spec.csi != "ls")

    def overhead(self, data: int) -> int:
        return int(self._spec.options["pilots"]) if self._spec.estimated else 0


class NoFading:
    """The law of h = 1."""

    def ergodic(self, snr_db: float) -> float:
        return math.log2(1 + 10 ** (snr_db / 10))

    outage = ergodic

    def snrs(self, snr_db: float) -> Tensor:
        return torch.full((1, 1), 10 ** (snr_db / 10), dtype=torch.float64)


class Fading:
    """The law of Rayleigh and Rician fading, by quadrature over |h|^2; its `snrs` are the midpoint quantiles of |h|^2, whose
    mean is 1 to 0.2%, along the images for block fading and along the symbols for fast fading."""

    def __init__(self, spec: ChannelSpec) -> None:
        self._k, self._block = _k(spec) or 0.0, not spec.kind.averages

    @cached_property
    def _power(self) -> Any:
        """|h|^2 of mean 1: exponential for Rayleigh, for Rician 1 / (2 (K + 1)) times a noncentral chi-square of two degrees
        of freedom and noncentrality 2 K."""
        from scipy.stats import ncx2

        return ncx2(2, 2 * self._k, scale=0.5 / (self._k + 1))

    def ergodic(self, snr_db: float) -> float:
        from scipy.integrate import quad

        law, snr = self._power, 10 ** (snr_db / 10)
        capacity, _ = quad(lambda p: law.pdf(p) * math.log2(1 + p * snr), 0, law.isf(1e-12), limit=200)
        return float(capacity)

    def outage(self, snr_db: float) -> float:
        """Block fading: log2(1 + SNR q) with q the OUTAGE-quantile of |h|^2, for Rayleigh log2(1 - SNR ln(1 - OUTAGE))."""
        if not self._block:
            return self.ergodic(snr_db)
        return math.log2(1 + 10 ** (snr_db / 10) * float(self._power.ppf(OUTAGE)))

    def snrs(self, snr_db: float) -> Tensor:
        levels = torch.from_numpy(self._power.ppf((torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS))
        return 10 ** (snr_db / 10) * (levels[:, None] if self._block else levels[None])
