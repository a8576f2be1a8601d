"""Channels by text: `NAME` or `NAME:key=value,key=value`, such as `awgn` or `tdl_c:delay_spread_ns=300,csi=lmmse`.

The one grammar of params.yaml, the command line and results.csv. `str(parse_channel(text))` is the canonical text: keys
in the order that the channel declares, defaults omitted, so equal channels have equal names. Which channels and options there
are is declared in `channel.kinds`. No torch here: `--help` and the report read it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jscgc.channel.declaration import ChannelKind, ChannelSpec, plain
from jscgc.registry import Registry, nearest

KINDS = Registry("channel", ChannelKind, "jscgc.channel.kinds", "jscgc.channels")


def names() -> tuple[str, ...]:
    """Every channel, in the order in which they are listed."""
    return KINDS.names


def parse_channel(text: str) -> ChannelSpec:
    """The channel that a text names.

    Raises:
        ValueError: a name, key or value that does not exist (with the nearest and what is allowed), a number out of
            range, a combination that is impossible.
    """
    name, colon, rest = text.partition(":")
    kind = KINDS[name]
    options = {option.key: option for option in kind.options}
    first = next((key for key, option in options.items() if option.default is None), None)
    given: dict[str, Any] = {}
    for place, item in enumerate(rest.split(",") if colon else ()):
        unnamed = first and not place and "=" not in item
        key, equals, value = (first, "=", item) if first and unnamed else item.partition("=")
        if key not in options:
            raise ValueError(
                f"unknown option {key!r} of channel {name}: {nearest(key, options)}available: {', '.join(options)}"
            )
        if not equals or not value:
            example = options[key].usage if key == first else plain(options[key].default)
            raise ValueError(f"option {key} of channel {name} needs a value, as in {key}={example}")
        if key in given:
            raise ValueError(f"option {key} of channel {name} is given twice")
        try:
            given[key] = options[key].read(value)
        except ValueError as error:
            raise ValueError(f"{key} of channel {name} {error}") from None
    if first and first not in given:
        raise ValueError(f"channel {name} needs its {first}, as in {name}:{options[first].usage}")
    spec = ChannelSpec(kind, {key: given.get(key, option.default) for key, option in options.items()})
    kind.check(spec, given)
    return spec


def canonical(text: str) -> str:
    """The canonical text of a channel; errors as `parse_channel`."""
    return str(parse_channel(text))


def told(text: str) -> str:
    """The same channel for a receiver that is told the SNR: what a model is trained over, whatever it believes later."""
    spec = parse_channel(text)
    return str(replace(spec, options={**spec.options, **({"snr": "told"} if "snr" in spec.options else {})}))


def file_name(text: str) -> str:
    """A channel's or method's text with only letters, digits and `._-` in it; different ones keep different names."""
    for mark, plainly in ((":", "--"), (",", "--"), ("=", "-"), ("+", "plus")):
        text = text.replace(mark, plainly)
    return text


def identity(text: str) -> str:
    """Short name and checksum of the file that a channel reads, for the keys of results; empty if it reads none."""
    spec = parse_channel(text)
    return spec.kind.identity(spec)


def label(text: str) -> str:
    """The channel for people, `TDL-C, 300 ns, LMMSE CSI`: what defines it, then what is not default; a stranger as it is."""
    try:
        spec = parse_channel(text)
    except ValueError:
        return text
    parts = [spec.kind.label, *(option.label(spec.options[option.key]) for option in spec.kind.options)]
    return ", ".join(filter(None, parts))


def rank(text: str) -> tuple[int, str]:
    """Sorts texts of channels: in the order of `names`, a channel's variants together, strangers last."""
    name = text.partition(":")[0]
    return (names().index(name) if name in KINDS else len(names()), text)


def describe(name: str) -> str:
    """A channel's options with their defaults and ranges, for people."""
    return ", ".join(f"{option.key}={option.usage}" for option in KINDS[name].options)


def meanings() -> dict[str, str]:
    """What each option means, with its unit: those of the air first, then the receiver's."""
    texts_of: dict[str, dict[str, None]] = {}
    for option in sorted((option for kind in KINDS for option in kind.options), key=lambda option: option.receiver):
        texts_of[option.key] = {**texts_of.pop(option.key, {}), option.meaning: None}
    return {key: "; or ".join(texts) for key, texts in texts_of.items()}
