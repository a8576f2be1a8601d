"""Separation (Shannon): an image codec's file, and a channel code that carries it or does not.

`CODEC_capacity`: an ideal code; so many bits arrive without error as the channel's capacity allows. Where every symbol of an
image meets another h, that is the ergodic capacity; where one h holds for an image, the rate is what fails for a share
`OUTAGE` of the images, and it fails for those. `CODEC_ldpc`: 5G's LDPC codes and QAM, real bits and real failures; the
scheme is chosen by the link's law and average SNR, which the transmitter knows, and is a constant of the session.

A receiver whose channel decoder fails shows mid-gray: a file with errors is no picture. Before it is encoded a photo may be
reduced, see `classical.fitting`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from math import floor
from typing import Literal

import torch
from torch import Tensor

from jscgc.channel.accounting import GRID, RATES
from jscgc.channel.capacity import known, outage_capacity
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import parse_channel
from jscgc.classical.codecs import get_codec
from jscgc.classical.fitting import Bits, Tuning, fit, restore
from jscgc.classical.ldpc import transport_block
from jscgc.classical.mcs import choose
from jscgc.data.images import to_photo, to_tensor
from jscgc.errors import CannotOperate
from jscgc.systems.base import Exchanged, Link

GRAY = 0.5
"""What a receiver shows that has no file."""
ROUNDING = 1e-6
"""Bits per symbol by which an ideal code may miss the capacity, which is computed in single precision."""


class Separation:
    """A SeparatedSystem.

    Args:
        name: the method's.
        codec: name of an image codec, see `classical.codecs`.
        code: the channel code.
        tuning: makes the distance by which it is chosen how much a photo is reduced; None: the squared error.
    """

    generative = False
    own_steps: int | None = 0
    multiple = GRID
    rates = RATES  # a file can have any length

    def __init__(
        self,
        name: str,
        codec: str,
        code: Literal["capacity", "ldpc"],
        tuning: Callable[[], Tuning] | None = None,
    ) -> None:
        self.name = name
        self._codec = get_codec(codec)
        self._ideal = code == "capacity"
        self._tuning = tuning

    @cached_property
    def _tuned(self) -> Tuning | None:
        return self._tuning() if self._tuning else None

    def exchange(self, photo: Tensor, link: Link, symbols: int, rng: torch.Generator) -> Exchanged:
        """As `SeparatedSystem.exchange`."""
        height, width = photo.shape[-2:]
        bits, format_, over_the_air = (self._carry_ideally if self._ideal else self._carry)(link, symbols)
        fitted = fit(self._codec, to_photo(photo), bits, self._tuned)
        start = time.perf_counter()
        message = over_the_air(fitted.message, rng)
        shown = (
            torch.full(photo.shape, GRAY)
            if message is None
            else to_tensor(restore(self._codec, message, height, width))
        )
        details = {
            **format_,
            "factor": fitted.factor,
            "quality": fitted.quality,
            "file_bits": len(fitted.message),
            "budget_bits": bits,
        }
        return Exchanged(shown, message is None, details, fitted.encode_ms, 1000 * (time.perf_counter() - start))

    def _carry_ideally(self, link: Link, symbols: int) -> _Carrier:
        rate = outage_capacity(link.channel, link.snr_db)
        spec = parse_channel(link.channel)
        channel = known(spec)

        def over_the_air(message: Bits, rng: torch.Generator) -> Bits | None:
            if spec.kind.averages:
                return message
            sounding = torch.ones(1, 1, 1, symbols, dtype=torch.complex64)
            held = equalise(channel(sounding, torch.tensor([link.snr_db]), rng)).bits.item()
            return message if held >= rate - ROUNDING else None

        format_: dict[str, float | str] = {"bits_per_symbol": rate}
        return floor(symbols * rate), format_, over_the_air

    def _carry(self, link: Link, symbols: int) -> _Carrier:
        scheme = choose(link.channel, link.snr_db, symbols)
        if scheme is None:
            raise CannotOperate(
                f"{self.name}: no modulation and code rate of 5G is expected to arrive with {symbols} symbols over "
                f"{link.channel} at {link.snr_db:g} dB; raise the SNR or the CBR"
            )
        block = transport_block(scheme, symbols)
        channel = get_channel(link.channel)

        def over_the_air(message: Bits, rng: torch.Generator) -> Bits | None:
            sent = block.encode(message).reshape(1, 1, 1, symbols)
            received = equalise(channel(sent, torch.tensor([link.snr_db]), rng))
            return block.decode(received.estimate.flatten(), received.reliability.flatten())

        format_: dict[str, float | str] = {"modulation": f"{2**scheme.order}QAM", "code_rate": scheme.code_rate}
        return block.payload_bits, format_, over_the_air


_Carrier = tuple[int, dict[str, float | str], Callable[[Bits, torch.Generator], Bits | None]]
"""Bits that can be sent, the format they are sent in, and the way of a message over the channel (None: it is lost)."""
