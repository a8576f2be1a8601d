"""Additive white Gaussian noise: h = 1, and nothing of it to be known."""

from __future__ import annotations

from jscgc.channel.base import Channel, Law
from jscgc.channel.declaration import SNR, ChannelKind, ChannelSpec, csi


def _channel(spec: ChannelSpec) -> Channel:
    from jscgc.channel.flat import Flat

    return Flat(spec, "none")


def _law(spec: ChannelSpec) -> Law:
    from jscgc.channel.flat import NoFading

    return NoFading()


AWGN = ChannelKind("awgn", "AWGN", _channel, (csi("perfect"), SNR), _law, averages=True, order=0)
