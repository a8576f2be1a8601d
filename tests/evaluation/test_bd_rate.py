"""Bandwidth saved at equal quality: closed forms, and the package `bjontegaard`."""

from __future__ import annotations

import bjontegaard
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jscgc.evaluation.bd_rate import cbr_saved

CBR = np.array([1, 2, 8, 32]) / 768
PSNR = np.array([18.0, 20.5, 24.0, 29.0])


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25, 3.0])
@pytest.mark.parametrize("points", [2, 3, 4])
def test_a_factor_in_cbr_is_saved_exactly(factor, points):
    cbr, values = CBR[:points], PSNR[:points]
    found = cbr_saved(factor * cbr, values, cbr, values)
    assert found.share == pytest.approx(1 - factor, abs=1e-12)
    assert found.overlap == pytest.approx(1)


def test_a_straight_line_has_a_closed_form_where_curves_overlap():
    """Values a + b ln CBR and a + d + b ln CBR: d / b in ln CBR, whatever of them was measured."""
    other = 30 + 4 * np.log(CBR)
    ours = 30 + 1.5 + 4 * np.log(CBR[1:])
    found = cbr_saved(CBR[1:], ours, CBR, other)
    assert found.share == pytest.approx(1 - np.exp(-1.5 / 4), abs=1e-12)
    assert found.overlap == pytest.approx((other[-1] - ours[0]) / (ours[-1] - other[0]))


def test_two_methods_whose_advantage_ends_in_the_middle():
    """Lines of different slopes: the mean difference of ln CBR is that in the middle of the common values."""
    found = cbr_saved(np.exp([0.0, 1.0]), np.array([0.0, 1.0]), np.exp([0.2, 2.2]), np.array([0.0, 1.0]))
    assert found.share == pytest.approx(1 - np.exp(0.5 - 1.2))


curve = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.05, 2), min_size=n, max_size=n), st.lists(st.floats(0.05, 3), min_size=n, max_size=n)
    )
)


@given(curve, curve)
def test_it_is_the_package_s_number_and_antisymmetric(first, second):
    cbr, other_cbr = (np.exp(np.cumsum(steps) - 6) for steps, _ in (first, second))
    values, other_values = (20 + np.cumsum(steps) for _, steps in (first, second))
    found = cbr_saved(cbr, values, other_cbr, other_values)
    back = cbr_saved(other_cbr, other_values, cbr, values)
    if not found.overlap:
        assert np.isnan(found.share) and np.isnan(back.share)
        return
    package = bjontegaard.bd_rate(
        other_cbr, other_values, cbr, values, method="pchip", require_matching_points=False, min_overlap=0
    )
    if found.overlap > 1e-6:  # on less the package's difference of integrals has few digits left
        assert -100 * found.share == pytest.approx(package, rel=1e-6, abs=1e-6)
        assert (1 - found.share) * (1 - back.share) == pytest.approx(1, rel=1e-6)
    assert found.overlap == pytest.approx(back.overlap)


def test_curves_apart_or_falling_have_no_number():
    apart = cbr_saved(CBR, PSNR, CBR, PSNR + 20)
    assert np.isnan(apart.share) and apart.overlap == 0
    touching = cbr_saved(CBR, PSNR, CBR, PSNR + PSNR[-1] - PSNR[0])
    assert np.isnan(touching.share) and touching.overlap == 0
    falling = cbr_saved(CBR, PSNR, CBR, np.array([18.0, 21.0, 20.0, 29.0]))
    assert np.isnan(falling.share) and falling.overlap == 0


def test_many_resamples_at_once_are_those_of_one_by_one():
    rng = np.random.default_rng(0)
    ours, other = (PSNR + rng.normal(scale=1.2, size=(200, 4)) for _ in range(2))
    found = cbr_saved(CBR, ours, 1.1 * CBR, other)
    assert found.share.shape == found.overlap.shape == (200,)
    singles = [cbr_saved(CBR, a, 1.1 * CBR, b) for a, b in zip(ours, other, strict=True)]
    np.testing.assert_allclose(found.share, [single.share for single in singles], rtol=1e-12)
    np.testing.assert_allclose(found.overlap, [single.overlap for single in singles], rtol=1e-12)
    assert 0 < np.isnan(found.share).sum() < 100  # some resamples fall
    against_one = cbr_saved(CBR, ours, 1.1 * CBR, PSNR)
    np.testing.assert_allclose(against_one.share[0], cbr_saved(CBR, ours[0], 1.1 * CBR, PSNR).share, rtol=1e-12)


@pytest.mark.parametrize("cbr", [[0.01], [0.02, 0.01], [0.01, 0.01]])
def test_what_is_no_curve_is_refused(cbr):
    with pytest.raises(ValueError, match="two CBRs or more, rising"):
        cbr_saved(cbr, np.arange(len(cbr)), CBR, PSNR)
