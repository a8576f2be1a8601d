"""Equalisation against closed forms and error rates, and the planes that the networks see."""

from __future__ import annotations

import math

import pytest
import torch
from channel_signals import bit_errors, gaussian_symbols, qpsk, stream
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import exp1, ive
from scipy.stats import norm

from jscgc.channel.base import ChannelOutput
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise, features

ALL = ["awgn", "rayleigh_block", "rayleigh_fast", "rician_block:csi=ls", "rician_fast:csi=none"]


def known(received, gain, noise_var: float) -> ChannelOutput:
    return ChannelOutput(received, gain, torch.zeros_like(gain.real), torch.tensor([noise_var]))


def rayleigh_error_rate(snr_db: float) -> float:
    """Each bit of QPSK has half the symbol's SNR g: E Q(sqrt(g |h|^2)) = 0.5 (1 - sqrt((g/2) / (1 + g/2)))."""
    per_bit = 10 ** (snr_db / 10) / 2
    return 0.5 * (1 - math.sqrt(per_bit / (1 + per_bit)))


def rician_error_rate(snr_db: float, k_db: float) -> float:
    """E Q(sqrt(g p)) over the power p = |h|^2 of Rician fading."""
    g, k = 10 ** (snr_db / 10), 10 ** (k_db / 10)

    def integrand(p: float) -> float:
        z = 2 * math.sqrt(k * (k + 1) * p)
        # ive(0, z) = e^-z I_0(z)
        return (k + 1) * math.exp(z - k - (k + 1) * p) * ive(0, z) * norm.sf(math.sqrt(g * p))

    return quad(integrand, 0, 20, limit=200)[0]


@pytest.mark.parametrize("snr_db", [0.0, 4.0, 8.0])
def test_qpsk_over_awgn_has_the_theoretical_error_rate(snr_db):
    bits, symbols = qpsk(1_000_000)
    received = equalise(get_channel("awgn")(symbols, torch.tensor([snr_db]), stream()))
    theory = norm.sf(math.sqrt(10 ** (snr_db / 10)))
    deviation = math.sqrt(theory * (1 - theory) / bits.numel())
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=4 * deviation)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
@pytest.mark.parametrize("name", ["rayleigh_fast", "rician_fast:k_db=0", "rician_fast:k_db=10"])
def test_qpsk_over_fast_fading_has_the_theoretical_error_rate(name, snr_db):
    bits, symbols = qpsk(1_000_000)
    received = equalise(get_channel(name)(symbols, torch.tensor([snr_db]), stream()))
    k_db = float(name.split("=")[1]) if "=" in name else None
    theory = rayleigh_error_rate(snr_db) if k_db is None else rician_error_rate(snr_db, k_db)
    deviation = math.sqrt(theory * (1 - theory) / bits.numel())
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=4 * deviation)


def test_rician_theory_ends_at_rayleigh_and_at_awgn():
    assert rician_error_rate(5.0, -60.0) == pytest.approx(rayleigh_error_rate(5.0), rel=1e-4)
    assert rician_error_rate(5.0, 30.0) == pytest.approx(norm.sf(math.sqrt(10**0.5)), rel=0.02)


@pytest.mark.parametrize("name", ["rayleigh_block", "rician_block:k_db=3"])
def test_qpsk_over_block_fading_has_the_same_error_rate_over_many_images(name):
    bits, symbols = qpsk(400_000)
    received = equalise(get_channel(name)(symbols.reshape(-1, 1, 1, 1), torch.full((400_000,), 5.0), stream()))
    theory = rayleigh_error_rate(5.0) if "rayleigh" in name else rician_error_rate(5.0, 3.0)
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=0.002)


def test_without_csi_a_random_phase_makes_every_bit_a_guess():
    bits, symbols = qpsk(200_000)
    output = get_channel("rayleigh_block:csi=none")(
        symbols.reshape(-1, 1, 1, 1), torch.full((200_000,), 20.0), stream()
    )
    assert bit_errors(bits, equalise(output).estimate) == pytest.approx(0.5, abs=0.005)


def test_equaliser_is_the_lmmse_estimate_written_out_for_one_symbol():
    h, y, noise_var, gain_var = 0.3 - 1.2j, 0.7 + 0.4j, 0.25, 0.1
    output = ChannelOutput(
        torch.full((1, 1, 1, 1), y, dtype=torch.complex64),
        torch.full((1, 1, 1, 1), h, dtype=torch.complex64),
        torch.full((1, 1, 1, 1), gain_var),
        torch.tensor([noise_var]),
    )
    received = equalise(output)
    total = abs(h) ** 2 + gain_var + noise_var
    assert received.estimate.item() == pytest.approx(h.conjugate() * y / total, abs=1e-6)
    assert received.reliability.item() == pytest.approx(abs(h) ** 2 / total, abs=1e-6)


@pytest.mark.parametrize("h", [1.0, 0.5 + 0.5j, 0.05j])
@pytest.mark.parametrize("gain_var", [0.0, 0.3])
def test_equaliser_error_is_that_of_the_lmmse_and_orthogonal_to_what_arrived(h, gain_var):
    noise_var = 0.4
    shape = (1, 4, 250, 250)
    symbols = gaussian_symbols(*shape)
    noise = math.sqrt(noise_var) * gaussian_symbols(*shape, seed=2)
    true = h + math.sqrt(gain_var) * gaussian_symbols(*shape, seed=3)
    gain = torch.full((1, 1, 1, 1), h, dtype=torch.complex64)
    arrived = true * symbols + noise
    output = ChannelOutput(arrived, gain, torch.full((1, 1, 1, 1), gain_var), torch.tensor([noise_var]))
    received = equalise(output)
    error = received.estimate - symbols
    power = abs(h) ** 2
    theory = (gain_var + noise_var) / (power + gain_var + noise_var)
    assert error.abs().square().mean().item() == pytest.approx(theory, rel=0.015)
    # The error and the reliability are two faces of one number.
    assert theory == pytest.approx(1 - received.reliability.mean().item(), rel=1e-4)
    assert (error * arrived.conj()).mean().abs().item() < 0.01


def test_with_estimated_gains_the_reliability_is_still_the_error():
    symbols = gaussian_symbols(20_000, 1, 4, 4)
    output = get_channel("rayleigh_block:pilots=4,csi=lmmse")(symbols, torch.full((20_000,), 5.0), stream())
    received = equalise(output)
    error = (received.estimate - symbols).abs().square().mean().item()
    assert error == pytest.approx(1 - received.reliability.mean().item(), rel=0.02)


@pytest.mark.parametrize("csi", ["ls", "lmmse"])
@pytest.mark.parametrize("snr_db, pilots", [(0.0, 4), (-5.0, 1), (10.0, 2)])
def test_what_estimated_gains_leave_of_a_symbol_is_claimed_exactly(csi, snr_db, pilots):
    """With v the error variance of least squares, |h_hat|^2 / (1 + v) is exponential of mean 1, hence the squared error
    E c / (X + c) = c e^c E1(c) with c = v + (1 + v) sigma^2; at 0 dB with 4 pilots .672 (as if the error were no part of what it
    shows, .596 is claimed)."""
    draws = 100_000
    symbols = gaussian_symbols(draws, 1, 2, 2)
    channel = get_channel(f"rayleigh_block:pilots={pilots},csi={csi}")
    received = equalise(channel(symbols, torch.full((draws,), snr_db), stream()))
    noise_var = 10 ** (-snr_db / 10)
    v = noise_var / pilots
    c = v + (1 + v) * noise_var
    theory = c * math.exp(c) * exp1(c)
    claimed = 1 - received.reliability[:, 0, 0, 0].double()
    assert claimed.mean().item() == pytest.approx(theory, abs=5 * claimed.std().item() / math.sqrt(draws))
    error = (received.estimate - symbols).abs().square().mean().item()
    assert error == pytest.approx(theory, rel=0.015)
    # What is claimed holds at every reliability, not on average alone.
    for part in received.reliability[:, 0, 0, 0].argsort().chunk(4):
        error = (received.estimate[part] - symbols[part]).abs().square().mean().item()
        assert error == pytest.approx(claimed[part].mean().item(), rel=0.03)


@pytest.mark.parametrize("channel", ["rician_block:k_db=3,pilots=2,csi=ls", "tdl_a:csi=ls", "tdl_c:csi=lmmse"])
@pytest.mark.parametrize("snr_db", [-5.0, 5.0])
def test_the_claim_holds_on_every_channel_that_is_estimated(channel, snr_db):
    if "tdl" in channel:
        pytest.importorskip("sionna")
    symbols = gaussian_symbols(*((300, 1, 2, 384) if "tdl" in channel else (100_000, 1, 2, 2)))
    received = equalise(get_channel(channel)(symbols, torch.full((len(symbols),), snr_db), stream()))
    error = (received.estimate - symbols).abs().square().mean().item()
    claimed = 1 - received.reliability.mean().item()
    # Of Rician fading the receiver knows the mean power alone, from which it expects h to vary more than it does.
    assert 0.9 * claimed < error < claimed if "rician" in channel else error == pytest.approx(claimed, rel=0.025)


@pytest.mark.parametrize("name", ALL)
@given(snr_db=st.floats(-30, 40))
def test_reliability_is_a_share(name, snr_db):
    received = equalise(get_channel(name)(gaussian_symbols(2, 2, 3, 3), torch.full((2,), snr_db), stream()))
    assert received.reliability.shape == received.estimate.shape
    assert (received.reliability >= 0).all() and (received.reliability < 1).all()
    assert torch.isfinite(torch.view_as_real(received.estimate)).all()


def test_features_are_real_imaginary_reliability_and_zero_for_what_was_not_sent():
    received = equalise(get_channel("rayleigh_fast")(gaussian_symbols(2, 2, 3, 5), torch.tensor([0.0, 10.0]), stream()))
    planes = features(received, rates=4)
    assert planes.shape == (2, 12, 3, 5) and not planes.is_complex()
    real, imaginary, reliability = planes.split(4, dim=1)
    assert torch.equal(real[:, :2], received.estimate.real)
    assert torch.equal(imaginary[:, :2], received.estimate.imag)
    assert torch.equal(reliability[:, :2], received.reliability)
    for plane in (real, imaginary, reliability):
        assert not plane[:, 2:].any()


def test_an_unsent_symbol_reads_like_one_lost_in_a_fade():
    symbols = gaussian_symbols(1, 2, 3, 3)
    gain = torch.ones_like(symbols)
    gain[:, 1] = 0
    lost = equalise(known(gain * symbols, gain, 0.1))
    sent = equalise(known(symbols[:, :1], gain[:, :1], 0.1))
    assert torch.equal(features(lost, 2), features(sent, 2))


@pytest.mark.parametrize("snr_db", [-5.0, 3.0, 20.0])
def test_bits_are_the_capacity_of_what_was_sent(snr_db):
    shape, snr = (2, 4, 50, 50), 10 ** (snr_db / 10)
    symbols = gaussian_symbols(*shape)
    awgn = equalise(get_channel("awgn")(symbols, torch.full((2,), snr_db), stream()))
    assert awgn.bits.tolist() == pytest.approx([4 * math.log2(1 + snr)] * 2, rel=1e-4)
    # Known h: the ergodic capacity E log2(1 + |h|^2 SNR) of Rayleigh fading is e^(1/SNR) E1(1/SNR) / ln 2.
    faded = equalise(get_channel("rayleigh_fast")(symbols, torch.full((2,), snr_db), stream()))
    assert faded.bits.tolist() == pytest.approx([4 * math.exp(1 / snr) * exp1(1 / snr) / math.log(2)] * 2, rel=0.02)
