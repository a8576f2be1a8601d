"""Capacities against closed forms, and the multipath mean against the law it must have."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import exp1

from jscgc.channel.accounting import bandwidth
from jscgc.channel.capacity import ergodic_capacity
from jscgc.flow.information import Forms, Information
from jscgc.information import information_rate


def rayleigh(snr_db: float) -> float:
    """e^(1/g) E1(1/g) / ln 2."""
    g = 10 ** (snr_db / 10)
    return math.exp(1 / g) * float(exp1(1 / g)) / math.log(2)


@pytest.mark.parametrize("snr_db, bits", [(-5, 1218), (0, 3072), (5, 6320), (10, 10627)])
def test_kodak_at_two_symbols_has_the_ceiling_of_the_formula(snr_db, bits):
    assert 3072 * ergodic_capacity("awgn", snr_db) == pytest.approx(bits, abs=1)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 25.0])
@pytest.mark.parametrize("channel", ["rayleigh_block", "rayleigh_fast", "rayleigh_block:csi=lmmse"])
def test_rayleigh_is_its_closed_form(channel, snr_db):
    assert ergodic_capacity(channel, snr_db) == pytest.approx(rayleigh(snr_db), rel=1e-5)


def test_rician_lies_between_rayleigh_and_awgn():
    values = [ergodic_capacity(f"rician_fast:k_db={k}", 10.0) for k in (-30, 0, 6, 12, 40)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(rayleigh(10.0), rel=1e-3)
    assert values[-1] == pytest.approx(math.log2(11), rel=1e-3)


def test_a_tdl_without_line_of_sight_fades_like_rayleigh():
    pytest.importorskip("sionna")
    assert ergodic_capacity("tdl_a", 5.0) == pytest.approx(rayleigh(5.0), rel=0.05)
    assert ergodic_capacity("tdl_a:csi=ls,snr=+3", 5.0) == ergodic_capacity("tdl_a", 5.0)


def test_the_rate_counts_data_symbols_only():
    spent = bandwidth(32, 48, 4, 16, lambda data: 8)
    twelve_bits = Forms(*[12 * torch.tensor([2.0], dtype=torch.float64).log()] * 2)
    found = Information(twelve_bits, twelve_bits, torch.zeros(1, 1), torch.zeros(1, 1))
    rate = information_rate(found, spent, "awgn", 0.0)
    assert rate.uses == 24 and spent.k == 32
    assert rate.capacity_bits == pytest.approx(24)
    assert rate.bits_per_use == pytest.approx(0.5) and rate.efficiency == pytest.approx(0.5)
