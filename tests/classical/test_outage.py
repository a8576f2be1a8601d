"""Outage capacity and the power gains behind it, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from jscgc.channel.capacity import OUTAGE, ergodic_capacity, known, outage_capacity, power_gains
from jscgc.channel.channels import get_channel
from jscgc.channel.receiver import equalise
from jscgc.channel.spec import parse_channel

SNRS = [-10.0, 0.0, 13.0]


@pytest.mark.parametrize("snr_db", SNRS)
def test_rayleigh_block_is_its_closed_form(snr_db):
    expected = math.log2(1 - 10 ** (snr_db / 10) * math.log(1 - OUTAGE))
    assert outage_capacity("rayleigh_block", snr_db) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("snr_db", SNRS)
@pytest.mark.parametrize("channel", ["awgn", "rayleigh_fast", "rician_fast:k_db=3"])
def test_what_averages_out_within_an_image_is_ergodic(channel, snr_db):
    assert outage_capacity(channel, snr_db) == ergodic_capacity(channel, snr_db)


def test_rician_block_lies_between_rayleigh_and_awgn():
    values = [outage_capacity(f"rician_block:k_db={k}", 10.0) for k in (-30, 0, 6, 12, 40)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(outage_capacity("rayleigh_block", 10.0), rel=1e-2)
    assert values[-1] == pytest.approx(math.log2(11), rel=0.02)


@pytest.mark.parametrize("channel", ["rayleigh_block", "rician_block:k_db=2"])
def test_the_rate_fails_for_that_share_of_the_images(channel):
    symbols, snr_db = torch.ones(20_000, 1, 1, 1, dtype=torch.complex64), torch.full((20_000,), 5.0)
    held = equalise(get_channel(channel)(symbols, snr_db, torch.Generator().manual_seed(1))).bits
    assert (held < outage_capacity(channel, 5.0)).double().mean().item() == pytest.approx(OUTAGE, abs=0.01)


@pytest.mark.parametrize("channel", ["awgn", "rayleigh_fast", "rayleigh_block", "rician_fast", "rician_block:k_db=10"])
def test_gains_have_mean_one_and_reproduce_the_ergodic_capacity(channel):
    gains = power_gains(channel)
    assert gains.dtype == torch.float64 and gains.min() >= 0
    assert gains.mean().item() == pytest.approx(1, rel=2e-3)
    assert torch.log2(1 + 10 * gains).mean().item() == pytest.approx(ergodic_capacity(channel, 10.0), rel=2e-3)
    images, symbols = gains.shape
    assert (images > 1) == channel.split(":")[0].endswith("_block")
    assert (symbols > 1) == channel.split(":")[0].endswith("_fast")


def test_multipath_averages_within_an_image_and_fades_between_images():
    pytest.importorskip("sionna")
    gains = power_gains("tdl_a")
    assert gains.shape[0] == 200 and 256 <= gains.shape[1] <= 512
    assert gains.mean().item() == pytest.approx(1, rel=0.1)
    assert torch.log2(1 + 10**0.5 * gains).mean().item() == pytest.approx(ergodic_capacity("tdl_a", 5.0), rel=0.01)
    assert outage_capacity("rayleigh_block", 5.0) < outage_capacity("tdl_a", 5.0) < ergodic_capacity("tdl_a", 5.0)
    assert outage_capacity("tdl_a:csi=ls,snr=+3", 5.0) == outage_capacity("tdl_a", 5.0)


def test_the_known_channel_is_the_same_air():
    spec = parse_channel("rayleigh_block:csi=ls,pilots=3,snr=+3")
    symbols, snr_db = torch.ones(4, 1, 1, 5, dtype=torch.complex64), torch.full((4,), 5.0)
    told, other = (
        link(symbols, snr_db, torch.Generator().manual_seed(2)) for link in (known(spec), get_channel(str(spec)))
    )
    assert torch.equal(told.received, other.received)
    assert not told.gain_var.any() and other.gain_var.all()


def test_a_channel_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="unknown channel"):
        outage_capacity("awgm", 0.0)
