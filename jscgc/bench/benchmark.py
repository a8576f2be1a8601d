"""What a benchmark is, as a declaration that costs no torch, and what several of them have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from jscgc.extras import Needs

Row = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """Under way: `rows` are measured as they are read, `beside` then says what else is to be known, from all of them."""

    title: str
    rows: Iterable[Row]
    beside: Callable[[list[Row]], dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """How two revisions' rows are compared.

    time: the measured column, less is better. names: the columns that tell one row from another. arguments: of a command line,
    those that another revision is to be given too.
    """

    time: str
    names: tuple[str, ...]
    arguments: Callable[[argparse.Namespace], list[str]]

    def key(self, row: Row) -> tuple[Any, ...]:
        """What tells a row from another."""
        return tuple(row[name] for name in self.names)


@dataclass(frozen=True)
class Benchmark:
    """A measurement by name: `jscgc bench NAME`."""

    name: str
    text: str
    """What is measured, one line."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Measurement]
    order: int
    """Among the others in lists."""
    needs: Needs = field(default_factory=dict)
    """Of extras."""
    comparison: Comparison | None = None
    """With other revisions; None: there is none."""


def count(text: str) -> int:
    """A whole number from 1, below 10^9."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def side(text: str) -> int:
    """Pixels, a multiple of 16."""
    pixels = count(text)
    if pixels % 16:
        raise argparse.ArgumentTypeError(f"{text} must be a multiple of 16 pixels")
    return pixels


def machine() -> dict[str, Any]:
    """Where it was measured."""
    import platform

    import torch

    from jscgc.device import resolve_device

    return {
        "device": str(resolve_device("auto")),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def on_air(a: argparse.Namespace, device: Any) -> tuple[dict[str, Any], list[Any]]:
    """The methods asked for, and every CBR with every SNR as links that all of them can send."""
    from jscgc.channel.accounting import parse_rate
    from jscgc.systems.base import Link
    from jscgc.systems.load import load_system

    systems = {name: load_system(name, a.models, device) for name in dict.fromkeys(a.methods)}
    common = tuple(set.intersection(*(set(system.rates) for system in systems.values())))
    return systems, [Link(a.channel, snr, parse_rate(cbr, common)) for cbr in a.cbr for snr in a.snr_db]
