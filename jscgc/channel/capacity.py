"""Shannon's limit of the channels: bits per data symbol for Gaussian inputs and a receiver that knows h."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import torch

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import ChannelSpec, parse_channel

DRAWS, SYMBOLS = 200, 3000
"""Channels drawn for the ergodic mean of a multipath profile, and symbols sent over each."""


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


def _faded(spec: ChannelSpec, snr: float) -> float:
    """|h|^2 of mean 1: exponential for Rayleigh, for Rician 1 / (2 (K + 1)) times a noncentral chi-square of two degrees of
    freedom and noncentrality 2 K."""
    from scipy.integrate import quad
    from scipy.stats import ncx2

    k = 10 ** (spec.k_db / 10) if spec.name.startswith("rician") else 0.0
    law = ncx2(2, 2 * k, scale=0.5 / (k + 1))
    capacity, _ = quad(lambda p: law.pdf(p) * math.log2(1 + p * snr), 0, law.isf(1e-12), limit=200)
    return float(capacity)


def _drawn(spec: ChannelSpec, snr_db: float) -> float:
    known = get_channel(str(replace(spec, csi="perfect", snr="told")))
    symbols = torch.ones(DRAWS, 1, 1, SYMBOLS, dtype=torch.complex64)
    output = known(symbols, torch.full((DRAWS,), snr_db), torch.Generator().manual_seed(0))
    return equalise(output).bits.mean().item()
