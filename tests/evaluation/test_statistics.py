"""Bootstrap intervals against closed forms and a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from jscgc.evaluation.statistics import (
    Interval,
    hierarchical_interval,
    paired_difference,
    paired_differences,
    resampling_weights,
    sign_flip_p_values,
)


def of_images(values: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Of images with one draw each."""
    return hierarchical_interval(np.reshape(values, (-1, 1)), level, draws, seed)


def test_width_is_that_of_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=400)
    interval = of_images(values)
    expected = 2 * 1.96 * values.std() / math.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(expected, rel=0.06)


def test_coverage() -> None:
    rng = np.random.default_rng(2)
    intervals = [of_images(rng.normal(size=30), draws=300, seed=i) for i in range(300)]
    assert 0.89 <= np.mean([not i.excludes(0) for i in intervals]) <= 0.985


def test_hierarchical_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(12, 1)) + 0.5 * rng.normal(size=(12, 4))
    matrix[3, 1:] = np.nan
    rows = [row[np.isfinite(row)] for row in matrix]
    means = []
    for _ in range(4000):
        chosen = [rows[i] for i in rng.integers(12, size=12)]
        means.append(np.mean([rng.choice(row, size=len(row)).mean() for row in chosen]))
    low, high = np.quantile(means, [0.025, 0.975])
    interval = hierarchical_interval(matrix, draws=4000)
    assert interval.mean == pytest.approx(np.mean([row.mean() for row in rows]))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.05)
    assert (interval.count, interval.dropped) == (45, 3)


def test_draws_of_one_image_are_no_images() -> None:
    images = np.random.default_rng(4).normal(size=(10, 1))
    clustered = hierarchical_interval(np.repeat(images, 50, axis=1))
    naive = of_images(np.repeat(images, 50))
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_deterministic_and_independent_of_the_callers_random_numbers() -> None:
    values = np.arange(20.0).reshape(5, 4)
    first = hierarchical_interval(values, seed=7)
    np.random.default_rng(0).normal(size=3)
    assert hierarchical_interval(values, seed=7) == first
    assert hierarchical_interval(values, seed=8) != first


@pytest.mark.parametrize("values", [[4.2], [4.2, math.nan], [[4.2, math.inf]]])
def test_one_value(values: list[float]) -> None:
    interval = of_images(values)
    assert (interval.mean, interval.low, interval.high, interval.count) == (4.2, 4.2, 4.2, 1)


def test_no_finite_value() -> None:
    interval = of_images([math.nan, math.nan])
    assert math.isnan(interval.mean) and (interval.count, interval.dropped) == (0, 2)
    assert of_images([]).count == 0


def test_pairing_removes_the_spread_between_images() -> None:
    images = np.random.default_rng(5).normal(0, 10, size=(8, 1)) * np.ones((8, 3))
    assert not (difference := paired_difference(images + 1, images)).excludes(1)
    assert difference.excludes(0)
    assert hierarchical_interval(images + 1).overlaps(hierarchical_interval(images))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="level"):
        of_images([1.0], level=95)
    with pytest.raises(ValueError, match="images x seeds"):
        hierarchical_interval([1.0, 2.0])
    with pytest.raises(ValueError, match="equal shapes"):
        paired_difference(np.zeros((2, 1)), np.zeros((1, 2)))


def test_many_intervals_at_once_are_those_of_one_by_one() -> None:
    differences = np.random.default_rng(5).normal(size=(7, 9, 4)) + np.arange(7)[:, None, None]
    for found, one in zip(np.transpose(paired_differences(differences, draws=500)), differences, strict=True):
        interval = paired_difference(one, np.zeros_like(one), draws=500)
        assert tuple(found) == pytest.approx((interval.mean, interval.low, interval.high), abs=1e-12)


def test_weights_of_resamples_are_shares() -> None:
    weights = resampling_weights(6, 3, draws=400)
    assert weights.shape == (400, 6, 3)
    np.testing.assert_allclose(weights.sum((1, 2)), 1)
    # An image that is drawn counts a sixth each time, whichever of its draws are.
    np.testing.assert_allclose(weights.sum(2) * 6, np.round(weights.sum(2) * 6), atol=1e-12)
    assert weights.mean(0) == pytest.approx(np.full((6, 3), 1 / 18), abs=0.01)


def test_one_comparison_by_signs_is_scipy_s_permutation_test() -> None:
    from scipy.stats import permutation_test

    for seed, shift in ((0, 0.0), (1, 0.5), (2, 1.5)):
        values = np.random.default_rng(seed).normal(size=9) + shift
        (found,) = sign_flip_p_values(values[None])
        exact = permutation_test(
            (values,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        )
        assert found == pytest.approx(exact.pvalue, abs=1e-12)


def test_equal_signs_everywhere_give_the_smallest_p_value_there_is() -> None:
    assert sign_flip_p_values([[1.0, 1.0, 1.0]]) == pytest.approx([0.25])
    assert sign_flip_p_values(np.full((1, 8), -2.0)) == pytest.approx([2**-7])
    assert sign_flip_p_values([[1.0]]) == pytest.approx([1.0])
    assert sign_flip_p_values([[0.0, 0.0, 0.0]]) == pytest.approx([1.0])
    nothing = sign_flip_p_values([[math.nan, math.nan]])
    assert np.isnan(nothing).all()
    # Twenty images: 2^19 patterns are too many, ten thousand are drawn, and this one is always among them.
    assert sign_flip_p_values(np.ones((1, 20))) == pytest.approx([1 / 10_001], rel=2)


def test_an_image_that_is_missing_is_as_if_it_had_never_been() -> None:
    values = np.random.default_rng(8).normal(size=(1, 7)) + 0.7
    padded = np.concatenate([values, [[math.nan, math.nan]]], axis=1)
    assert sign_flip_p_values(padded) == pytest.approx(sign_flip_p_values(values))


def test_more_comparisons_make_a_claim_harder_but_their_copies_do_not() -> None:
    rng = np.random.default_rng(6)
    clear = rng.normal(size=10) + 1.0
    (alone,) = sign_flip_p_values(clear[None])
    copied = sign_flip_p_values(np.stack([clear, clear, -3 * clear]))
    assert copied == pytest.approx([alone] * 3)
    among = sign_flip_p_values(np.concatenate([clear[None], rng.normal(size=(50, 10))]))
    assert alone < among[0] <= min(1.0, 51 * alone)


def test_without_any_difference_one_family_in_twenty_has_a_claim() -> None:
    """Twelve comparisons that depend on each other, nothing in any: the error is that of the family."""
    claims = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=9)
        family = rng.normal(size=(12, 9)) + shared
        claims += sign_flip_p_values(family).min() <= 0.05
    assert 0.02 <= claims / 300 <= 0.085
