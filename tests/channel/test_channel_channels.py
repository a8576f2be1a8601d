"""Channels against closed forms: power, fading laws, error rates, equalisation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from jscgc.channel.channels import (
    ChannelOutput,
    awgn,
    equalise,
    features,
    get_channel,
    noise_variance,
    rayleigh_block,
    rayleigh_fast,
)

ALL = [awgn, rayleigh_block, rayleigh_fast]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_symbols(*shape: int, seed: int = 9) -> Tensor:
    """CN(0,1)."""
    return torch.randn(*shape, dtype=torch.complex64, generator=stream(seed))


def qpsk(count: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Bits [count,2] and unit-power symbols [1,count,1,1], one bit on each real axis."""
    bits = torch.randint(0, 2, (count, 2), generator=stream(seed))
    amplitudes = (2 * bits - 1) / math.sqrt(2)
    return bits, torch.complex(amplitudes[:, 0], amplitudes[:, 1]).reshape(1, -1, 1, 1)


def bit_errors(bits: Tensor, estimate: Tensor) -> float:
    received = torch.view_as_real(estimate.flatten()) > 0
    return (received != bits.bool()).double().mean().item()


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_noise_power_is_that_of_the_snr_and_half_of_it_on_each_real_axis(snr_db):
    symbols = gaussian_symbols(1, 16, 250, 250)  # 1e6
    noise = awgn(symbols, torch.tensor([snr_db]), stream()).received - symbols
    expected = 10 ** (-snr_db / 10)
    assert noise.abs().square().mean().item() == pytest.approx(expected, rel=0.01)
    assert noise.real.square().mean().item() == pytest.approx(expected / 2, rel=0.01)
    assert noise.imag.square().mean().item() == pytest.approx(expected / 2, rel=0.01)
    assert (noise.real * noise.imag).mean().item() == pytest.approx(0, abs=0.01 * expected)
    assert noise.mean().abs().item() < 5e-3 * math.sqrt(expected)


def test_noise_variance_in_decibels():
    assert noise_variance(torch.tensor([0.0, 10.0, -10.0, 3.0])).tolist() == pytest.approx(
        [1, 0.1, 10, 0.5011872], rel=1e-5
    )


def test_awgn_gain_is_one():
    output = awgn(gaussian_symbols(3, 2, 4, 5), torch.zeros(3), stream())
    assert torch.equal(output.gain.expand(3, 2, 4, 5), torch.ones(3, 2, 4, 5, dtype=torch.complex64))


@pytest.mark.parametrize("channel, shape", [(rayleigh_block, (200_000, 1, 1, 1)), (rayleigh_fast, (2, 10, 100, 100))])
def test_rayleigh_gain_is_circular_of_unit_power(channel, shape):
    gain = channel(torch.zeros(shape, dtype=torch.complex64), torch.zeros(shape[0]), stream()).gain
    assert gain.numel() == 200_000
    power = gain.abs().square()
    assert power.mean().item() == pytest.approx(1, rel=0.01)
    assert gain.real.square().mean().item() == pytest.approx(0.5, rel=0.015)
    assert gain.mean().abs().item() < 0.01
    # |h|^2 is exponential: P(|h|^2 > 1) = 1/e.
    assert (power > 1).double().mean().item() == pytest.approx(math.exp(-1), abs=0.004)


def test_block_fading_is_one_gain_per_image():
    output = rayleigh_block(gaussian_symbols(5, 2, 3, 4), torch.full((5,), 90.0), stream())
    assert output.gain.shape == (5, 1, 1, 1)
    assert len(set(output.gain.flatten().tolist())) == 5
    seen = output.received / gaussian_symbols(5, 2, 3, 4)
    assert torch.allclose(seen, output.gain.expand_as(seen), atol=2e-3)


def test_fast_fading_gains_are_uncorrelated_from_symbol_to_symbol():
    gain = rayleigh_fast(torch.zeros(1, 1, 400, 500, dtype=torch.complex64), torch.zeros(1), stream()).gain[0, 0]
    for a, b in [(gain[1:], gain[:-1]), (gain[:, 1:], gain[:, :-1])]:
        assert (a * b.conj()).mean().abs().item() < 0.01
    two = rayleigh_fast(torch.zeros(2, 4, 100, 100, dtype=torch.complex64), torch.zeros(2), stream(1)).gain
    assert (two[0] * two[1].conj()).mean().abs().item() < 0.02  # images
    assert (two[:, 0] * two[:, 1].conj()).mean().abs().item() < 0.03  # symbols of one position


@pytest.mark.parametrize("channel", ALL)
def test_received_is_gain_times_symbols_plus_noise(channel):
    symbols, snr_db = gaussian_symbols(1, 2, 300, 300), torch.tensor([4.0])
    output = channel(symbols, snr_db, stream())
    noise = output.received - output.gain * symbols
    assert noise.abs().square().mean().item() == pytest.approx(10**-0.4, rel=0.02)
    assert (noise * (output.gain * symbols).conj()).mean().abs().item() < 0.01


@pytest.mark.parametrize("channel", ALL)
def test_every_image_gets_its_own_snr(channel):
    snr_db = torch.tensor([-10.0, 0.0, 20.0])
    symbols = gaussian_symbols(3, 4, 100, 100)
    output = channel(symbols, snr_db, stream())
    noise = (output.received - output.gain * symbols).abs().square().mean((1, 2, 3))
    assert noise.tolist() == pytest.approx([10, 1, 0.01], rel=0.03)
    assert output.noise_var.tolist() == pytest.approx([10, 1, 0.01], rel=1e-5)
    assert equalise(output).snr_db.tolist() == pytest.approx(snr_db.tolist(), abs=1e-4)


@pytest.mark.parametrize("channel", ALL)
@given(low=st.floats(-20, 20), step=st.floats(0.5, 20))
def test_the_snr_is_never_ignored(channel, low, step):
    symbols = gaussian_symbols(1, 2, 3, 3)
    first, second = (channel(symbols, torch.tensor([snr]), stream()) for snr in (low, low + step))
    assert not torch.equal(first.received, second.received)
    # Same draw, so the noise differs by the factor of the deviations alone.
    noise = [output.received - output.gain * symbols for output in (first, second)]
    assert torch.allclose(noise[0], noise[1] * 10 ** (step / 20), rtol=1e-3, atol=1e-4 * 10 ** ((step - low) / 20))


@pytest.mark.parametrize("channel", ALL)
def test_same_generator_same_draw(channel):
    symbols, snr_db = gaussian_symbols(2, 3, 4, 4), torch.tensor([1.0, 5.0])
    first, again, other = (channel(symbols, snr_db, stream(seed)).received for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("channel", ALL)
def test_gradient_flows_to_the_symbols(channel):
    symbols = gaussian_symbols(2, 2, 3, 3).requires_grad_()
    output = channel(symbols, torch.tensor([0.0, 10.0]), stream())
    output.received.real.sum().backward()
    # d Re(h y) / d conj(y): torch's gradient of a real function is conj(h).
    assert torch.allclose(symbols.grad, output.gain.conj().expand_as(symbols))


@pytest.mark.parametrize("snr_db", [0.0, 4.0, 8.0])
def test_qpsk_over_awgn_has_the_theoretical_error_rate(snr_db):
    bits, symbols = qpsk(1_000_000)
    received = equalise(awgn(symbols, torch.tensor([snr_db]), stream()))
    theory = norm.sf(math.sqrt(10 ** (snr_db / 10)))
    deviation = math.sqrt(theory * (1 - theory) / bits.numel())
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=4 * deviation)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_qpsk_over_fast_rayleigh_has_the_theoretical_error_rate(snr_db):
    bits, symbols = qpsk(1_000_000)
    received = equalise(rayleigh_fast(symbols, torch.tensor([snr_db]), stream()))
    per_bit = 10 ** (snr_db / 10) / 2
    theory = 0.5 * (1 - math.sqrt(per_bit / (1 + per_bit)))
    deviation = math.sqrt(theory * (1 - theory) / bits.numel())
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=4 * deviation)


def test_qpsk_over_block_rayleigh_has_the_same_error_rate_over_many_images():
    bits, symbols = qpsk(400_000)
    received = equalise(rayleigh_block(symbols.reshape(-1, 1, 1, 1), torch.full((400_000,), 5.0), stream()))
    per_bit = 10**0.5 / 2
    theory = 0.5 * (1 - math.sqrt(per_bit / (1 + per_bit)))
    assert bit_errors(bits, received.estimate) == pytest.approx(theory, abs=0.002)


def test_equaliser_is_the_lmmse_estimate_written_out_for_one_symbol():
    h, y, noise_var = 0.3 - 1.2j, 0.7 + 0.4j, 0.25
    output = ChannelOutput(
        torch.full((1, 1, 1, 1), y, dtype=torch.complex64),
        torch.full((1, 1, 1, 1), h, dtype=torch.complex64),
        torch.tensor([noise_var]),
    )
    received = equalise(output)
    total = abs(h) ** 2 + noise_var
    assert received.estimate.item() == pytest.approx(h.conjugate() * y / total, abs=1e-6)
    assert received.reliability.item() == pytest.approx(abs(h) ** 2 / total, abs=1e-6)


@pytest.mark.parametrize("h", [1.0, 0.5 + 0.5j, 0.05j])
def test_equaliser_error_is_that_of_the_lmmse(h):
    noise_var = 0.4
    symbols = gaussian_symbols(1, 4, 250, 250)
    noise = math.sqrt(noise_var) * gaussian_symbols(1, 4, 250, 250, seed=2)
    gain = torch.full((1, 1, 1, 1), h, dtype=torch.complex64)
    received = equalise(ChannelOutput(gain * symbols + noise, gain, torch.tensor([noise_var])))
    error = (received.estimate - symbols).abs().square().mean().item()
    assert error == pytest.approx(noise_var / (abs(h) ** 2 + noise_var), rel=0.01)
    # The error and the reliability are two faces of one number.
    assert error == pytest.approx(1 - received.reliability.mean().item(), rel=0.01)


@pytest.mark.parametrize("channel", ALL)
@given(snr_db=st.floats(-30, 40))
def test_reliability_is_a_share(channel, snr_db):
    received = equalise(channel(gaussian_symbols(2, 2, 3, 3), torch.full((2,), snr_db), stream()))
    assert received.reliability.shape == received.estimate.shape
    assert (received.reliability >= 0).all() and (received.reliability < 1).all()
    assert torch.isfinite(torch.view_as_real(received.estimate)).all()


def test_features_are_real_imaginary_reliability_and_zero_for_what_was_not_sent():
    received = equalise(rayleigh_fast(gaussian_symbols(2, 2, 3, 5), torch.tensor([0.0, 10.0]), stream()))
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
    lost = equalise(ChannelOutput(gain * symbols, gain, torch.tensor([0.1])))
    sent = equalise(ChannelOutput(symbols[:, :1], gain[:, :1], torch.tensor([0.1])))
    assert torch.equal(features(lost, 2), features(sent, 2))


def test_unknown_channel_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown channel 'rayleigh_blok': did you mean rayleigh_block\?.*awgn"):
        get_channel("rayleigh_blok")
    with pytest.raises(ValueError, match="available: awgn, rayleigh_block, rayleigh_fast"):
        get_channel("")
    assert get_channel("awgn") is awgn
