"""5G's transport blocks: exact round trips, sionna's own chain as reference, and the threshold that theory expects."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
import torch

from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.classical.finite_length import required_snr_db
from jscgc.classical.ldpc import TransportBlock, transport_block
from jscgc.classical.mcs import GAP_DB, IMAGE_ERROR, SCHEMES, choose, segments

pytest.importorskip("sionna")
SYMBOLS = 3072
# One of each modulation, the lowest (coded bits are repeated) and the highest among them.
SOME = [SCHEMES[index] for index in (0, 5, 12, 21, 36)]


def payload(block: TransportBlock, seed: int) -> bytes:
    return random.Random(seed).randbytes(block.payload_bits // 8)


def bits_of(file: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(file, np.uint8))


def file_of(bits: np.ndarray | None) -> bytes | None:
    return None if bits is None else np.packbits(bits).tobytes()


def send(block: TransportBlock, file: bytes, channel: str, snr_db: float, seed: int) -> bytes | None:
    symbols = block.encode(bits_of(file)).reshape(1, 1, 1, -1)
    rng = torch.Generator().manual_seed(seed)
    received = equalise(get_channel(channel)(symbols, torch.tensor([snr_db]), rng))
    return file_of(block.decode(received.estimate.flatten(), received.reliability.flatten()))


def threshold(scheme, symbols: int) -> float:
    """SNR in dB at which the best codes of the length of the code blocks lose IMAGE_ERROR of the images."""
    cut = segments(scheme, symbols)
    rate, length = cut.block_bits * cut.blocks / cut.coded_bits, cut.coded_bits / scheme.order / cut.blocks
    return required_snr_db(scheme.order, rate, length, IMAGE_ERROR / cut.blocks) - 10 * math.log10(cut.copies)


def arrived(scheme, symbols: int, snr_db: float, trials: int) -> int:
    """How many of so many files arrive; a wrong one never does."""
    block, count = transport_block(scheme, symbols), 0
    for seed in range(trials):
        file = payload(block, seed)
        received = send(block, file, "awgn", snr_db, seed)
        assert received in (None, file)
        count += received is not None
    return count


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme.order}x{1024 * scheme.code_rate:g}")
def test_every_scheme_brings_a_file_and_its_padding(scheme):
    block = TransportBlock(scheme, 700)
    file = payload(block, 1)[:-3]
    symbols = block.encode(bits_of(file))
    assert symbols.shape == (700,) and symbols.dtype == torch.complex64
    assert symbols.abs().square().mean().item() == pytest.approx(1, abs=1e-5)
    assert file_of(block.decode(symbols, torch.full((700,), 0.9999))) == file + b"\0\0\0"
    assert block.payload_bits == segments(scheme, 700).payload_bits


@pytest.mark.parametrize("symbols", [300, 1001, 5000, 30_000])
@pytest.mark.parametrize("scheme", SOME)
def test_any_number_of_symbols(scheme, symbols):
    block = TransportBlock(scheme, symbols)
    file = payload(block, 2)
    assert file_of(block.decode(block.encode(bits_of(file)), torch.full((symbols,), 0.9999))) == file


@pytest.mark.parametrize("scheme", SOME[1:])
def test_the_symbols_and_the_ratios_are_sionna_s(scheme):
    """Without repetition and interleaver, sionna's TBEncoder, Mapper, Demapper and TBDecoder do the same."""
    from sionna.phy.mapping import Demapper, Mapper
    from sionna.phy.nr import TBDecoder, TBEncoder

    block, cut = transport_block(scheme, SYMBOLS), segments(scheme, SYMBOLS)
    options = {"num_bits_per_symbol": scheme.order, "channel_type": "PDSCH", "device": "cpu"}
    with warnings.catch_warnings(action="ignore"):
        encoder = TBEncoder(cut.payload_bits, scheme.order * SYMBOLS, scheme.code_rate, **options)
    file = payload(block, 3)
    bits = torch.from_numpy(np.unpackbits(np.frombuffer(file, np.uint8))).float()
    expected = Mapper("qam", scheme.order, device="cpu")(encoder(bits[None]))[0]
    expected = expected / expected.abs().square().mean().sqrt()
    permutation = block._permutation
    sent = block.encode(bits_of(file))
    assert torch.allclose(sent, expected[permutation], atol=1e-6)

    noise_var = 10 ** (-(threshold(scheme, SYMBOLS) + 1.5) / 10)
    rng = torch.Generator().manual_seed(0)
    noise = torch.view_as_complex(torch.randn(SYMBOLS, 2, generator=rng)) * (noise_var / 2) ** 0.5
    reliability = torch.full((SYMBOLS,), 1 / (1 + noise_var))
    ordered = (expected + noise)[None]
    ratios = Demapper("app", "qam", scheme.order, device="cpu")(ordered, torch.tensor(noise_var))
    found = block._ratios((reliability * (expected + noise))[permutation], reliability)
    assert torch.allclose(found, ratios[0], rtol=1e-3, atol=1e-2)
    decoded, holds = TBDecoder(encoder, num_bp_iter=40, device="cpu")(ratios)
    assert holds.all() and torch.equal(decoded[0], bits)
    assert file_of(block.decode((reliability * (expected + noise))[permutation], reliability)) == file


@pytest.mark.parametrize("scheme", SOME)
def test_a_decibel_and_a_half_decides(scheme):
    assert arrived(scheme, SYMBOLS, threshold(scheme, SYMBOLS) + 1.5, 5) == 5
    assert arrived(scheme, SYMBOLS, threshold(scheme, SYMBOLS) - 1.5, 4) == 0


@pytest.mark.parametrize("scheme", SOME)
def test_the_threshold_is_the_expected_one_within_the_gap(scheme):
    """Nearly all arrive at GAP_DB above what the best code needs, few where the best code loses more than half."""
    assert arrived(scheme, SYMBOLS, threshold(scheme, SYMBOLS) + GAP_DB, 10) >= 9
    assert arrived(scheme, SYMBOLS, threshold(scheme, SYMBOLS) - 0.5, 6) <= 3


def test_repeated_bits_are_spread_over_the_code_blocks():
    """Copies in the first code blocks alone would leave the last ones without."""
    for scheme in (SCHEMES[0], SCHEMES[4]):
        cut = segments(scheme, 40_000)
        assert cut.blocks >= 3 and cut.copies > 1.1
        assert arrived(scheme, 40_000, threshold(scheme, 40_000) + GAP_DB, 3) == 3


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES[::4])
def test_the_waterfall_of_a_large_image(scheme):
    assert arrived(scheme, 24_576, threshold(scheme, 24_576) + GAP_DB, 50) >= 48
    assert arrived(scheme, 24_576, threshold(scheme, 24_576) + 0.1, 8) <= 6


@pytest.mark.parametrize("channel", ["rayleigh_fast", "rician_fast:k_db=3"])
def test_what_is_chosen_arrives_over_fast_fading(channel):
    block = transport_block(choose(channel, 8.0, SYMBOLS), SYMBOLS)
    files = [payload(block, seed) for seed in range(6)]
    assert [send(block, file, channel, 8.0, seed) for seed, file in enumerate(files)] == files


def test_what_is_chosen_for_block_fading_fails_for_a_tenth():
    """P(|h|^2 below what is needed) is OUTAGE less the step between schemes."""
    block = transport_block(choose("rayleigh_block", 12.0, 300), 300)
    file = payload(block, 0)
    received = [send(block, file, "rayleigh_block", 12.0, seed) for seed in range(120)]
    assert set(received) <= {None, file}
    assert 2 <= received.count(None) <= 24


def test_a_scheme_chosen_for_estimated_csi_arrives():
    symbols = 1500
    for channel in ("tdl_a:csi=ls", "rician_block:k_db=15,csi=lmmse"):
        block = transport_block(choose(channel, 16.0, symbols), symbols)
        files = [payload(block, seed) for seed in range(10)]
        received = [send(block, file, channel, 16.0, seed) for seed, file in enumerate(files)]
        assert all(got in (None, file) for got, file in zip(received, files, strict=True))
        assert received.count(None) <= 4


def test_erased_symbols_are_worth_nothing_and_break_nothing():
    """A code of rate 0.37 survives a quarter of its symbols erased, with reliability exactly 0, and not all."""
    block = transport_block(SCHEMES[5], SYMBOLS)
    file = payload(block, 4)
    symbols, reliability = block.encode(bits_of(file)), torch.full((SYMBOLS,), 0.9)
    lost = torch.rand(SYMBOLS, generator=torch.Generator().manual_seed(0)) < 0.25
    assert block._ratios(symbols * ~lost, reliability * ~lost).isfinite().all()
    assert file_of(block.decode(reliability * symbols * ~lost, reliability * ~lost)) == file
    assert block.decode(torch.zeros_like(symbols), torch.zeros(SYMBOLS)) is None
    # Reliability 1: there is no noise at all.
    assert file_of(block.decode(symbols, torch.ones(SYMBOLS))) == file


def test_a_burst_is_spread_over_the_code_blocks():
    scheme, symbols = SCHEMES[8], 30_000
    block = transport_block(scheme, symbols)
    assert segments(scheme, symbols).blocks > 3
    file, reliability = payload(block, 5), torch.full((symbols,), 0.95)
    reliability[:4500] = 0
    assert file_of(block.decode(block.encode(bits_of(file)) * reliability, reliability)) == file


def test_a_file_that_is_too_large_is_an_error():
    block = transport_block(SCHEMES[5], 300)
    with pytest.raises(ValueError, match="does not fit"):
        block.encode(bits_of(bytes(block.payload_bits // 8 + 1)))
