"""Modulation and coding schemes of 5G NR, and the choice of one by a transmitter that knows the link's law alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

from jscgc.channel.base import DRAWS, LEVELS, OUTAGE
from jscgc.channel.capacity import known, snrs
from jscgc.channel.channels import get_channel
from jscgc.channel.declaration import ChannelSpec
from jscgc.channel.receiver import shrunk
from jscgc.channel.spec import parse_channel
from jscgc.classical.finite_length import Floats, bicm, normal_approximation

IMAGE_ERROR = 0.01
"""Share of the images that may be lost to noise (beside OUTAGE, which is lost to fading)."""
GAP_DB = 0.8
"""By how much the LDPC code needs a higher SNR than the best code of its length: measured, 0.5 to 0.8 over all schemes."""
_HIGHEST_RATE = 0.93
"""5G decodes no code block of a higher rate, checksums included."""


@dataclass(frozen=True)
class Mcs:
    """order: bits per symbol m of 2^m-QAM. code_rate: information bits per coded bit."""

    order: int
    code_rate: float

    @property
    def efficiency(self) -> float:
        """Bits per symbol."""
        return self.order * self.code_rate


@dataclass(frozen=True)
class Segments:
    """How 5G cuts a transport block (TS 38.214, section 5.1.3.2, and TS 38.212, section 5.2.2).

    payload_bits: what it carries. blocks: code blocks. block_bits: information bits of each, checksums included. coded_bits: of
    all blocks, before repetition. copies: how often each of them is sent, on average; 1 for all but the lowest code rates.
    """

    payload_bits: int
    blocks: int
    block_bits: int
    coded_bits: int
    copies: float


_CODE_RATES_1024 = {
    2: (120, 157, 193, 251, 308, 379, 449, 526, 602, 679),
    4: (340, 378, 434, 490, 553, 616, 658),
    6: (438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948),
    8: (682.5, 711, 754, 797, 841, 885, 916.5, 948),
}
SCHEMES = tuple(
    sorted(
        (Mcs(order, rate / 1024) for order, rates in _CODE_RATES_1024.items() for rate in rates),
        key=lambda scheme: (scheme.efficiency, scheme.order),
    )
)
"""Tables 5.1.3.1-1 and 5.1.3.1-2 of TS 38.214 together, by spectral efficiency."""


@cache
def load_sionna() -> None:
    """Import sionna, which takes seconds and seeds torch's own random numbers: they are afterwards what they were.

    Raises:
        ValueError: it is not installed.
    """
    if find_spec("sionna") is None:
        raise ValueError("5G's channel code needs sionna, which is not installed: pip install 'jscgc[channels]'")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        import_module("sionna.phy.nr")


@lru_cache(maxsize=1024)
def segments(scheme: Mcs, symbols: int) -> Segments:
    """The transport block of a scheme on so many symbols.

    Raises:
        ValueError: sionna is not installed.
    """
    load_sionna()
    from sionna.phy.nr.utils import calculate_tb_size

    sizes = calculate_tb_size(
        modulation_order=scheme.order,
        target_coderate=scheme.code_rate,
        num_coded_bits=scheme.order * symbols,
        device="cpu",
    )
    payload_bits, block_bits, blocks = (int(size) for size in sizes[:3])
    # The rates of base graphs 1 and 2 (TS 38.212, section 7.2.2) end at 1/3 and 1/5; below, 5G sends coded bits again.
    expansion = 3 if block_bits > 3824 and scheme.code_rate > 0.25 else 5
    longest = expansion * block_bits // scheme.order * scheme.order * blocks
    coded_bits = min(scheme.order * symbols, longest)
    return Segments(payload_bits, blocks, block_bits, coded_bits, scheme.order * symbols / coded_bits)


def choose(channel: str, snr_db: float, symbols: int) -> Mcs | None:
    """The scheme of the largest spectral efficiency that is expected to arrive with `symbols` data symbols per image.

    Each draw of the channel gives a code block the mean over its symbols of the mutual information of QAM, and a dispersion
    that has the symbols' own and their spread; the normal approximation says whether all code blocks get through. They must
    in a share 1 - OUTAGE of the draws, but for IMAGE_ERROR, at an SNR that is lower by GAP_DB. The transmitter knows the
    channel, how the receiver estimates h, and the average SNR, never h.

    Returns:
        None, if not even the most robust scheme is expected to arrive.

    Raises:
        ValueError: an unknown channel, or sionna is not installed.
    """
    return _choose(parse_channel(channel), snr_db, symbols)


@lru_cache(maxsize=1024)
def _choose(spec: ChannelSpec, snr_db: float, symbols: int) -> Mcs | None:
    lowered = _snrs(spec, snr_db) * 10 ** (-GAP_DB / 10)

    @cache
    def moments(order: int, copies: float) -> tuple[Floats, Floats]:
        # Ratios of a bit's copies add up, and so do their SNRs.
        information, dispersion = bicm(order, copies * lowered)
        return information.mean(1), dispersion.mean(1) + information.var(1)

    for scheme in reversed(SCHEMES):
        cut = segments(scheme, symbols)
        length = cut.coded_bits / scheme.order / cut.blocks
        needed = cut.block_bits / length
        if needed > _HIGHEST_RATE * scheme.order:
            continue
        reachable = normal_approximation(*moments(scheme.order, cut.copies), length, IMAGE_ERROR / cut.blocks)
        if np.mean(reachable >= needed) >= 1 - OUTAGE:
            return scheme
    return None


def _snrs(spec: ChannelSpec, snr_db: float) -> Floats:
    """SNRs after equalisation, linear, [D, S] as `capacity.snrs`; an error in h is noise to the receiver."""
    if not spec.estimated:
        return snrs(str(spec), snr_db).numpy()
    told = get_channel(str(spec.but(snr="told")))
    sent, snrs_db = torch.ones(DRAWS, 1, 1, LEVELS, dtype=torch.complex64), torch.full((DRAWS,), snr_db)
    true, estimated = (link(sent, snrs_db, torch.Generator().manual_seed(0)) for link in (known(spec), told))
    gain, gain_var = shrunk(estimated)
    # The same draw: what is believed beyond h itself is its error.
    power = torch.minimum(true.gain.abs(), gain.abs()).square().flatten(1)
    noise_var = estimated.noise_var[:, None] + gain_var.flatten(1)
    return (power / noise_var).double().numpy()
