"""Flat Rayleigh and Rician fading: one h per image (block), which pilots can tell, or one per symbol (fast)."""

from __future__ import annotations

from collections.abc import Collection

from jscgc.channel.base import Channel, Law
from jscgc.channel.declaration import SNR, ChannelKind, ChannelSpec, Number, Option, csi

K_FACTOR = "Rician K-factor: power of the line of sight over that of the scattered rest"
K_DB = Number("k_db", 6.0, -30, 40, "dB", K_FACTOR, shown="K = {:g} dB", defining=True)
PER_IMAGE = "pilot symbols per image, charged to k (csi=ls or lmmse)"
PILOTS = Number("pilots", 8, 1, 1024, "", PER_IMAGE, whole=True, shown="{:g} pilots", receiver=True)


def _channel(spec: ChannelSpec) -> Channel:
    from jscgc.channel.flat import Flat

    return Flat(spec, "symbol" if spec.kind.averages else "image")


def _law(spec: ChannelSpec) -> Law:
    from jscgc.channel.flat import Fading

    return Fading(spec)


def _check_pilots(spec: ChannelSpec, given: Collection[str]) -> None:
    if "pilots" in given and not spec.estimated:
        raise ValueError(f"channel {spec.name}: pilots has no effect with csi={spec.csi}; use csi=ls or csi=lmmse")
    if spec.snr == "blind" and spec.estimated and spec.options["pilots"] < 2:
        raise ValueError(f"channel {spec.name}: snr=blind needs pilots=2 or more to tell the noise from h, got 1")


def _kinds(name: str, label: str, *options: Option) -> tuple[ChannelKind, ChannelKind]:
    block = (*options, PILOTS, csi("perfect", "ls", "lmmse", "none"), SNR)
    fast = (*options, csi("perfect", "none", why="h changes from symbol to symbol and can't be estimated"), SNR)
    return (
        ChannelKind(f"{name}_block", f"{label} block fading", _channel, block, _law, check=_check_pilots, order=10),
        ChannelKind(f"{name}_fast", f"{label} fast fading", _channel, fast, _law, averages=True, order=10),
    )


FADING = (*_kinds("rayleigh", "Rayleigh"), *_kinds("rician", "Rician", K_DB))
