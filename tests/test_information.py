"""When what was measured of the information may be called an estimate: the rule, from both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jscgc.channel.accounting import bandwidth
from jscgc.flow.information import Forms, Information
from jscgc.information import InformationRate, information_rate

RATE = InformationRate(
    bits=50.0, bits_losses=48.0, control_bits=400.0, control_bits_losses=-402.0, uses=100, capacity_bits=100.0
)


def test_forms_that_agree_a_silent_control_and_room_below_capacity_are_an_estimate():
    assert RATE.failures == () and RATE.is_estimate


@pytest.mark.parametrize(
    "change, failures",
    [
        ({"bits_losses": 41.0}, ()),
        ({"bits_losses": 39.0}, ("forms",)),
        ({"bits_losses": -50.0}, ("forms",)),
        ({"bits_losses": 61.0}, ()),
        ({"bits_losses": 63.0}, ("forms",)),
        ({"control_bits": 406.0}, ()),
        ({"control_bits": 408.0}, ("control",)),
        ({"control_bits": 396.0}, ("control",)),
        ({"capacity_bits": 49.0}, ("capacity",)),
        ({"bits": 47.0, "capacity_bits": 47.5}, ("capacity",)),
        ({"bits": 20.0, "control_bits": 500.0, "capacity_bits": 10.0}, ("forms", "control", "capacity")),
    ],
)
def test_each_condition_counts(change, failures):
    rate = replace(RATE, **change)
    assert rate.failures == failures and rate.is_estimate == (not failures)


def test_nothing_measured_is_nothing_estimated_right():
    silent = replace(RATE, bits=0.0, bits_losses=0.0, control_bits=0.0, control_bits_losses=0.0)
    assert silent.is_estimate


def test_scores_are_named_as_results_have_them():
    assert RATE.scores() == {
        "information_bits": 50.0,
        "information_bits_losses": 48.0,
        "information_control_bits": 400.0,
        "information_control_bits_losses": -402.0,
        "information_control_excess_bits": -2.0,
        "capacity_bits": 100.0,
        "information_bits_per_use": 0.5,
        "information_efficiency": 0.5,
        "information_is_estimate": 1.0,
    }


def test_nats_become_bits_of_data_symbols():
    nats = torch.log(torch.tensor([2.0], dtype=torch.float64))
    found = Information(Forms(12 * nats, 11 * nats), Forms(3 * nats, -2 * nats), torch.zeros(1, 1), torch.zeros(1, 1))
    rate = information_rate(found, bandwidth(32, 48, 4, 16, lambda data: 8), "awgn", 0.0)
    assert (rate.bits, rate.bits_losses) == pytest.approx((12, 11))
    assert (rate.control_bits, rate.control_bits_losses) == pytest.approx((3, -2))
    assert rate.uses == 24 and rate.capacity_bits == pytest.approx(24)
