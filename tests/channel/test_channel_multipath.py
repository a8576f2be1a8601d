"""3GPP's multipath profiles on the OFDM grid: layout and price, statistics, estimation, and whose randomness it is."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from channel_signals import gaussian_symbols, stream
from hypothesis import given
from hypothesis import strategies as st

from jscgc.channel import declaration, multipath
from jscgc.channel.accounting import bandwidth, normalise_power
from jscgc.channel.channels import get_channel
from jscgc.channel.estimation import least_squares
from jscgc.channel.kinds.multipath import MULTIPATH
from jscgc.channel.noise import BLIND_SNR_DB
from jscgc.channel.ofdm import DATA, PILOTS, SLOT, Grid
from jscgc.channel.receiver import equalise

PROFILES = [kind.name for kind in MULTIPATH]
TO_SYMBOL = 30e3 / (1 + 144 / 2048)
"""OFDM symbols per second."""


def responses(name: str, batch: int, slots: int = 1, seed: int = 0):
    """h on the whole grid, [batch, 14 slots, S]."""
    return get_channel(name)._responses(batch, slots, stream(seed)).flatten(1, 2)


# The grid.


@given(data=st.integers(1, 100_000), subcarriers=st.integers(4, 1024))
def test_every_use_of_the_grid_is_charged(data, subcarriers):
    grid = Grid(subcarriers)
    slots = grid.slots(data)
    assert (slots - 1) * 12 * subcarriers < data <= slots * 12 * subcarriers
    elements = slots * 14 * subcarriers
    assert data + grid.overhead(data) == elements + math.ceil(elements * 144 / 2048)


@pytest.mark.parametrize("data, total", [(1, 959), (768, 959), (769, 1918)])
def test_the_price_of_whole_slots_written_out(data, total):
    # A slot of 64 subcarriers: 896 elements and a cyclic prefix of 63 uses.
    assert data + get_channel("tdl_a").overhead(data) == total
    assert get_channel("tdl_a:csi=lmmse").overhead(data) == get_channel("cdl_e").overhead(data) == total - data


def test_the_bandwidth_of_an_image_includes_the_overhead():
    channel = get_channel("tdl_c")
    spent = bandwidth(512, 768, 2, overhead=channel.overhead)
    assert (spent.data, spent.k, spent.n) == (3072, 4 * 896 + 252, 1179648)
    assert spent.cbr == spent.k / spent.n > 2 / 768


def test_symbols_fill_the_data_elements_in_order():
    grid = Grid(5)
    numbered = torch.arange(2 * 3 * SLOT * 5).reshape(2, 3, SLOT, 5)
    data = grid.data_elements(numbered, torch.Size([2, 2, 3, 11]))
    assert data.shape == (2, 2, 3, 11)
    expected = [element for element in numbered[0].flatten().tolist() if (element // 5) % SLOT not in PILOTS]
    assert data[0].flatten().tolist() == expected[:66]
    assert not set(DATA) & set(PILOTS)


def test_pilots_are_fixed_and_of_unit_power():
    pilots = Grid(64).pilots()
    assert torch.allclose(pilots.abs(), torch.ones(2, 64)) and torch.equal(pilots, Grid(64).pilots())
    assert len(set(pilots.flatten().tolist())) == 4


# Statistics of h.


@pytest.mark.parametrize("name", PROFILES)
def test_h_has_unit_power_and_no_known_phase(name):
    h = responses(f"{name}:subcarriers=16", 1500)[:, 0]
    assert h.abs().square().mean().item() == pytest.approx(1, abs=0.08)
    assert h.mean(0).abs().max().item() < 0.1


@pytest.mark.parametrize("name", ["tdl_a", "tdl_c"])
def test_the_time_correlation_is_clarkes(name):
    speed_mps = 60
    # Three slots: continuous across their borders.
    h = responses(f"{name}:speed_mps={speed_mps},subcarriers=8,delay_spread_ns=1000", 3000, slots=3)
    measured = torch.einsum("btf,bf->t", h, h[:, 0].conj()).div(3000 * 8)
    doppler_hz = speed_mps / 299792458 * 3.5e9
    theory = torch.special.bessel_j0(2 * math.pi * doppler_hz * torch.arange(3 * SLOT) / TO_SYMBOL)
    assert theory.min() < -0.3  # past the first zero
    assert (measured - theory).abs().max().item() < 0.04


@pytest.mark.parametrize("name", ["tdl_b", "tdl_e"])
def test_the_frequency_correlation_is_sionnas(name):
    h = responses(f"{name}:delay_spread_ns=300", 4000)[:, 0]
    measured = torch.einsum("bf,bg->fg", h, h.conj()) / 4000
    with multipath._seeded(0):
        from sionna.phy.ofdm import tdl_freq_cov_mat

        theory = tdl_freq_cov_mat(name[-1].upper(), 30e3, 64, 300e-9, device="cpu")
    assert (measured - theory).abs().max().item() < 0.08  # 4000 draws: deviation 1.6% of an entry
    assert (measured - theory).abs().mean().item() < 0.03


@pytest.mark.parametrize("name", ["tdl_a", "tdl_d"])
def test_what_the_lmmse_receiver_knows_agrees_with_sionnas_covariances(name):
    channel = get_channel(f"{name}:speed_mps=30")
    times, phasors = channel.statistics
    frequency = torch.einsum("p,pf,pg->fg", times[:, 0, 0], phasors, phasors.conj())
    with multipath._seeded(0):
        from sionna.phy.ofdm import tdl_freq_cov_mat, tdl_time_cov_mat

        model = name[-1].upper()
        assert torch.allclose(
            frequency.to(torch.complex64), tdl_freq_cov_mat(model, 30e3, 64, 100e-9, device="cpu"), atol=1e-4
        )
        theory = tdl_time_cov_mat(model, 30.0, 3.5e9, 1 / TO_SYMBOL, SLOT, device="cpu")
    assert torch.allclose(times.sum(0).to(torch.complex64), theory, atol=1e-4)


def test_the_statistics_of_cdl_describe_other_draws():
    name = "cdl_c:speed_mps=30"
    times, phasors = get_channel(name).statistics
    known = torch.einsum("ptu,pf->tuf", times, phasors * phasors[:, :1].conj())  # E h(t, f) h*(u, 0)
    h = responses(name, 2000, seed=5)
    measured = torch.einsum("btf,bu->tuf", h, h[:, :, 0].conj()) / 2000
    assert (measured - known).abs().max().item() < 0.12
    assert (measured - known).abs().mean().item() < 0.03


def test_images_are_independent():
    h = responses("tdl_c:subcarriers=4", 3000)[:, 0, 0]
    for lag in range(1, 4):
        assert (h[lag:] * h[:-lag].conj()).mean().abs().item() < 0.07


# Noise, gradients, reproducibility.


@pytest.mark.parametrize("name", ["tdl_a", "cdl_d:csi=lmmse", "tdl_c:csi=ls,snr=blind"])
def test_noise_power_and_gradient(name):
    snr_db = torch.tensor([0.0, 10.0])
    symbols = gaussian_symbols(2, 2, 60, 60).requires_grad_()
    output = get_channel(name)(symbols, snr_db, stream())
    h = get_channel(name.split(":")[0])(symbols, snr_db, stream()).gain
    noise = (output.received - h * symbols).detach().abs().square().mean((1, 2, 3))
    assert noise.tolist() == pytest.approx([1, 0.1], rel=0.05)
    output.received.real.sum().backward()
    assert torch.allclose(symbols.grad, h.conj(), atol=1e-5)


@given(batch=st.integers(1, 2), planes=st.integers(1, 3), height=st.integers(1, 4), width=st.integers(1, 4))
def test_any_shape_passes_and_keeps_it(batch, planes, height, width):
    symbols = gaussian_symbols(batch, planes, height, width)
    received = equalise(get_channel("tdl_a:subcarriers=4,csi=lmmse")(symbols, torch.full((batch,), 5.0), stream()))
    assert received.estimate.shape == received.reliability.shape == symbols.shape


@pytest.mark.parametrize("name", ["tdl_e", "cdl_a:csi=lmmse", "tdl_b:snr=blind,csi=ls"])
def test_equal_generators_give_equal_outputs_and_nobody_elses_randomness_is_touched(name):
    symbols, snr_db = gaussian_symbols(2, 1, 4, 4), torch.tensor([0.0, 10.0])
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = get_channel(name)(symbols, snr_db, stream(7))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = (get_channel(name)(symbols, snr_db, stream(seed)) for seed in (7, 8))
    assert torch.equal(first.received, again.received) and torch.equal(first.gain, again.gain)
    assert torch.equal(first.gain_var, again.gain_var) and torch.equal(first.noise_var, again.noise_var)
    assert not torch.equal(first.received, other.received)


def test_importing_sionna_disturbs_nothing_either():
    """sionna seeds torch's default generators while it is imported; and our modules do not import it until they must."""
    code = """
import sys, torch
from jscgc.channel import accounting, capacity, channels, estimation, multipath, noise, ofdm, receiver, spec
channel = channels.get_channel("cdl_a:csi=lmmse")
assert "sionna" not in sys.modules and "h5py" not in sys.modules
torch.manual_seed(3)
before = torch.random.get_rng_state()
channel(torch.ones(1, 1, 1, 1, dtype=torch.complex64), torch.zeros(1), torch.Generator().manual_seed(0))
assert "sionna" in sys.modules
assert torch.equal(torch.random.get_rng_state(), before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_without_sionna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(declaration, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"channel tdl_a needs sionna, which is not installed: pip install 'jscgc\[channels\]'"
    ):
        get_channel("tdl_a")


@pytest.mark.parametrize("snr_db", [torch.zeros(3), torch.tensor([0.0, math.nan])])
def test_a_wrong_snr_is_an_error(snr_db):
    with pytest.raises(ValueError, match="snr_db must"):
        get_channel("tdl_a")(gaussian_symbols(2, 1, 2, 2), snr_db, stream())


# What the receiver makes of it.


def errors(name: str, csi: str, snr_db: float, batch: int = 400) -> tuple[float, float]:
    """Measured and reported error variance of h, means over the data of slots that are full."""
    joint = "," if ":" in name else ":"
    symbols, snr = torch.zeros(batch, 1, 2, 384, dtype=torch.complex64), torch.full((batch,), snr_db)
    h = get_channel(name)(symbols, snr, stream(1)).gain
    output = get_channel(f"{name}{joint}csi={csi}")(symbols, snr, stream(1))
    return (output.gain - h).abs().square().mean().item(), output.gain_var.mean().item()


@pytest.mark.parametrize("snr_db", [0.0, 15.0])
@pytest.mark.parametrize(
    "name, csi", [("tdl_a", "ls"), ("tdl_c:speed_mps=30", "lmmse"), ("tdl_d:speed_mps=10", "lmmse"), ("cdl_e", "lmmse")]
)
def test_the_reported_error_variance_is_the_measured_one(name, csi, snr_db):
    measured, reported = errors(name, csi, snr_db)
    # cdl: its statistics are themselves drawn.
    assert measured == pytest.approx(reported, rel=0.06 if "cdl" in name else 0.04)


@pytest.mark.parametrize("name", ["tdl_a:speed_mps=30", "cdl_b"])
def test_lmmse_is_better_than_ls(name):
    for snr_db in (0.0, 20.0):
        assert errors(name, "lmmse", snr_db, 50)[0] < 0.2 * errors(name, "ls", snr_db, 50)[0]


def test_least_squares_is_theory_and_sionnas():
    noise_var = torch.tensor([0.1, 1.0])
    noise = noise_var.sqrt().reshape(2, 1, 1, 1) * gaussian_symbols(2, 400, 2, 64)
    estimate = least_squares(noise, noise_var)  # h = 0: the estimate is its error
    assert torch.allclose(estimate.h.abs().square().mean((1, 3)), estimate.error_var[:, 0, :, 0], rtol=0.05)
    assert estimate.error_var[0, 0, :, 0].tolist()[::13] == pytest.approx([0.1 * 125 / 81] * 2)
    assert torch.allclose(estimate.h[:, :3], _sionna("ls", noise[:, :3], noise_var), atol=1e-5)


@pytest.mark.parametrize("speed_mps, snr_db, gain", [(0, 10.0, 1.0), (3, 20.0, 1.3), (30, 10.0, 2.0)])
def test_the_joint_lmmse_estimate_is_sionnas_where_that_is_exact_and_better_elsewhere(speed_mps, snr_db, gain):
    name = f"tdl_a:speed_mps={speed_mps}"
    channel = get_channel(f"{name},csi=lmmse")
    noise_var = torch.full((60,), 10 ** (-snr_db / 10))
    h = responses(name, 60).unsqueeze(1)
    at_pilots = h[:, :, list(PILOTS)] + noise_var.sqrt().reshape(-1, 1, 1, 1) * gaussian_symbols(60, 1, 2, 64)
    ours = channel._lmmse(at_pilots, noise_var).h
    theirs = _sionna("lmmse", at_pilots, noise_var, speed_mps)
    mine, other = ((estimate - h).abs().square().mean().item() for estimate in (ours, theirs))
    assert mine * gain <= other * 1.02
    if gain == 1:
        assert torch.allclose(ours, theirs, atol=0.01)


def _sionna(kind: str, at_pilots, noise_var, speed_mps: float = 0.0):
    """sionna's estimate from y / p of the same slots: [B, slots, 2, 64] -> [B, slots, 14, 64]."""
    with multipath._seeded(0):
        from sionna.phy.ofdm import (
            LMMSEChannelEstimator,
            LSChannelEstimator,
            PilotPattern,
            ResourceGrid,
            tdl_freq_cov_mat,
            tdl_time_cov_mat,
        )

        mask = torch.zeros(1, 1, SLOT, 64, dtype=torch.int32)
        mask[:, :, list(PILOTS)] = 1
        pattern = PilotPattern(mask, torch.ones(1, 1, 128, dtype=torch.complex64), device="cpu")
        grid = ResourceGrid(SLOT, 64, 30e3, pilot_pattern=pattern, device="cpu")
        if kind == "ls":
            estimator = LSChannelEstimator(grid, interpolation_type="lin", device="cpu")
        else:
            time = tdl_time_cov_mat("A", speed_mps, 3.5e9, 1 / TO_SYMBOL, SLOT, device="cpu")
            frequency = tdl_freq_cov_mat("A", 30e3, 64, 100e-9, device="cpu")
            estimator = LMMSEChannelEstimator(grid, time, frequency, order="t-f", device="cpu")
        slots = at_pilots.shape[1]
        y = at_pilots.new_zeros(len(at_pilots) * slots, 1, 1, SLOT, 64)
        y[:, 0, 0, list(PILOTS)] = at_pilots.flatten(0, 1)
        estimate, _ = estimator(y, noise_var.repeat_interleave(slots))
    return estimate.reshape(-1, slots, SLOT, 64)


@pytest.mark.parametrize("csi, samples", [("perfect", 128), ("ls", 64), ("lmmse", 64)])
def test_the_blind_estimate_has_the_documented_deviation(csi, samples):
    snr_db, batch = 5.0, 1500
    symbols = normalise_power(gaussian_symbols(batch, 1, 2, 384))
    output = get_channel(f"tdl_a:csi={csi},snr=blind")(symbols, torch.full((batch,), snr_db), stream(2))
    ratio = output.noise_var * 10 ** (snr_db / 10)
    assert ratio.mean().item() == pytest.approx(1, abs=0.02)
    assert ratio.std().item() == pytest.approx(1 / math.sqrt(samples), rel=0.1)


def test_lmmse_does_not_take_the_change_of_h_for_noise():
    symbols, snr_db = normalise_power(gaussian_symbols(200, 1, 2, 384)), torch.full((200,), 15.0)
    believed = {
        csi: 1 / get_channel(f"tdl_a:speed_mps=30,csi={csi},snr=blind")(symbols, snr_db, stream()).noise_var.mean()
        for csi in ("ls", "lmmse")
    }
    assert believed["ls"] < 12 < believed["lmmse"]


def test_without_csi_the_receiver_takes_h_for_one_and_its_blind_belief_stays_in_range():
    symbols, snr_db = normalise_power(gaussian_symbols(8, 1, 20, 20)), torch.full((8,), 10.0)
    output = get_channel("tdl_a:csi=none,snr=blind")(symbols, snr_db, stream())
    assert (output.gain == 1).all() and not output.gain_var.any()
    believed = equalise(output).snr_db
    assert believed.min() >= BLIND_SNR_DB[0] - 1e-4 and believed.max() <= BLIND_SNR_DB[1] + 1e-4


@pytest.mark.parametrize("csi", ["ls", "lmmse"])
def test_what_the_receiver_knows_changes_nothing_of_what_arrives(csi):
    symbols, snr_db = gaussian_symbols(2, 1, 9, 9), torch.tensor([0.0, 8.0])
    told = get_channel("tdl_c")(symbols, snr_db, stream())
    misled = get_channel(f"tdl_c:csi={csi},snr=+3")(symbols, snr_db, stream())
    assert torch.equal(told.received, misled.received)
    assert equalise(misled).snr_db.tolist() == pytest.approx([3, 11], abs=1e-4)
    assert not torch.equal(equalise(told).reliability, equalise(misled).reliability)


def test_the_reliability_is_one_minus_the_error_with_estimated_gains():
    symbols = gaussian_symbols(300, 1, 2, 384)
    received = equalise(get_channel("tdl_c:csi=lmmse")(symbols, torch.full((300,), 5.0), stream()))
    error = (received.estimate - symbols).abs().square().mean().item()
    assert error == pytest.approx(1 - received.reliability.mean().item(), rel=0.02)
