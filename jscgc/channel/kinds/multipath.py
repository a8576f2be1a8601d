"""Profiles A to E of 3GPP's tapped and clustered delay lines, TDL and CDL, over an OFDM grid."""

from __future__ import annotations

from functools import partial

from jscgc.channel.base import Channel
from jscgc.channel.declaration import SNR, ChannelKind, ChannelSpec, Number, csi

CARRIER_GHZ = 3.5
"""With the speed it gives the Doppler shift."""
SPEED = f"speed of the receiver, carrier {CARRIER_GHZ:g} GHz"
OPTIONS = (
    Number("delay_spread_ns", 100.0, 0, 5000, "ns", "RMS delay spread", shown="{:g} ns", defining=True),
    Number("speed_mps", 3.0, 0, 500, "m/s", SPEED, shown="{:g} m/s"),
    Number("subcarriers", 64, 4, 1024, "", "OFDM subcarriers", whole=True, shown="{:g} subcarriers"),
    Number("spacing_khz", 30.0, 1, 960, "kHz", "subcarrier spacing", shown="{:g} kHz"),
    csi("perfect", "ls", "lmmse", "none"),
    SNR,
)


def _channel(spec: ChannelSpec, *, clustered: bool, profile: str) -> Channel:
    from jscgc.channel.multipath import Multipath

    return Multipath(spec, clustered, profile, CARRIER_GHZ)


MULTIPATH = tuple(
    ChannelKind(
        f"{family}_{profile}".lower(),
        f"{family}-{profile}",
        partial(_channel, clustered=family == "CDL", profile=profile),
        OPTIONS,
        needs=("sionna", "pip install 'jscgc[channels]'"),
        order=order,
    )
    for family, order in (("TDL", 20), ("CDL", 30))
    for profile in "ABCDE"
)
