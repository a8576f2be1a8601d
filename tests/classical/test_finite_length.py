"""Mutual information and dispersion of QAM against known values, numerical integration and sionna's demapper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from jscgc.classical.finite_length import ORDERS, bicm, normal_approximation, pam_labels, quadrature, required_snr_db

SNR_DB = np.array([-20.0, -5.0, 0.0, 3.0, 8.0, 13.0, 20.0, 30.0, 45.0])
SNR = 10 ** (SNR_DB / 10)


def binary_awgn(snr: float) -> tuple[float, float]:
    """Capacity and dispersion of +-1 over real AWGN of variance 1 / snr: L ~ N(2 snr, 4 snr)."""

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            density = 1 - np.logaddexp(0, -(2 * snr + 2 * math.sqrt(snr) * z)) / math.log(2)
            return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * density**power

        return quad(integrand, -12, 12, limit=500, points=[-math.sqrt(snr)] if snr < 140 else None)[0]

    return moment(1), moment(2) - moment(1) ** 2


@pytest.mark.parametrize("snr_db", [-15.0, -3.0, 0.0, 4.0, 10.0])
def test_qpsk_is_twice_the_binary_channel(snr_db):
    snr = 10 ** (snr_db / 10)
    found = quadrature(2, np.array([snr]))
    information, dispersion = binary_awgn(snr)
    assert found.information[0] == pytest.approx(2 * information, abs=1e-6)
    assert found.dispersion[0] == pytest.approx(2 * dispersion, abs=1e-5)


def test_half_a_bit_needs_eb_n0_of_0_187_db():
    # For rate 1/2, Es/N0 per complex QPSK symbol (2 coded bits, 1 information bit) equals Eb/N0.
    assert required_snr_db(2, 0.5, 1e15, 0.01) == pytest.approx(0.187, abs=0.002)


@pytest.mark.parametrize("m", ORDERS)
def test_information_is_below_shannon_and_reaches_m(m):
    found = bicm(m, SNR)
    assert (found.information <= np.log2(1 + SNR)).all()
    assert (np.diff(found.information) >= 0).all()
    assert found.information[-1] == pytest.approx(m, abs=1e-6)
    assert (found.dispersion >= 0).all() and found.dispersion[-1] == pytest.approx(0, abs=1e-4)


def test_more_levels_carry_more_only_at_high_snr():
    low, high = (np.array([bicm(m, 10 ** (np.array([db]) / 10)).information[0] for m in ORDERS]) for db in (-5, 25))
    assert (np.diff(low) < 0).all() and (np.diff(high) > 0).all()


def test_qpsk_is_first_order_optimal_at_low_snr():
    snr = np.array([1e-3])
    assert quadrature(2, snr).information[0] / snr[0] == pytest.approx(1 / math.log(2), rel=2e-3)


@pytest.mark.parametrize("m", ORDERS)
def test_the_table_is_the_quadrature(m):
    between = 10 ** (np.linspace(-10.03, 29.97, 9) / 10)
    exact, found = quadrature(m, between), bicm(m, between)
    assert np.abs(exact.information - found.information).max() < 5e-4
    assert np.abs(exact.dispersion - found.dispersion).max() < 5e-3


@pytest.mark.parametrize("m", ORDERS)
def test_labelling_and_moments_are_sionnas(m):
    pytest.importorskip("sionna")
    import torch
    from sionna.phy.mapping import Constellation, Demapper

    points = Constellation("qam", m, device="cpu")().numpy()
    labels = np.arange(2**m)[:, None] >> np.arange(m)[::-1] & 1
    levels, pam_bits = pam_labels(m // 2)
    index = {tuple(bits): level for bits, level in zip(pam_bits.astype(int).tolist(), levels, strict=True)}
    expected = [complex(index[tuple(bits[0::2])], index[tuple(bits[1::2])]) for bits in labels.tolist()]
    assert np.allclose(points, expected, atol=1e-6)

    rng, count, snr = torch.Generator().manual_seed(m), 40_000, 10 ** (0.25 * m)
    sent = torch.randint(0, 2**m, (count,), generator=rng)
    noise = torch.view_as_complex(torch.randn(count, 2, generator=rng)) / math.sqrt(2 * snr)
    ratios = Demapper("app", "qam", m, device="cpu")(torch.from_numpy(points)[sent] + noise, torch.tensor(1 / snr))
    right = ratios.reshape(count, m).double().numpy() * (2 * labels[sent.numpy()] - 1)
    density = (1 - np.logaddexp(0, -right) / math.log(2)).sum(1)
    found = bicm(m, np.array([snr]))
    assert found.information[0] == pytest.approx(density.mean(), abs=5 * density.std() / math.sqrt(count))
    assert found.dispersion[0] == pytest.approx(density.var(), rel=0.1)


def test_normal_approximation_against_its_formula_and_its_limit():
    information, dispersion = np.array([1.0]), np.array([0.6])
    # Q^-1(0.01) = 2.326348
    expected = 1 - math.sqrt(0.6 / 500) * 2.326348 + math.log2(500) / 1000
    assert normal_approximation(information, dispersion, 500, 0.01)[0] == pytest.approx(expected, abs=1e-6)
    assert normal_approximation(information, dispersion, 1e12, 0.01)[0] == pytest.approx(1, abs=1e-5)
    assert normal_approximation(information, dispersion, 4, 0.5)[0] == 1


def test_longer_blocks_need_less():
    needed = [required_snr_db(4, 0.5, symbols, 1e-3) for symbols in (100, 1000, 10_000, 1e9)]
    assert needed == sorted(needed, reverse=True)
    assert 10 ** (needed[-1] / 10) >= 2**2 - 1


@pytest.mark.parametrize("rate", [0.0, 1.0, 1.5, float("nan")])
def test_a_code_rate_beyond_0_to_1_is_an_error(rate):
    with pytest.raises(ValueError, match="code_rate"):
        required_snr_db(2, rate, 100, 0.01)
