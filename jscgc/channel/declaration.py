"""What a channel declares: its name, its options, how it is made, what it can carry. No torch here; a channel brings its own.

A channel is a module-level `ChannelKind` in a module of `channel.kinds`, or of a plugin (see `registry`):

    BURST = ChannelKind("burst", "Bursts of noise", channel=Burst, options=(Number("probability", 0.1, 0, 1), SNR))
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from jscgc.registry import nearest

if TYPE_CHECKING:
    from jscgc.channel.base import Channel, Law

ESTIMATES = {
    "perfect": "the receiver knows h",
    "ls": "least-squares estimate from the pilots",
    "lmmse": "linear MMSE estimate from the pilots and the channel's statistics",
    "none": "the receiver takes h = 1",
}
"""What a receiver may know of h (csi=...)."""


class Option(Protocol):
    """One `key=value` of a channel's text.

    key, meaning: for people, with the unit. default: None where it must be given; then it is its channel's first option and
    stands there without its key, as in `trace:NAME`. receiver: whether it says what the receiver knows, and nothing of what
    the air does; its default is then to know all that can be known. usage: what may stand behind `key=`.
    """

    @property
    def key(self) -> str: ...
    @property
    def default(self) -> Any: ...
    @property
    def meaning(self) -> str: ...
    @property
    def receiver(self) -> bool: ...
    @property
    def usage(self) -> str: ...

    def read(self, text: str) -> Any:
        """The value; `plain` of it is the canonical text (`A-Za-z0-9._+-` only: it becomes a file's name).

        Raises:
            ValueError: what it must be; the message continues `KEY of channel NAME`.
        """
        ...

    def label(self, value: Any) -> str:
        """For people; empty where it need not be said."""
        ...


@dataclass(frozen=True)
class Number:
    """An option that is a number in low..high; without a unit it is a count or a share.

    shown: a format for labels, such as `{:g} ns`. defining: labels have it even if it is the default.
    """

    key: str
    default: float
    low: float
    high: float
    unit: str = ""
    what: str = ""
    whole: bool = False
    shown: str = ""
    defining: bool = False
    receiver: bool = False

    @property
    def meaning(self) -> str:
        return f"{self.what}{f' ({self.unit})' * bool(self.unit)}"

    @property
    def usage(self) -> str:
        return f"{plain(self.default)} ({self.low:g}..{self.high:g})"

    def read(self, text: str) -> float | int:
        value = decimal(text, whole=self.whole)
        if value is None or not self.low <= value <= self.high:
            kind, unit = "whole" if self.whole else "finite", f" {self.unit}" if self.unit else ""
            raise ValueError(f"must be a {kind} number in {self.low:g}..{self.high:g}{unit}, got {text!r}")
        return value

    def label(self, value: Any) -> str:
        if value == self.default and not self.defining:
            return ""
        return (self.shown or f"{self.key} = {{:g}} {self.unit}".rstrip()).format(value)


@dataclass(frozen=True)
class Choice:
    """An option that is one of some words, the first by default. why: why there are no others. labels: by word, for people."""

    key: str
    words: tuple[str, ...]
    meaning: str
    why: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    receiver: bool = False

    @property
    def default(self) -> str:
        return self.words[0]

    @property
    def usage(self) -> str:
        return "|".join(self.words)

    def read(self, text: str) -> str:
        if text not in self.words:
            why = f"; {self.why}" if self.why else ""
            raise ValueError(f"can't be {text!r}{why}: {nearest(text, self.words)}allowed: {', '.join(self.words)}")
        return text

    def label(self, value: Any) -> str:
        return "" if value == self.default else self.labels.get(value, f"{self.key} {value}")


@dataclass(frozen=True)
class Belief:
    """What the receiver believes of the SNR."""

    key = "snr"
    default = "told"
    receiver = True
    usage = "told|blind|+3|-3"
    meaning = "told (the receiver knows the SNR), blind (it estimates it), or +3, -3, ... (it believes that many dB more or less)"

    def read(self, text: str) -> str:
        offset = decimal(text, whole=False)
        if text in ("told", "blind"):
            return text
        if offset is None or text[0] not in "+-" or not -30 <= offset <= 30:
            raise ValueError(f"must be told, blind, or a signed number of dB in -30..+30 such as +3, got {text!r}")
        return f"{'+' * (offset > 0)}{plain(offset)}" if offset else "told"

    def label(self, value: Any) -> str:
        return {"told": "", "blind": "blind SNR"}.get(value, f"SNR believed {value} dB")


SNR = Belief()
CSI_MEANING = "; ".join(f"{value}: {meaning}" for value, meaning in ESTIMATES.items())
CSI_LABELS = {"none": "no CSI", "ls": "LS CSI", "lmmse": "LMMSE CSI"}


def csi(*estimates: str, why: str = "") -> Choice:
    """What the receiver can know of h: some of ESTIMATES, the first by default; `why` there are no others."""
    return Choice("csi", estimates, CSI_MEANING, why, CSI_LABELS, receiver=True)


@dataclass(frozen=True, eq=False)
class ChannelKind:
    """A channel that can be named.

    name: in texts. label: for people. channel: makes it. options: in canonical order.

    law: what it can carry; without it that is measured, on draws. averages: whether every image meets all that the channel
    does, so that below the ergodic capacity none is lost to it.
    check: raises ValueError (`channel NAME: ...`) for an impossible combination; it gets the keys that were given.
    needs: a package, and how to install it. order: where it is listed.
    identity: of a channel that reads a file: its short name and checksum, never its path. It stands in the keys of results.
    """

    name: str
    label: str
    channel: Callable[[ChannelSpec], Channel]
    options: tuple[Option, ...] = ()
    law: Callable[[ChannelSpec], Law] | None = None
    averages: bool = False
    check: Callable[[ChannelSpec, Collection[str]], None] = lambda spec, given: None
    needs: tuple[str, str] | None = None
    identity: Callable[[ChannelSpec], str] = lambda spec: ""
    order: int = 100

    def missing(self) -> str | None:
        """What to do to have it; None if it can run."""
        return self.needs[1] if self.needs and find_spec(self.needs[0]) is None else None


@dataclass(frozen=True)
class ChannelSpec:
    """A channel with its options, and what its receiver knows; made by `spec.parse_channel`, which checks it.

    options: the value of every option of the kind, by key, in canonical order. The text is the canonical one: options that
    are the default are left out.
    """

    kind: ChannelKind
    options: Mapping[str, Any] = field(hash=False)

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def csi(self) -> str:
        """What the receiver knows of h, one of ESTIMATES."""
        return str(self.options.get("csi", "perfect"))

    @property
    def snr(self) -> str:
        """What the receiver believes of the SNR, as `Belief` writes it."""
        return str(self.options.get("snr", "told"))

    @property
    def estimated(self) -> bool:
        """Whether the receiver's h comes from pilots."""
        return self.csi in ("ls", "lmmse")

    @property
    def snr_offset_db(self) -> float | None:
        """By how much the receiver overrates the SNR, in dB; None: it estimates the SNR itself."""
        return None if self.snr == "blind" else 0.0 if self.snr == "told" else float(self.snr)

    @property
    def informed(self) -> ChannelSpec:
        """The same air, and a receiver that knows all that can be known."""
        return self.but(**{option.key: option.default for option in self.kind.options if option.receiver})

    def but(self, **options: Any) -> ChannelSpec:
        """The same with other values of some options; those that it has not are left out."""
        return replace(self, options={key: options.get(key, value) for key, value in self.options.items()})

    def __str__(self) -> str:
        values = ((option, self.options[option.key]) for option in self.kind.options)
        given = [
            plain(value) if option.default is None else f"{option.key}={plain(value)}"
            for option, value in values
            if value != option.default
        ]
        return f"{self.name}:{','.join(given)}" if given else self.name


def decimal(text: str, *, whole: bool) -> float | int | None:
    """A plain decimal number, -0 as 0; None for anything else (nan and inf included)."""
    if not re.fullmatch(r"[+-]?(\d{1,18}\.?\d{0,18}|\.\d{1,18})(e[+-]?\d{1,2})?", text, re.ASCII):
        return None
    value = float(text) + 0.0
    if whole:
        return int(value) if value.is_integer() else None
    return value if math.isfinite(value) else None


def plain(value: Any) -> str:
    """Short where that says it all, else with every digit."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
