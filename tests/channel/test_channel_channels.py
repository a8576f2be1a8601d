"""Flat channels against closed forms: power, fading laws, estimation, gradients, reproducibility."""

from __future__ import annotations

import math

import pytest
import torch
from channel_signals import gaussian_symbols, stream
from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel.accounting import normalise_power
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise

FADING = ["rayleigh_block", "rayleigh_fast", "rician_block", "rician_fast"]
ALL = ["awgn", *FADING]
OPTIONS = ["rayleigh_block:csi=ls", "rician_block:csi=lmmse,pilots=3", "rician_fast:csi=none", "awgn:snr=blind"]


def gains(name: str, count: int, seed: int = 0):
    """`count` independent h."""
    shape = (count, 1, 1, 1) if "block" in name else (2, 1, 1, count // 2)
    return get_channel(name)(torch.zeros(shape, dtype=torch.complex64), torch.zeros(shape[0]), stream(seed)).gain


def test_the_default_channels_are_these_formulas_in_this_order_of_draws():
    symbols, snr_db = gaussian_symbols(2, 3, 4, 5), torch.tensor([0.0, 7.0])
    deviation = torch.pow(10.0, -snr_db / 10).sqrt().reshape(2, 1, 1, 1)
    shapes = {"awgn": None, "rayleigh_block": (2, 1, 1, 1), "rayleigh_fast": (2, 3, 4, 5)}
    for name, shape in shapes.items():
        rng = stream(3)

        def draw(shape, rng=rng):
            return torch.view_as_complex(torch.randn((*shape, 2), generator=rng) / math.sqrt(2))

        gain = draw(shape) if shape else torch.ones(2, 1, 1, 1, dtype=torch.complex64)
        expected = gain * symbols + deviation * draw(symbols.shape)
        output = get_channel(name)(symbols, snr_db, stream(3))
        assert torch.equal(output.received, expected) and torch.equal(output.gain, gain)
        assert not output.gain_var.any()


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_noise_power_is_that_of_the_snr_and_half_of_it_on_each_real_axis(snr_db):
    symbols = gaussian_symbols(1, 16, 250, 250)  # 1e6
    noise = get_channel("awgn")(symbols, torch.tensor([snr_db]), stream()).received - symbols
    expected = 10 ** (-snr_db / 10)
    assert noise.abs().square().mean().item() == pytest.approx(expected, rel=0.01)
    assert noise.real.square().mean().item() == pytest.approx(expected / 2, rel=0.01)
    assert noise.imag.square().mean().item() == pytest.approx(expected / 2, rel=0.01)
    assert (noise.real * noise.imag).mean().item() == pytest.approx(0, abs=0.01 * expected)
    assert noise.mean().abs().item() < 5e-3 * math.sqrt(expected)


@pytest.mark.parametrize("name", ["rayleigh_block", "rayleigh_fast"])
def test_rayleigh_gain_is_circular_of_unit_power(name):
    gain = gains(name, 200_000)
    assert gain.numel() == 200_000
    power = gain.abs().square()
    assert power.mean().item() == pytest.approx(1, rel=0.01)
    assert gain.real.square().mean().item() == pytest.approx(0.5, rel=0.015)
    assert gain.mean().abs().item() < 0.01
    # |h|^2 is exponential: P(|h|^2 > 1) = 1/e.
    assert (power > 1).double().mean().item() == pytest.approx(math.exp(-1), abs=0.004)


@pytest.mark.parametrize("kind", ["block", "fast"])
@pytest.mark.parametrize("k_db", [-10, 0, 6, 15])
def test_rician_gain_has_unit_power_and_its_k_factor_comes_back_from_its_moments(kind, k_db):
    gain = gains(f"rician_{kind}:k_db={k_db}", 400_000)
    power = gain.abs().square().double()
    assert power.mean().item() == pytest.approx(1, rel=0.01)
    # var |h|^2 = (2K + 1) / (K + 1)^2, so with g = 1 - var: K / (K + 1) = sqrt(g).
    share = math.sqrt(max(0, 1 - power.var().item()))
    k = 10 ** (k_db / 10)
    assert share == pytest.approx(k / (k + 1), abs=0.02)


def test_the_line_of_sight_has_a_phase_of_its_own_for_every_image():
    block = gains("rician_block:k_db=40", 20_000).flatten()
    assert block.mean().abs().item() < 0.02
    assert block.abs().std().item() < 0.01
    # One phase for all symbols of an image, though each has its own scattered part.
    fast = gains("rician_fast:k_db=20", 20_000).flatten(1)
    assert (fast / fast.mean(1, keepdim=True)).angle().abs().max().item() < 0.5
    assert (fast[0].mean() / fast[1].mean()).angle().abs().item() > 0.01


@pytest.mark.parametrize("name", ["rayleigh_block", "rician_block"])
def test_block_fading_is_one_gain_per_image(name):
    output = get_channel(name)(gaussian_symbols(5, 2, 3, 4), torch.full((5,), 90.0), stream())
    assert output.gain.shape == (5, 1, 1, 1)
    assert len(set(output.gain.flatten().tolist())) == 5
    seen = output.received / gaussian_symbols(5, 2, 3, 4)
    assert torch.allclose(seen, output.gain.expand_as(seen), atol=2e-3)


def test_block_gains_of_batch_mates_are_uncorrelated():
    gain = gains("rayleigh_block", 100_000).flatten()
    for lag in range(1, 6):
        assert (gain[lag:] * gain[:-lag].conj()).mean().abs().item() < 0.015


def test_fast_fading_gains_are_uncorrelated_at_every_lag():
    gain = gains("rayleigh_fast", 200_000)[0].flatten()
    for lag in range(1, 6):
        assert (gain[lag:] * gain[:-lag].conj()).mean().abs().item() < 0.015
    two = get_channel("rayleigh_fast")(torch.zeros(2, 4, 100, 100, dtype=torch.complex64), torch.zeros(2), stream(1))
    assert (two.gain[0] * two.gain[1].conj()).mean().abs().item() < 0.02  # images
    assert (two.gain[:, 0] * two.gain[:, 1].conj()).mean().abs().item() < 0.03  # symbols of one position


@pytest.mark.parametrize("name", ALL)
def test_received_is_gain_times_symbols_plus_noise(name):
    symbols, snr_db = gaussian_symbols(1, 2, 300, 300), torch.tensor([4.0])
    output = get_channel(name)(symbols, snr_db, stream())
    noise = output.received - output.gain * symbols
    assert noise.abs().square().mean().item() == pytest.approx(10**-0.4, rel=0.02)
    assert (noise * (output.gain * symbols).conj()).mean().abs().item() < 0.01


@pytest.mark.parametrize("name", ALL)
def test_every_image_gets_its_own_snr(name):
    snr_db = torch.tensor([-10.0, 0.0, 20.0])
    symbols = gaussian_symbols(3, 4, 100, 100)
    output = get_channel(name)(symbols, snr_db, stream())
    noise = (output.received - output.gain * symbols).abs().square().mean((1, 2, 3))
    assert noise.tolist() == pytest.approx([10, 1, 0.01], rel=0.03)
    assert output.noise_var.tolist() == pytest.approx([10, 1, 0.01], rel=1e-5)
    assert equalise(output).snr_db.tolist() == pytest.approx(snr_db.tolist(), abs=1e-4)
    # Each image is what it would be in a batch with its SNR for all.
    for image, value in enumerate(snr_db):
        alone = get_channel(name)(symbols, value.expand(3), stream())
        assert torch.equal(output.received[image], alone.received[image])


@pytest.mark.parametrize("name", ALL)
@given(low=st.floats(-20, 20), step=st.floats(0.5, 20))
def test_the_snr_is_never_ignored(name, low, step):
    symbols = gaussian_symbols(1, 2, 3, 3)
    first, second = (get_channel(name)(symbols, torch.tensor([snr]), stream()) for snr in (low, low + step))
    assert not torch.equal(first.received, second.received)
    assert (equalise(first).reliability < equalise(second).reliability).all()
    # Same draw, so the noise differs by the factor of the deviations alone.
    noise = [output.received - output.gain * symbols for output in (first, second)]
    assert torch.allclose(noise[0], noise[1] * 10 ** (step / 20), rtol=1e-3, atol=1e-4 * 10 ** ((step - low) / 20))


@pytest.mark.parametrize("name", ALL + OPTIONS)
def test_same_generator_same_draw(name):
    symbols, snr_db = gaussian_symbols(2, 3, 4, 4), torch.tensor([1.0, 5.0])
    first, again, other = (get_channel(name)(symbols, snr_db, stream(seed)) for seed in (7, 7, 8))
    assert torch.equal(first.received, again.received) and torch.equal(first.gain, again.gain)
    assert torch.equal(first.noise_var, again.noise_var)
    assert not torch.equal(first.received, other.received)


@pytest.mark.parametrize("name", ALL + OPTIONS)
@given(batch=st.integers(1, 3), planes=st.integers(1, 3), height=st.integers(1, 3), width=st.integers(1, 3))
def test_gradient_flows_to_the_symbols(name, batch, planes, height, width):
    symbols = gaussian_symbols(batch, planes, height, width).requires_grad_()
    output = get_channel(name)(symbols, torch.full((batch,), 5.0), stream())
    true = get_channel(name.split(":")[0])(symbols, torch.full((batch,), 5.0), stream())
    output.received.real.sum().backward()
    # d Re(h y) / d conj(y): torch's gradient of a real function is conj(h), the true one.
    assert torch.allclose(symbols.grad, true.gain.conj().expand_as(symbols))


@given(scales=st.lists(st.floats(1e-2, 1e3), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_what_an_image_sends_has_unit_power_whoever_is_beside_it(scales, seed):
    symbols = gaussian_symbols(len(scales), 2, 3, 5, seed=seed) * torch.tensor(scales).reshape(-1, 1, 1, 1)
    sent = normalise_power(symbols)
    assert torch.allclose(sent.abs().square().mean((1, 2, 3)), torch.ones(len(scales)), atol=1e-5)
    assert torch.equal(sent[1:], normalise_power(symbols[1:]))


@pytest.mark.parametrize("name", ["rayleigh_block", "rician_block:k_db=0"])
@pytest.mark.parametrize("csi", ["ls", "lmmse"])
@pytest.mark.parametrize("snr_db, pilots", [(-5.0, 4), (5.0, 8), (15.0, 1)])
def test_the_reported_error_variance_is_the_measured_one(name, csi, snr_db, pilots):
    joint = "," if ":" in name else ":"
    symbols, snr = torch.zeros(100_000, 1, 1, 1, dtype=torch.complex64), torch.full((100_000,), snr_db)
    h = get_channel(name)(symbols, snr, stream()).gain
    output = get_channel(f"{name}{joint}pilots={pilots},csi={csi}")(symbols, snr, stream())
    error = (output.gain - h).abs().square().mean().item()
    at_pilots = 10 ** (-snr_db / 10) / pilots
    theory = at_pilots if csi == "ls" else at_pilots / (1 + at_pilots)
    assert error == pytest.approx(theory, rel=0.015)
    assert output.gain_var.flatten().tolist() == pytest.approx([theory] * 100_000, rel=1e-5)


def test_lmmse_is_never_worse_than_ls_and_its_error_is_orthogonal_to_it():
    symbols, snr = torch.zeros(50_000, 1, 1, 1, dtype=torch.complex64), torch.zeros(50_000)
    h = get_channel("rayleigh_block")(symbols, snr, stream()).gain
    errors = {}
    for csi in ("ls", "lmmse"):
        estimate = get_channel(f"rayleigh_block:pilots=2,csi={csi}")(symbols, snr, stream()).gain
        errors[csi] = (estimate - h).abs().square().mean().item()
        correlation = ((estimate - h) * estimate.conj()).mean().abs().item()
        assert (correlation < 0.01) == (csi == "lmmse")
    assert errors["lmmse"] < errors["ls"]


@pytest.mark.parametrize("csi", ["ls", "lmmse", "none"])
def test_what_the_receiver_knows_changes_nothing_of_what_arrives(csi):
    symbols, snr_db = gaussian_symbols(3, 2, 4, 4), torch.tensor([0.0, 5.0, 10.0])
    told = get_channel("rician_block")(symbols, snr_db, stream())
    output = get_channel(f"rician_block:csi={csi}")(symbols, snr_db, stream())
    assert torch.equal(output.received, told.received)
    assert not torch.equal(output.gain, told.gain)
    if csi == "none":
        assert (output.gain == 1).all() and not output.gain_var.any()


@pytest.mark.parametrize(
    "name, uses",
    [
        ("awgn", 0),
        ("rayleigh_fast", 0),
        ("rician_block", 0),
        ("rician_block:csi=none", 0),
        ("rayleigh_block:csi=ls", 8),
        ("rician_block:csi=lmmse,pilots=3", 3),
    ],
)
def test_pilots_are_charged_where_there_are_any(name, uses):
    assert get_channel(name).overhead(1) == get_channel(name).overhead(1000) == uses


@pytest.mark.parametrize("name", ["awgn", "rayleigh_block", "rician_fast"])
@pytest.mark.parametrize(
    "snr_db, said",
    [
        (torch.zeros(3), r"one value per image, shape \[2\], got shape \[3\]"),
        (torch.tensor(0.0), r"got shape \[\]"),
        (torch.zeros(2, 1), r"got shape \[2, 1\]"),
        (torch.tensor([0.0, math.nan]), r"finite numbers of decibels in -100\.\.100, got \[0\.0, nan\]"),
        (torch.tensor([math.inf, 0.0]), "finite"),
        (torch.tensor([0.0, 101.0]), "-100"),
    ],
)
def test_a_wrong_snr_is_an_error(name, snr_db, said):
    with pytest.raises(ValueError, match=said):
        get_channel(name)(gaussian_symbols(2, 1, 2, 2), snr_db, stream())


def test_unknown_channel_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown channel 'rayleigh_blok': did you mean rayleigh_block\?.*awgn"):
        get_channel("rayleigh_blok")
