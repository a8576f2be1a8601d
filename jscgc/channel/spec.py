"""Channels by text: `NAME` or `NAME:key=value,key=value`, such as `awgn` or `tdl_c:delay_spread_ns=300,csi=lmmse`.

The one grammar of params.yaml, the command line and results.csv. `str(parse_channel(text))` is the canonical text: keys
in the order of KEYS, defaults omitted, so equal channels have equal names. No torch here: `--help` and the report read it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

CARRIER_GHZ = 3.5
"""Carrier of the multipath channels; with the speed it gives the Doppler shift."""

_FLAT = ("awgn", "rayleigh_block", "rayleigh_fast", "rician_block", "rician_fast")
NAMES = _FLAT + tuple(f"{kind}_{profile}" for kind in ("tdl", "cdl") for profile in "abcde")
"""Every channel, in the order in which they are listed."""


@dataclass(frozen=True)
class Number:
    """An option that is a number in low..high; without a unit it is a count."""

    low: float
    high: float
    unit: str
    meaning: str
    whole: bool = False


NUMBERS = {
    "k_db": Number(-30, 40, "dB", "Rician K-factor: power of the line of sight over that of the scattered rest"),
    "delay_spread_ns": Number(0, 5000, "ns", "RMS delay spread"),
    "speed_mps": Number(0, 500, "m/s", f"speed of the receiver, carrier {CARRIER_GHZ:g} GHz"),
    "subcarriers": Number(4, 1024, "", "OFDM subcarriers", whole=True),
    "spacing_khz": Number(1, 960, "kHz", "subcarrier spacing"),
    "pilots": Number(1, 1024, "", "pilot symbols per image, charged to k (csi=ls or lmmse)", whole=True),
}
CSI = {
    "perfect": "the receiver knows h",
    "ls": "least-squares estimate from the pilots",
    "lmmse": "linear MMSE estimate from the pilots and the channel's statistics",
    "none": "the receiver takes h = 1",
}
SNR = (
    "told (the receiver knows the SNR), blind (it estimates it), or +3, -3, ... (it believes that many dB more or less)"
)
KEYS = (*NUMBERS, "csi", "snr")
"""Every option, in canonical order."""


@dataclass(frozen=True)
class ChannelSpec:
    """A channel and what its receiver knows; made by `parse_channel`, which checks it. Options as NUMBERS, CSI, SNR say."""

    name: str
    k_db: float = 6.0
    delay_spread_ns: float = 100.0
    speed_mps: float = 3.0
    subcarriers: int = 64
    spacing_khz: float = 30.0
    pilots: int = 8
    csi: str = "perfect"
    snr: str = "told"

    @property
    def multipath(self) -> bool:
        """Whether it is one of 3GPP's multipath profiles, on an OFDM grid."""
        return self.name not in _FLAT

    @property
    def estimated(self) -> bool:
        """Whether the receiver's h comes from pilots."""
        return self.csi in ("ls", "lmmse")

    @property
    def snr_offset_db(self) -> float | None:
        """By how much the receiver overrates the SNR, in dB; None: it estimates the SNR itself."""
        return None if self.snr == "blind" else 0.0 if self.snr == "told" else float(self.snr)

    def __str__(self) -> str:
        given = [f"{key}={_plain(getattr(self, key))}" for key in _set_keys(self)]
        return f"{self.name}:{','.join(given)}" if given else self.name


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(ChannelSpec) if field.name != "name"}


def keys(name: str) -> tuple[str, ...]:
    """The options that the channel of that name has, in canonical order."""
    own = {"csi", "snr"}
    if name not in _FLAT:
        own |= {"delay_spread_ns", "speed_mps", "subcarriers", "spacing_khz"}
    if name.startswith("rician"):
        own |= {"k_db"}
    if name.endswith("block"):
        own |= {"pilots"}
    return tuple(key for key in KEYS if key in own)


def csi_choices(name: str) -> tuple[str, ...]:
    """What its receiver can know of h. There is nothing to know over AWGN, and one h per symbol can't be estimated."""
    return ("perfect",) if name == "awgn" else ("perfect", "none") if name.endswith("_fast") else tuple(CSI)


def parse_channel(text: str) -> ChannelSpec:
    """The channel that a text names.

    Raises:
        ValueError: a name, key or value that does not exist (with the nearest and what is allowed), a number out of
            range, a combination that is impossible.
    """
    name, colon, rest = text.partition(":")
    if name not in NAMES:
        raise ValueError(f"unknown channel {name!r}: {_nearest(name, NAMES)}available: {', '.join(NAMES)}")
    options: dict[str, Any] = {}
    for item in rest.split(",") if colon else ():
        key, equals, value = item.partition("=")
        if key not in keys(name):
            raise ValueError(
                f"unknown option {key!r} of channel {name}: {_nearest(key, keys(name))}available: {', '.join(keys(name))}"
            )
        if not equals or not value:
            raise ValueError(f"option {key} of channel {name} needs a value, as in {key}={_plain(DEFAULTS[key])}")
        if key in options:
            raise ValueError(f"option {key} of channel {name} is given twice")
        options[key] = _value(name, key, value)
    spec = ChannelSpec(name, **options)
    if "pilots" in options and not spec.estimated:
        raise ValueError(f"channel {name}: pilots has no effect with csi={spec.csi}; use csi=ls or csi=lmmse")
    if spec.snr == "blind" and spec.estimated and not spec.multipath and spec.pilots < 2:
        raise ValueError(f"channel {name}: snr=blind needs pilots=2 or more to tell the noise from h, got 1")
    return spec


def canonical(text: str) -> str:
    """The canonical text of a channel; errors as `parse_channel`."""
    return str(parse_channel(text))


def file_name(text: str) -> str:
    """A channel's text with only letters, digits and `._-` in it; different channels keep different names."""
    for mark, plain in ((":", "--"), (",", "--"), ("=", "-"), ("+", "plus")):
        text = text.replace(mark, plain)
    return text


def describe(name: str) -> str:
    """A channel's options with their defaults and ranges, for people."""
    parts = []
    for key in keys(name):
        if key == "csi":
            parts.append("csi=" + "|".join(csi_choices(name)))
        elif key == "snr":
            parts.append("snr=told|blind|+3|-3")
        else:
            low, high = NUMBERS[key].low, NUMBERS[key].high
            parts.append(f"{key}={_plain(DEFAULTS[key])} ({low:g}..{high:g})")
    return ", ".join(parts)


def meanings() -> dict[str, str]:
    """What each option means, with its unit."""
    numbers = {key: f"{number.meaning}{f' ({number.unit})' * bool(number.unit)}" for key, number in NUMBERS.items()}
    return {**numbers, "csi": "; ".join(f"{value}: {meaning}" for value, meaning in CSI.items()), "snr": SNR}


def _set_keys(spec: ChannelSpec) -> list[str]:
    return [key for key in keys(spec.name) if getattr(spec, key) != DEFAULTS[key]]


def _value(name: str, key: str, text: str) -> float | int | str:
    if key == "csi":
        choices = csi_choices(name)
        if text not in choices:
            why = "; h changes from symbol to symbol and can't be estimated" if name.endswith("_fast") else ""
            raise ValueError(
                f"csi of channel {name} can't be {text!r}{why}: {_nearest(text, choices)}allowed: {', '.join(choices)}"
            )
        return text
    if key == "snr":
        return _snr(name, text)
    number = NUMBERS[key]
    value = _number(text, whole=number.whole)
    if value is None or not number.low <= value <= number.high:
        kind = "whole" if number.whole else "finite"
        unit = f" {number.unit}" if number.unit else ""
        raise ValueError(
            f"{key} of channel {name} must be a {kind} number in {number.low:g}..{number.high:g}{unit}, got {text!r}"
        )
    return value


def _snr(name: str, text: str) -> str:
    offset = _number(text, whole=False)
    if text in ("told", "blind"):
        return text
    if offset is None or text[0] not in "+-" or not -30 <= offset <= 30:
        raise ValueError(
            f"snr of channel {name} must be told, blind, or a signed number of dB in -30..+30 such as +3, got {text!r}"
        )
    return f"{'+' * (offset > 0)}{_plain(offset)}" if offset else "told"


def _number(text: str, *, whole: bool) -> float | int | None:
    """A plain decimal number; None for anything else (nan and inf included)."""
    if not re.fullmatch(r"[+-]?(\d{1,18}\.?\d{0,18}|\.\d{1,18})(e[+-]?\d{1,2})?", text, re.ASCII):
        return None
    value = float(text)
    if whole:
        return int(value) if value.is_integer() else None
    return value if math.isfinite(value) else None


def _plain(value: Any) -> str:
    """Short where that says it all, else with every digit."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _nearest(word: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.4)
    return f"did you mean {near[0]}? " if near else ""
