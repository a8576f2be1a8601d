"""Shannon's limits of the channels: bits per data symbol for Gaussian inputs, a receiver that knows h and a transmitter that
knows h's law alone. What the receiver of a text knows changes nothing of them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from jscgc.channel.base import DRAWS, LEVELS, OUTAGE, SYMBOLS, Channel, ChannelOutput, Law
from jscgc.channel.channels import get_channel
from jscgc.channel.declaration import ChannelSpec
from jscgc.channel.receiver import equalise, shrunk
from jscgc.channel.spec import parse_channel


def ergodic_capacity(channel: str, snr_db: float) -> float:
    """E log2(1 + |h|^2 SNR) in bits per data symbol: what no code can exceed over many images.

    AWGN: log2(1 + SNR). Rayleigh and Rician: quadrature over the law of |h|^2. Others, if they declare no law: `Drawn`. A
    receiver with estimated CSI, none, or a wrong SNR has less. Pilots and other overhead carry nothing: multiply by the data
    symbols, not by k.

    Raises:
        ValueError: an unknown channel, or one without the package it needs.
    """
    return float(_value(parse_channel(channel).informed, "ergodic", snr_db))


def outage_capacity(channel: str, snr_db: float) -> float:
    """Bits per data symbol that a code of fixed rate carries in a share 1 - OUTAGE of the images.

    Where h averages out within an image (AWGN, fast fading) nothing is lost below the ergodic capacity, and this is it.

    Raises:
        ValueError: as `ergodic_capacity`.
    """
    spec = parse_channel(channel).informed
    return float(_value(spec, "ergodic" if spec.kind.averages else "outage", snr_db))


def snrs(channel: str, snr_db: float) -> Tensor:
    """SNRs of D equally likely images with S equally likely symbols each, linear, float64 [D, S].

    awgn [1, 1]; fast fading [1, LEVELS], block fading [LEVELS, 1]; what is drawn [DRAWS, at most LEVELS].

    Raises:
        ValueError: as `ergodic_capacity`.
    """
    equal: Tensor = _value(parse_channel(channel).informed, "snrs", snr_db)
    return equal


def power_gains(channel: str) -> Tensor:
    """|h|^2, of mean 1 over the ensemble: `snrs` at 0 dB."""
    return snrs(channel, 0.0)


def known(spec: ChannelSpec) -> Channel:
    """The same air and the same draws, with a receiver that knows h and the SNR."""
    return get_channel(str(spec.informed))


class Drawn:
    """What a channel can carry, measured: `DRAWS` images of a fixed seed. Where the channel says that it is not sure of h
    (`gain_var`: noise that comes in bursts, say), that is noise.
    """

    def __init__(self, spec: ChannelSpec) -> None:
        self._channel = known(spec)

    def _output(self, snr_db: float) -> ChannelOutput:
        symbols = torch.ones(DRAWS, 1, 1, SYMBOLS, dtype=torch.complex64)
        return self._channel(symbols, torch.full((DRAWS,), snr_db), torch.Generator().manual_seed(0))

    def ergodic(self, snr_db: float) -> float:
        """The mean over images and symbols."""
        return equalise(self._output(snr_db)).bits.mean().item()

    def outage(self, snr_db: float) -> float:
        """The OUTAGE-quantile over images of their own mean."""
        return torch.quantile(torch.log2(1 + self.snrs(snr_db)).mean(1), OUTAGE).item()

    def snrs(self, snr_db: float) -> Tensor:
        """Of every so many-th symbol."""
        output, every = self._output(snr_db), -(-SYMBOLS // LEVELS)
        gain, gain_var = shrunk(output)
        power, unsure = (v.flatten(1)[:, ::every].double() for v in (gain.abs().square(), gain_var))
        return 10 ** (snr_db / 10) * power / (1 + unsure / output.noise_var[:, None])


@cache
def _law(spec: ChannelSpec) -> Law:
    return (spec.kind.law or Drawn)(spec)


@cache
def _value(spec: ChannelSpec, quantity: str, snr_db: float) -> Any:
    """By one of the law's methods, `quantity`."""
    return getattr(_law(spec), quantity)(snr_db)
