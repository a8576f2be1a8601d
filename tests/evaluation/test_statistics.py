"""Bootstrap intervals against closed forms and a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jscgc.evaluation.statistics import bootstrap_interval, hierarchical_interval, paired_difference


def test_width_is_that_of_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=400)
    interval = bootstrap_interval(values)
    expected = 2 * 1.96 * values.std() / math.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(expected, rel=0.06)


def test_coverage() -> None:
    rng = np.random.default_rng(2)
    intervals = [bootstrap_interval(rng.normal(size=30), draws=300, seed=i) for i in range(300)]
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
    naive = bootstrap_interval(np.repeat(images, 50))
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_deterministic_and_independent_of_the_callers_random_numbers() -> None:
    values = np.arange(20.0).reshape(5, 4)
    first = hierarchical_interval(values, seed=7)
    np.random.default_rng(0).normal(size=3)
    assert hierarchical_interval(values, seed=7) == first
    assert hierarchical_interval(values, seed=8) != first


@pytest.mark.parametrize("values", [[4.2], [4.2, math.nan], [[4.2, math.inf]]])
def test_one_value(values: list[float]) -> None:
    interval = bootstrap_interval(values)
    assert (interval.mean, interval.low, interval.high, interval.count) == (4.2, 4.2, 4.2, 1)


def test_no_finite_value() -> None:
    interval = bootstrap_interval([math.nan, math.nan])
    assert math.isnan(interval.mean) and (interval.count, interval.dropped) == (0, 2)
    assert bootstrap_interval([]).count == 0


def test_pairing_removes_the_spread_between_images() -> None:
    images = np.random.default_rng(5).normal(0, 10, size=(8, 1)) * np.ones((8, 3))
    assert not (difference := paired_difference(images + 1, images)).excludes(1)
    assert difference.excludes(0)
    assert hierarchical_interval(images + 1).overlaps(hierarchical_interval(images))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0], level=95)
    with pytest.raises(ValueError, match="images x seeds"):
        hierarchical_interval([1.0, 2.0])
    with pytest.raises(ValueError, match="equal shapes"):
        paired_difference(np.zeros((2, 1)), np.zeros((1, 2)))
