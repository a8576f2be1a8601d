"""Wireless channels: y_hat = h y + n with n ~ CN(0, sigma^2), and what the receiver believes of h and sigma^2.

A channel is a function of symbols, SNR and an explicit random generator; differentiable in the symbols; batched, with one
SNR per image. The SNR is the *average* one (E|h|^2 = 1); the transmitter knows it and never knows h.
"""

from __future__ import annotations

from functools import cache

from jscgc.channel.base import Channel
from jscgc.channel.declaration import ChannelSpec
from jscgc.channel.spec import parse_channel


def get_channel(text: str) -> Channel:
    """The channel that a text names, by the grammar of `spec`.

    Raises:
        ValueError: as `parse_channel`; or a channel without the package it needs.
    """
    spec = parse_channel(text)
    if spec.kind.needs and (remedy := spec.kind.missing()):
        package, _ = spec.kind.needs
        raise ValueError(f"channel {spec.name} needs {package}, which is not installed: {remedy}")
    return _made(spec)


@cache
def _made(spec: ChannelSpec) -> Channel:
    """By declaration, not by text: of a plugin that was loaded again it is the new one's."""
    return spec.kind.channel(spec)
