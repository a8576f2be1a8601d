"""The information estimator where the information is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from jscgc.flow.gaussian import gaussian_velocity, mmse_posterior
from jscgc.flow.information import mutual_information
from jscgc.information import InformationRate


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=stream(seed))


@pytest.mark.parametrize("c, nats", [(0.5, 0.34657), (0.1, 1.15129), (0.01, 2.30259), (0.001, 3.45388)])
def test_gaussian_data_have_half_the_log_of_the_posterior_variance(c, nats):
    """The checks of docs/theory.md, from as many points of lambda in [-7, 7]."""
    values = 40_000
    noise_var = c / (1 - c)
    x0 = normal(20, values, seed=1)
    mean, variance = mmse_posterior(x0, noise_var, normal(20, values, seed=2))
    assert variance == pytest.approx(c)
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3))
    assert found.nats.mean().item() / values == pytest.approx(nats, rel=0.01)
    assert found.forms.losses.mean().item() / values == pytest.approx(nats, rel=0.01)
    assert found.bits.mean().item() == pytest.approx(found.nats.mean().item() / math.log(2))
    assert found.density.shape == found.log_snr.shape == (20, 50) and found.log_snr.abs().max() <= 7


def test_components_add_up():
    c = torch.tensor([0.5, 0.1, 0.01], dtype=torch.float64)
    x0 = normal(30, 5000, 3, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(30, 5000, 3, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3))
    assert found.nats.mean().item() / 5000 == pytest.approx(-0.5 * c.log().sum().item(), rel=0.01)


C, TRUTH = 0.1, 0.5 * math.log(10)


def measured(bias: float = 0.0, conditional_bias: float = 0.0) -> InformationRate:
    """Bits per value at posterior variance C of a channel that carries just these, with wrong means of the fields."""
    values = 200_000
    x0 = normal(2, values, seed=1)
    mean, _ = mmse_posterior(x0, C / (1 - C), normal(2, values, seed=2))
    other, _ = mmse_posterior(normal(2, values, seed=4), C / (1 - C), normal(2, values, seed=5))
    right, wrong = gaussian_velocity(mean + conditional_bias, C), gaussian_velocity(other + conditional_bias, C)
    found = mutual_information(right, gaussian_velocity(bias, 1.0), x0, stream(3), wrong=wrong)
    assert found.control is not None
    forms = (found.forms.fields, found.forms.losses, found.control.fields, found.control.losses)
    # The capacity with room for the error of so few points.
    return InformationRate(*(form.mean().item() / values for form in forms), 1, 1.01 * TRUTH)


def test_exact_fields_believe_wrong_symbols_and_yet_measure_nothing_in_them():
    """E ln p(x|y') / p(x) = 1 - 1/c - 0.5 ln c by losses: far below 0. The fields differ by as much, which is above capacity, and
    nothing against them."""
    rate = measured()
    against = 1 - 1 / C - 0.5 * math.log(C)
    assert rate.control_bits_losses == pytest.approx(against, rel=0.01) and against < -5 * TRUTH
    assert rate.control_bits == pytest.approx(-against, rel=0.01) and rate.control_bits > rate.capacity_bits
    assert rate.control_excess_bits == pytest.approx(0, abs=0.02)
    assert rate.is_estimate


def test_a_wrong_unconditional_field_inflates_both_forms_alike_and_the_control_tells():
    """By the divergence b^2 / 2 of its N(b, 1) from the data's N(0, 1); the control's forms together are twice that."""
    bias = 0.5
    rate = measured(bias=bias)
    assert rate.bits == pytest.approx(TRUTH + bias**2 / 2, rel=0.01)
    assert rate.bits_losses == pytest.approx(TRUTH + bias**2 / 2, rel=0.01)
    assert rate.control_excess_bits == pytest.approx(bias**2, rel=0.1)
    assert rate.failures == ("control", "capacity")


def test_a_wrong_conditional_field_sets_the_forms_apart_and_the_control_is_blind():
    """By its divergence b^2 / 2c: one form is as much above the truth as the other is below."""
    bias = 0.2
    rate = measured(conditional_bias=bias)
    assert rate.bits == pytest.approx(TRUTH + bias**2 / (2 * C), rel=0.01)
    assert rate.bits_losses == pytest.approx(TRUTH - bias**2 / (2 * C), rel=0.02)
    assert rate.control_excess_bits == pytest.approx(0, abs=0.02)
    assert "forms" in rate.failures and "control" not in rate.failures


def test_wrong_symbols_for_right_ones_are_caught():
    """What the difference of fields alone did not see: it scored them several times above capacity."""
    rate = measured()
    mistaken = replace(rate, bits=rate.control_bits, bits_losses=rate.control_bits_losses)
    assert mistaken.bits > 3 * rate.capacity_bits and "forms" in mistaken.failures and not mistaken.is_estimate


def test_fields_asked_at_once_tell_the_same():
    x0 = normal(2, 100, seed=1)
    told, plain, wrong = (gaussian_velocity(mean, 0.1) for mean in (x0, 0.0, -x0))
    apart = mutual_information(told, plain, x0, stream(3), 6, wrong)
    at_once = mutual_information(
        told, plain, x0, stream(3), 6, wrong, lambda x, t: [plain(x, t), told(x, t), wrong(x, t)]
    )
    assert torch.equal(apart.forms.losses, at_once.forms.losses)
    assert apart.control is not None and at_once.control is not None
    assert torch.equal(apart.control.fields, at_once.control.fields)


def test_the_control_changes_nothing_of_the_rest():
    x0 = normal(2, 100, seed=1)
    fields = gaussian_velocity(x0, 0.1), gaussian_velocity(0.0, 1.0)
    alone, beside = (mutual_information(*fields, x0, stream(3), 6, wrong=wrong) for wrong in (None, fields[1]))
    assert alone.control is None and beside.control is not None
    assert torch.equal(alone.nats, beside.nats) and torch.equal(alone.forms.losses, beside.forms.losses)
    assert torch.equal(alone.density, beside.density)
    # A control that reads no symbols carries nothing, exactly.
    assert beside.control.fields.tolist() == beside.control.losses.tolist() == [0, 0]


def test_the_unweighted_integral_would_be_wrong():
    """What docs/theory.md warns of: the same difference integrated in tau without its weight is no information."""
    c = 0.01
    x0 = normal(20, 2000, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(20, 2000, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3), 200)
    tau = torch.sigmoid(found.log_snr)
    # d tau = tau (1 - tau) d lambda, and the points are 14 / 200 apart.
    unweighted = (found.density / tau**2 * tau * (1 - tau)).sum(1).mean().item() * 14 / 200 / 2000
    assert abs(unweighted / (0.5 * math.log(1 / c)) - 1) > 0.2


def test_a_condition_that_says_nothing_carries_nothing():
    field = gaussian_velocity(0.0, 1.0)
    assert mutual_information(field, field, normal(2, 10, seed=1), stream()).nats.tolist() == [0, 0]


@pytest.mark.parametrize("points", [1, 4, 6])
@pytest.mark.parametrize("c", [0.5, 0.1, 0.01])
def test_few_points_are_right_in_the_mean(c, points):
    """Fixed ones would not be: the trapezoidal rule's four give .19 of the truth at c = .5."""
    images, values = 2000, 200
    x0 = normal(images, values, seed=1)
    mean, _ = mmse_posterior(x0, c / (1 - c), normal(images, values, seed=2))
    found = mutual_information(gaussian_velocity(mean, c), gaussian_velocity(0.0, 1.0), x0, stream(3), points).nats
    truth = -0.5 * math.log(c) * values
    error = found.std().item() / math.sqrt(images)
    assert abs(found.mean().item() - truth) < 4 * error and error < 0.05 * truth


def test_without_points_there_is_no_integral():
    with pytest.raises(ValueError, match="points must be at least 1, got 0"):
        mutual_information(gaussian_velocity(0.0, 1.0), gaussian_velocity(0.0, 1.0), torch.zeros(1, 1), stream(), 0)
