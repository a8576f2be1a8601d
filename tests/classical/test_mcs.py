"""Modulation and coding schemes against 3GPP's tables, and their choice."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from jscgc.channel.capacity import ergodic_capacity, outage_capacity
from jscgc.classical import mcs
from jscgc.classical.finite_length import required_snr_db
from jscgc.classical.mcs import GAP_DB, IMAGE_ERROR, SCHEMES, choose, segments

pytest.importorskip("sionna")
SYMBOLS = 6144


def test_the_table_is_3gpp_s():
    from sionna.phy.nr.utils import decode_mcs_index

    pairs = [
        decode_mcs_index(index, table_index=table, is_pusch=False)
        for table, size in ((1, 29), (2, 28))
        for index in range(size)
    ]
    expected = {(int(order), round(float(rate) * 1024, 1)) for order, rate in pairs}
    assert {(scheme.order, scheme.code_rate * 1024) for scheme in SCHEMES} == expected
    assert len(SCHEMES) == len(expected)
    assert [scheme.efficiency for scheme in SCHEMES] == sorted(scheme.efficiency for scheme in SCHEMES)


@pytest.mark.parametrize("symbols", [1, 8, 100, 3072, 73728])
def test_segments_carry_about_the_code_rate(symbols):
    for scheme in SCHEMES:
        cut = segments(scheme, symbols)
        assert cut.payload_bits % 8 == 0 and cut.block_bits <= 8448
        assert cut.payload_bits < cut.blocks * cut.block_bits
        assert cut.copies * cut.coded_bits == pytest.approx(scheme.order * symbols)
        assert cut.copies == 1 or scheme.code_rate < 1 / 3
        if symbols >= 3072:
            assert cut.payload_bits == pytest.approx(scheme.efficiency * symbols, rel=0.05)


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 7.0, 15.0, 28.0])
def test_over_awgn_it_is_the_best_that_the_threshold_allows(snr_db):
    chosen = choose("awgn", snr_db, SYMBOLS)

    def arrives(scheme):
        cut = segments(scheme, SYMBOLS)
        rate, length = cut.block_bits * cut.blocks / cut.coded_bits, cut.coded_bits / scheme.order / cut.blocks
        needed = required_snr_db(scheme.order, rate, length, IMAGE_ERROR / cut.blocks)
        return needed - 10 * math.log10(cut.copies) + GAP_DB <= snr_db

    assert chosen == max(filter(arrives, SCHEMES), key=SCHEMES.index, default=None)


@pytest.mark.parametrize("channel", ["awgn", "rayleigh_fast", "rayleigh_block", "rician_block:k_db=6", "tdl_a"])
def test_more_snr_never_chooses_less_and_never_more_than_the_capacity(channel):
    last = 0.0
    for snr_db in range(-12, 40, 4):
        scheme = choose(channel, float(snr_db), SYMBOLS)
        efficiency = 0.0 if scheme is None else scheme.efficiency
        assert (
            last
            <= efficiency
            <= outage_capacity(channel, float(snr_db))
            <= ergodic_capacity(channel, float(snr_db)) + 1e-3
        )
        last = efficiency
    assert last > 4


def test_fading_costs_and_diversity_helps():
    awgn, fast, block = (choose(name, 12.0, SYMBOLS).efficiency for name in ("awgn", "rayleigh_fast", "rayleigh_block"))
    assert awgn > fast > block


def test_a_receiver_that_must_estimate_h_gets_less():
    for channel, options in (("tdl_a", "csi=ls"), ("tdl_c", "csi=lmmse"), ("rayleigh_block", "csi=ls,pilots=1")):
        for snr_db in (0.0, 8.0, 15.0, 25.0):
            known, estimated = (choose(name, snr_db, SYMBOLS) for name in (channel, f"{channel}:{options}"))
            assert (
                (estimated is None)
                if known is None
                else (estimated is None or estimated.efficiency <= known.efficiency)
            )
        assert estimated.efficiency < known.efficiency


def test_nothing_is_chosen_where_nothing_arrives():
    assert choose("awgn", -12.0, SYMBOLS) is None
    assert choose("awgn", 10.0, 4) is None
    assert choose("rayleigh_block", 0.0, SYMBOLS) is None


def test_without_sionna_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mcs, "find_spec", lambda name: None)
    mcs.load_sionna.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'jscgc\[channels\]'"):
        mcs.load_sionna()


def test_sionna_comes_late_and_leaves_torch_s_random_numbers_alone():
    program = (
        "import sys, torch, jscgc.classical.ldpc, jscgc.classical.mcs as mcs; assert 'sionna' not in sys.modules; "
        "torch.manual_seed(1); expected = torch.rand(3); torch.manual_seed(1); mcs.load_sionna(); "
        "assert 'sionna' in sys.modules and torch.equal(torch.rand(3), expected)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
