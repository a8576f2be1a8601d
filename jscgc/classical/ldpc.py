"""A transport block of 5G NR on complex symbols, by sionna: checksums, LDPC code, rate matching, scrambling, QAM.

    file -> bits -> TBEncoder -> QAM -> repetition -> interleaver -> symbols of unit power
    estimate, reliability -> deinterleaver -> log-likelihood ratios -> code blocks -> belief propagation -> checksums -> file

Bits are float 0 and 1, and log-likelihood ratios are log P(1) / P(0), as sionna has them.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from jscgc.channel.accounting import normalise_power
from jscgc.classical.fitting import Bits
from jscgc.classical.mcs import Mcs, load_sionna, segments
from jscgc.seeding import stream

ROUNDS = (5, 5, 10, 20, 60, 100)
"""Iterations of belief propagation; after each round the code blocks whose checksum holds are done."""
HOPELESS = 40
"""After so many iterations a file of several blocks of which most fail is given up: one lost block loses it."""
_LEAST = 1e-6
"""Reliability and its complement below this count as this."""


class TransportBlock:
    """One file in one transport block over all symbols of an image.

    The symbols are interleaved over the image by a fixed permutation, so that every code block sees all of its fading.

    Args:
        scheme: modulation and code rate.
        symbols: data symbols of the image.
    """

    def __init__(self, scheme: Mcs, symbols: int) -> None:
        load_sionna()
        from sionna.phy.fec.crc import CRCDecoder
        from sionna.phy.fec.ldpc import LDPC5GDecoder
        from sionna.phy.fec.scrambling import Descrambler
        from sionna.phy.mapping import Demapper, Mapper
        from sionna.phy.nr import TBEncoder

        self._order = scheme.order
        cut = segments(scheme, symbols)
        self.payload_bits = cut.payload_bits
        """What a file may have."""
        with warnings.catch_warnings():
            # Checksums bring 5G's highest scheme just beyond 5G's highest code rate, on which sionna remarks.
            warnings.filterwarnings("ignore", "Effective coderate", UserWarning)
            self._encoder = TBEncoder(
                target_tb_size=cut.payload_bits,
                num_coded_bits=cut.coded_bits,
                target_coderate=scheme.code_rate,
                num_bits_per_symbol=scheme.order,
                channel_type="PDSCH",
                device="cpu",
            )
        self._mapper = Mapper("qam", scheme.order, device="cpu")
        # A Gray-labelled QAM is two PAMs: the same ratios from sqrt(points) hypotheses.
        self._demapper = Demapper("app", "pam", scheme.order // 2, device="cpu")
        self._descrambler = Descrambler(self._encoder.scrambler, binary=False, device="cpu")
        self._decoder = LDPC5GDecoder(self._encoder.ldpc_encoder, return_state=True, device="cpu")
        self._tb_check = CRCDecoder(self._encoder.tb_crc_encoder, device="cpu")
        block_crc = self._encoder.cb_crc_encoder
        self._block_check = None if block_crc is None else CRCDecoder(block_crc, device="cpu")
        # Copies are spread evenly over the code blocks.
        self._repetition = torch.arange(symbols) * (self._encoder.n // scheme.order) // symbols
        self._permutation = torch.randperm(symbols, generator=stream(0, "interleaver", symbols))

    @torch.no_grad()
    def encode(self, message: Bits) -> Tensor:
        """At most payload_bits zeros and ones [N], padded with zeros -> symbols complex64 [symbols] of unit mean power.

        Raises:
            ValueError: more.
        """
        if len(message) > self.payload_bits:
            raise ValueError(f"a message of {len(message)} bits does not fit into {self.payload_bits}")
        bits = torch.zeros(1, self.payload_bits)
        bits[0, : len(message)] = torch.from_numpy(message)
        sent: Tensor = self._mapper(self._encoder(bits))
        return normalise_power(sent[:, self._repetition])[0, self._permutation]

    @torch.no_grad()
    def decode(self, estimate: Tensor, reliability: Tensor) -> Bits | None:
        """MMSE estimates complex [symbols] and reliabilities float [symbols] (see `Received`) -> payload; None: it is lost.

        The payload [payload_bits] is the message and its padding.
        """
        bits = self._decode_blocks(self._blocks(self._ratios(estimate, reliability)))
        if bits is None:
            return None
        if self._block_check is not None:
            bits, _ = self._block_check(bits)
        payload, holds = self._tb_check(bits.reshape(1, -1))
        return payload[0].numpy().astype(np.uint8) if holds.all() else None

    def _ratios(self, estimate: Tensor, reliability: Tensor) -> Tensor:
        """Log-likelihood ratios of the coded bits, float [n]; those of a bit's copies add up.

        With rho the reliability, estimate / rho is the symbol and noise of variance (1 - rho) / rho.
        """
        inverse = torch.argsort(self._permutation)
        estimate, reliability = estimate[inverse], reliability[inverse].clamp(_LEAST, 1 - _LEAST)
        unbiased, noise_var = estimate / reliability, (1 - reliability) / reliability
        # PAM of unit power: an axis of the QAM scaled by sqrt(2). [part, symbols]
        axes = 2**0.5 * torch.stack([unbiased.real, unbiased.imag])
        ratios: Tensor = self._demapper(axes.to(torch.complex64), 2 * noise_var.expand_as(axes))
        ratios = rearrange(ratios, "part (symbol bit) -> symbol (bit part)", part=2, symbol=len(estimate))
        return (
            torch.zeros(self._encoder.n // self._order, self._order).index_add_(0, self._repetition, ratios).flatten()
        )

    def _blocks(self, ratios: Tensor) -> Tensor:
        """Descrambled and cut into code blocks [C, n]; what was not sent is 0. As sionna's TBDecoder."""
        encoder = self._encoder
        blocks, length = encoder.num_cbs, encoder.ldpc_encoder.n
        ratios = self._descrambler(ratios[None, None])[0, 0]
        ratios = torch.nn.functional.pad(ratios, (0, blocks * length - len(ratios)))
        return ratios[encoder.output_perm_inv].reshape(blocks, length)

    def _decode_blocks(self, ratios: Tensor) -> Tensor | None:
        """Information bits and checksums [C, k]; None if a checksum fails after all rounds."""
        check = self._block_check or self._tb_check
        decoded = torch.empty(len(ratios), self._encoder.ldpc_encoder.k)
        waiting, state, spent = torch.arange(len(ratios)), None, 0
        for iterations in ROUNDS:
            # The state makes it go on where the last round ended.
            decoded[waiting], state = self._decoder(ratios[waiting], num_iter=iterations, msg_v2c=state)
            _, holds = check(decoded[waiting])
            failed = ~holds.flatten()
            waiting, state = waiting[failed], state[failed]
            spent += iterations
            if not len(waiting):
                return decoded
            if spent >= HOPELESS and len(waiting) > max(1, len(ratios) // 2):
                return None
        return None


@lru_cache(maxsize=8)
def transport_block(scheme: Mcs, symbols: int) -> TransportBlock:
    """The transport block of a scheme on so many symbols; it takes a second to build, so the last few are kept."""
    return TransportBlock(scheme, symbols)
