"""A method that needs no training: a reduced photograph, quantised, every bit sent several times by QPSK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jscgc.method import Look, Method

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from jscgc.systems.base import Exchanged, Link

REPEATS, DEPTH, SMALLEST = 3, 4, 4
"""Copies of every bit, bits per value, and pixels below which it is no picture."""


class Repetition:
    """A SeparatedSystem. Its format follows from the photograph's size and the rate, which both sides know."""

    name = "repetition"
    generative = False
    own_steps: int | None = 0
    multiple = 16
    rates = tuple(range(1, 61))

    def exchange(self, photo: Tensor, link: Link, symbols: int, rng: Generator) -> Exchanged:
        """As `SeparatedSystem.exchange`."""
        import time

        import torch
        from torch.nn.functional import interpolate

        from jscgc.channel.channels import get_channel
        from jscgc.channel.receiver import equalise
        from jscgc.systems.base import Exchanged

        start = time.perf_counter()
        size = _size(photo.shape[-2], photo.shape[-1], 2 * symbols // REPEATS)
        levels, places = 2**DEPTH - 1, torch.arange(DEPTH)
        small = interpolate(photo[None].cpu(), size, mode="area")
        bits = ((levels * small).round().long().flatten()[:, None] >> places & 1).flatten()
        sent = torch.zeros(2 * symbols)  # what is left over is padding, and paid for
        sent[: REPEATS * len(bits)] = bits.repeat(REPEATS)  # the whole message again, so that a burst hits one copy
        encoded = time.perf_counter()

        qpsk = torch.view_as_complex((1 - 2 * sent).reshape(1, 1, 1, symbols, 2) / 2**0.5)
        received = equalise(get_channel(link.channel)(qpsk, torch.tensor([link.snr_db]), rng))
        # h* y over the noise's variance: log-likelihood ratios, up to a factor, which add up over the copies.
        soft = received.estimate / (1 - received.reliability).clamp_min(1e-6)
        ratios = torch.view_as_real(soft).flatten()[: REPEATS * len(bits)].reshape(REPEATS, -1).sum(0)
        values = ((ratios < 0).reshape(-1, DEPTH) << places).sum(1) / levels
        shown = interpolate(values.reshape(1, 3, *size), photo.shape[-2:], mode="bilinear")[0]

        details: dict[str, float | str] = {"modulation": "4QAM", "code_rate": 1 / REPEATS, "file_bits": len(bits)}
        times = 1000 * (encoded - start), 1000 * (time.perf_counter() - encoded)
        return Exchanged(shown, False, details, *times)


def _size(height: int, width: int, bits: int) -> tuple[int, int]:
    """Rows and columns of the largest reduced photograph that fits.

    Raises:
        CannotOperate: it is too small.
    """
    from jscgc.errors import CannotOperate

    pixels = bits // (3 * DEPTH)
    if pixels < SMALLEST:
        raise CannotOperate(f"repetition: {pixels} pixels fit and {SMALLEST} are the least; raise the CBR")
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    rows = min(pixels, max(1, round(scale * height)))
    return rows, min(pixels // rows, max(1, round(scale * width)))


METHOD = Method(
    name="repetition",
    label="Repetition code",
    group="separation",
    look=Look("#7d8590", "longdash", "triangle-right"),
    system=Repetition,
)
