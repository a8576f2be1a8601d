"""A channel: Gaussian noise, and bursts of stronger noise that hit some symbols in a row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jscgc.channel.declaration import SNR, ChannelKind, ChannelSpec, Choice, Number

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from jscgc.channel.base import ChannelOutput

LENGTH = 8
"""Symbols of a burst."""


class Burst:
    """y = x + n, n ~ CN(0, sigma^2), in bursts CN(0, (1 + strength) sigma^2); the SNR is the one outside of bursts."""

    def __init__(self, spec: ChannelSpec) -> None:
        self._spec = spec

    def __call__(self, symbols: Tensor, snr_db: Tensor, rng: Generator) -> ChannelOutput:
        """As `Channel.__call__`; drawn on the CPU, so that a GPU meets the same bursts and noise."""
        import torch

        from jscgc.channel import noise
        from jscgc.channel.base import ChannelOutput

        noise.check_snr(snr_db, len(symbols))
        spec, options, noise_var = self._spec, self._spec.options, noise.noise_variance(snr_db)
        count = symbols[0].numel()
        hit = torch.rand(len(symbols), -(-count // LENGTH), generator=rng) < options["probability"]
        hit = hit.repeat_interleave(LENGTH, dim=1)[:, :count].reshape(symbols.shape).to(symbols.device)
        extra = hit * noise.per_image(noise_var, symbols.ndim) * 10 ** (options["strength_db"] / 10)
        received = noise.add_noise(symbols, noise_var, rng)
        received = received + extra.sqrt() * noise.complex_normal(symbols.shape, rng, symbols)
        gain = torch.ones_like(symbols)
        blind = partial(noise.moment_noise_var, received, gain)
        believed = noise.believed_noise_var(noise_var, spec.snr_offset_db, blind)
        # Where a burst is seen the receiver is not sure of the symbol: so much noise more.
        return ChannelOutput(received, gain, extra * (options["bursts"] == "seen"), believed)

    def overhead(self, data: int) -> int:
        """As `Channel.overhead`: no pilots."""
        return 0


BURST = ChannelKind(
    "burst",
    "Bursts of noise",
    Burst,
    (
        Number(
            "probability", 0.05, 0, 1, "", "share of the symbols that a burst hits", shown="{:.0%} hit", defining=True
        ),
        Number("strength_db", 20.0, 0, 60, "dB", "noise of a burst over the other noise", shown="{:g} dB stronger"),
        Choice("bursts", ("seen", "unseen"), "whether the receiver sees which symbols a burst hits", receiver=True),
        SNR,
    ),
)
