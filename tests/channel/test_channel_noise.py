"""What the receiver believes of the noise: told, told wrongly, or estimated."""

from __future__ import annotations

import math

import pytest
import torch
from channel_signals import gaussian_symbols, stream

from jscgc.channel.accounting import normalise_power
from jscgc.channel.channels import get_channel
from jscgc.channel.noise import BLIND_SNR_DB, moment_noise_var, noise_variance, pilot_noise_var
from jscgc.channel.receiver import equalise


def test_noise_variance_in_decibels():
    assert noise_variance(torch.tensor([0.0, 10.0, -10.0, 3.0])).tolist() == pytest.approx(
        [1, 0.1, 10, 0.5011872], rel=1e-5
    )


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 15.0])
def test_the_blind_estimate_over_awgn_is_unbiased_with_the_documented_deviation(snr_db):
    count, trials = 100_000, 60
    symbols = normalise_power(gaussian_symbols(1, 1, 1, count)).expand(trials, -1, -1, -1)
    output = get_channel("awgn")(symbols, torch.full((trials,), snr_db), stream())
    noise_var = 10 ** (-snr_db / 10)
    error = moment_noise_var(output.received, output.gain) / noise_var - 1
    deviation = math.sqrt((1 + 2 * 10 ** (snr_db / 10)) / count)
    assert error.mean().item() == pytest.approx(0, abs=4 * deviation / math.sqrt(trials))
    assert error.std().item() == pytest.approx(deviation, rel=0.35)  # 60 trials: 9% deviation of its own


def test_the_blind_estimate_with_one_gain_per_symbol_has_the_documented_deviation():
    count, trials, snr_db = 20_000, 100, 10.0
    symbols = normalise_power(gaussian_symbols(1, 1, 1, count)).expand(trials, -1, -1, -1)
    output = get_channel("rayleigh_fast")(symbols, torch.full((trials,), snr_db), stream())
    noise_var = 10 ** (-snr_db / 10)
    error = moment_noise_var(output.received, output.gain) - noise_var
    fourth = symbols[0].abs().pow(4).mean().item()
    deviation = math.sqrt((2 * noise_var + noise_var**2 + (fourth - 1)) / count)
    assert error.mean().item() == pytest.approx(0, abs=4 * deviation / math.sqrt(trials))
    assert error.std().item() == pytest.approx(deviation, rel=0.3)


@pytest.mark.parametrize("pilots", [2, 8, 50])
def test_the_estimate_from_pilots_is_unbiased_with_the_documented_deviation(pilots):
    noise_var, trials = 0.3, 50_000
    received = 0.7j + math.sqrt(noise_var) * gaussian_symbols(trials, pilots)
    ratio = pilot_noise_var(received, received.mean(1)) / noise_var
    assert ratio.mean().item() == pytest.approx(1, abs=5 / math.sqrt(trials * (pilots - 1)))
    assert ratio.std().item() == pytest.approx(1 / math.sqrt(pilots - 1), rel=0.05)


@pytest.mark.parametrize("name", ["awgn", "rayleigh_block", "rician_fast"])
def test_a_blind_receiver_is_close_to_one_that_is_told(name):
    snr_db = torch.tensor([-3.0, 4.0, 10.0])
    symbols = normalise_power(gaussian_symbols(3, 4, 60, 60))
    told = equalise(get_channel(name)(symbols, snr_db, stream()))
    blind = equalise(get_channel(f"{name}:snr=blind")(symbols, snr_db, stream()))
    assert blind.snr_db.tolist() == pytest.approx(told.snr_db.tolist(), abs=2.0 if "fast" in name else 0.6)
    assert not torch.equal(blind.estimate, told.estimate)


@pytest.mark.parametrize("name", ["awgn", "rayleigh_block:pilots=64,csi=ls", "rayleigh_block:csi=none", "rician_fast"])
def test_a_blind_belief_stays_in_its_range(name):
    joint = "," if ":" in name else ":"
    symbols = normalise_power(gaussian_symbols(4, 2, 3, 3))
    snr_db = torch.tensor([-100.0, -30.0, 60.0, 100.0])
    believed = equalise(get_channel(f"{name}{joint}snr=blind")(symbols, snr_db, stream())).snr_db
    assert believed.min().item() >= BLIND_SNR_DB[0] - 1e-4 and believed.max().item() <= BLIND_SNR_DB[1] + 1e-4
    assert believed[0].item() == pytest.approx(BLIND_SNR_DB[0], abs=1e-3)
    if name == "awgn":
        assert believed[3].item() == pytest.approx(BLIND_SNR_DB[1], abs=1e-3)


@pytest.mark.parametrize("offset", [3, -3])
@pytest.mark.parametrize("name", ["awgn", "rician_block:csi=lmmse", "rayleigh_fast"])
def test_a_misled_receiver_believes_another_snr_while_the_noise_stays_true(name, offset):
    joint = "," if ":" in name else ":"
    symbols, snr_db = gaussian_symbols(2, 2, 5, 5), torch.tensor([0.0, 8.0])
    told = get_channel(name)(symbols, snr_db, stream())
    misled = get_channel(f"{name}{joint}snr={offset:+d}")(symbols, snr_db, stream())
    assert torch.equal(told.received, misled.received)
    assert equalise(misled).snr_db.tolist() == pytest.approx((snr_db + offset).tolist(), abs=1e-4)
    more = equalise(misled).reliability > equalise(told).reliability
    assert more.all() if offset > 0 else not more.any()


def test_telling_the_truth_is_best():
    symbols, snr_db = gaussian_symbols(1, 4, 200, 200), torch.tensor([2.0])
    errors = {
        snr: (equalise(get_channel(f"awgn:snr={snr}")(symbols, snr_db, stream())).estimate - symbols)
        .abs()
        .square()
        .mean()
        .item()
        for snr in ("told", "+3", "-3")
    }
    assert errors["told"] < min(errors["+3"], errors["-3"])


def test_the_gradient_through_a_blind_belief_is_finite():
    symbols = normalise_power(gaussian_symbols(2, 2, 3, 3)).requires_grad_()
    received = equalise(get_channel("rayleigh_fast:snr=blind")(symbols, torch.tensor([0.0, 40.0]), stream()))
    (received.estimate.real.sum() + received.reliability.sum() + received.snr_db.sum()).backward()
    assert torch.isfinite(torch.view_as_real(symbols.grad)).all() and symbols.grad.abs().sum() > 0
