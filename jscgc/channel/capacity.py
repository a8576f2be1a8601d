"""Shannon's limits of the channels: bits per data symbol for Gaussian inputs, a receiver that knows h and a transmitter that
knows h's law alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from jscgc.channel.channels import Channel, get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import DEFAULTS, ChannelSpec, parse_channel

DRAWS, SYMBOLS = 200, 3000
"""Channels drawn for the ergodic mean of a multipath profile, and symbols sent over each."""
LEVELS = 512
"""Equally likely values of |h|^2 that stand for a law, or for the symbols of one drawn channel."""
OUTAGE = 0.1
"""Share of the images that may be lost, where the transmitter has to choose a rate and one image's h decides."""


@cache
def ergodic_capacity(channel: str, snr_db: float) -> float:
    """E log2(1 + |h|^2 SNR) in bits per data symbol: what no code can exceed over many images.

    AWGN: log2(1 + SNR). Rayleigh and Rician: quadrature over the law of |h|^2. TDL and CDL profiles: the mean over `DRAWS`
    draws of a fixed seed. A receiver with estimated CSI, none, or a wrong SNR has less. Pilots and other overhead carry
    nothing: multiply by the data symbols, not by k.

    Raises:
        ValueError: an unknown channel, or a multipath channel without the package it needs.
    """
    spec = parse_channel(channel)
    snr = 10 ** (snr_db / 10)
    if spec.name == "awgn":
        return math.log2(1 + snr)
    return _drawn(spec, snr_db) if spec.multipath else _faded(spec, snr)


@cache
def outage_capacity(channel: str, snr_db: float) -> float:
    """Bits per data symbol that a code of fixed rate carries in a share 1 - OUTAGE of the images.

    Where h averages out within an image (AWGN, fast fading) nothing is lost below the ergodic capacity, and this is it.
    Block fading: log2(1 + SNR q) with q the OUTAGE-quantile of |h|^2, for Rayleigh log2(1 - SNR ln(1 - OUTAGE)).
    Multipath: the OUTAGE-quantile over `DRAWS` images of their own mean of log2(1 + |h|^2 SNR).

    Raises:
        ValueError: as `ergodic_capacity`.
    """
    spec = parse_channel(channel)
    snr = 10 ** (snr_db / 10)
    if spec.name.endswith("_block"):
        return math.log2(1 + snr * float(_law(spec).ppf(OUTAGE)))
    if spec.multipath:
        held = torch.log2(1 + snr * power_gains(channel)).mean(1)
        return torch.quantile(held, OUTAGE).item()
    return ergodic_capacity(channel, snr_db)


@cache
def power_gains(channel: str) -> Tensor:
    """|h|^2 of D equally likely images with S equally likely symbols each, float64 [D, S], of mean 1 over the ensemble.

    awgn [1, 1]; fast fading [1, LEVELS] and block fading [LEVELS, 1]: the midpoint quantiles of the law, whose mean is 1 to
    0.2%; multipath [DRAWS, at most LEVELS]: draws of a fixed seed, every so many-th symbol. It is what the air does:
    what the receiver knows of it changes nothing.

    Raises:
        ValueError: as `ergodic_capacity`.
    """
    spec = parse_channel(channel)
    if spec.name == "awgn":
        return torch.ones(1, 1, dtype=torch.float64)
    if spec.multipath:
        symbols = torch.ones(DRAWS, 1, 1, SYMBOLS, dtype=torch.complex64)
        gain = known(spec)(symbols, torch.zeros(DRAWS), torch.Generator().manual_seed(0)).gain
        return gain.flatten(1)[:, :: -(-SYMBOLS // LEVELS)].abs().square().double()
    levels = torch.from_numpy(_law(spec).ppf((torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS))
    return levels[:, None] if spec.name.endswith("_block") else levels[None]


def known(spec: ChannelSpec) -> Channel:
    """The same air and the same draws, with a receiver that knows h and the SNR."""
    return get_channel(str(replace(spec, csi="perfect", pilots=DEFAULTS["pilots"], snr="told")))


def _law(spec: ChannelSpec) -> Any:
    """|h|^2 of mean 1: exponential for Rayleigh, for Rician 1 / (2 (K + 1)) times a noncentral chi-square of two degrees of
    freedom and noncentrality 2 K."""
    from scipy.stats import ncx2

    k = 10 ** (spec.k_db / 10) if spec.name.startswith("rician") else 0.0
    return ncx2(2, 2 * k, scale=0.5 / (k + 1))


def _faded(spec: ChannelSpec, snr: float) -> float:
    from scipy.integrate import quad

    law = _law(spec)
    capacity, _ = quad(lambda p: law.pdf(p) * math.log2(1 + p * snr), 0, law.isf(1e-12), limit=200)
    return float(capacity)


def _drawn(spec: ChannelSpec, snr_db: float) -> float:
    symbols = torch.ones(DRAWS, 1, 1, SYMBOLS, dtype=torch.complex64)
    output = known(spec)(symbols, torch.full((DRAWS,), snr_db), torch.Generator().manual_seed(0))
    return equalise(output).bits.mean().item()
