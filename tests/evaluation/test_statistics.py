"""Intervals against closed forms, an independent analysis of variance, and by simulation; sign flips.

python tests/evaluation/test_statistics.py    the table of coverage that `statistics` quotes
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from jscgc.evaluation.statistics import Interval, interval, sign_flip_p_values, student_quantile

Floats = NDArray[np.float64]
TRAININGS, PHOTOGRAPHS = 3, 24
"""The numbers at hand, for which coverage is claimed."""
TRAINING_EFFECTS, RESTS, DRAWS = (0.0, 0.2, 0.5, 1.0, 2.0), (0.0, 0.3, 1.0), (1, 2)
"""Standard deviations, that of photographs being 1."""
DRAW_EFFECT = 0.3


def of_images(values: ArrayLike, level: float = 0.95) -> Interval:
    """Of images with one draw each."""
    return interval(np.reshape(values, (-1, 1)), level)


def numbers(found: Interval) -> tuple[float, float, float]:
    return found.mean, found.low, found.high


class Simulated(NamedTuple):
    """tables: [tables, trainings, photographs, draws], of true mean 0. deviation: the true one of a table's mean."""

    tables: Floats
    deviation: float


def simulate(
    training: float,
    rest: float,
    draws: int,
    log_deviation: float = 0.0,
    trainings: int = TRAININGS,
    photographs: int = PHOTOGRAPHS,
    tables: int = 4000,
) -> Simulated:
    """Crossed random effects; those of photographs lognormal (centred, of deviation 1) where `log_deviation` is above 0."""
    rng = np.random.default_rng([int(10 * x) for x in (training, rest, draws, log_deviation, trainings, photographs)])
    size = (tables, trainings, photographs, draws)
    photo = rng.normal(size=(tables, 1, photographs, 1))
    if log_deviation:
        variance = np.exp(log_deviation**2)
        photo = (np.exp(log_deviation * photo) - math.sqrt(variance)) / math.sqrt((variance - 1) * variance)
    values = photo + training * rng.normal(size=(tables, trainings, 1, 1)) + DRAW_EFFECT * rng.normal(size=size)
    values += rest * rng.normal(size=(tables, trainings, photographs, 1))
    cells = (rest**2 + DRAW_EFFECT**2 / draws) / (trainings * photographs)
    return Simulated(values, math.sqrt(training**2 / trainings + 1 / photographs + cells))


def coverage(case: Simulated) -> tuple[float, float]:
    """Share of the tables whose 95 % interval holds 0, and its mean width over that of the interval of known deviation.

    All tables at once by the formula; a few of them by `interval` itself.
    """
    cells = case.tables.mean(3)
    mean, squares = cells.mean((1, 2)), np.zeros(len(cells))
    for ways in (cells.mean(2), cells.mean(1)):
        count = ways.shape[1]
        if count > 1:
            squares += stats.t.ppf(0.975, count - 1) ** 2 * ways.var(1, ddof=1) / count
    half = np.sqrt(squares)
    for table, m, h in list(zip(case.tables, mean, half, strict=True))[:5]:
        assert numbers(interval(table)) == pytest.approx((m, m - h, m + h))
    return float((np.abs(mean) <= half).mean()), float(half.mean() / (stats.norm.ppf(0.975) * case.deviation))


@pytest.mark.parametrize("training", TRAINING_EFFECTS)
@pytest.mark.parametrize("log_deviation", [0.0, 0.5])
def test_95_per_cent_are_93_at_least_over_trainings_and_photographs(training: float, log_deviation: float) -> None:
    """And the width is not bought: never more than Student's 2 degrees of freedom (4.3 to 1.96) cost by themselves."""
    for rest in RESTS:
        for draws in DRAWS:
            covered, width = coverage(simulate(training, rest, draws, log_deviation))
            assert covered >= 0.93, (rest, draws)
            assert width <= (2.0 if training else 1.6), (rest, draws)


@pytest.mark.parametrize("photographs", [3, 6, 24])
def test_one_training_covers_photographs_given_its_weights(photographs: int) -> None:
    covered, _ = coverage(simulate(0.0, 0.3, 1, trainings=1, photographs=photographs, tables=20_000))
    assert covered == pytest.approx(0.95, abs=0.005)
    skewed, _ = coverage(simulate(0.0, 0.3, 1, 0.5, trainings=1, photographs=photographs, tables=20_000))
    assert skewed >= 0.93


def test_a_training_that_all_photographs_share_is_seen_by_the_interval_over_trainings_alone() -> None:
    """What the report did before: photographs of one training say nothing about another."""
    case = simulate(1.0, 0.3, 2)
    one = case.tables[:, :1].mean(3)
    half = stats.t.ppf(0.975, PHOTOGRAPHS - 1) * one.std(2, ddof=1)[:, 0] / math.sqrt(PHOTOGRAPHS)
    assert (np.abs(one.mean((1, 2))) <= half).mean() < 0.5 < coverage(case)[0]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_one_training_is_scipys_t_interval_over_photographs_means(level: float) -> None:
    values = np.random.default_rng(1).normal(3, 2, size=(9, 4))
    found = interval(values, level)
    means = values.mean(1)
    expected = stats.t.interval(level, len(means) - 1, means.mean(), stats.sem(means))
    assert numbers(found) == pytest.approx((means.mean(), *expected))
    assert numbers(interval(values[None], level)) == pytest.approx(numbers(found))
    assert (found.trainings, found.images, found.over) == (1, 9, "images and draws")
    # As many trainings of one photograph are the same numbers the other way.
    turned = interval(values[:, None], level)
    assert numbers(turned) == pytest.approx(numbers(found))
    assert (turned.trainings, turned.images, turned.over) == (9, 1, "trainings and draws")


def test_the_squared_half_width_is_of_the_mean_squares_of_an_analysis_of_variance() -> None:
    """Mean squares by least squares on dummies, as textbooks have them: MS_T / TI is the training means' variance over T."""
    t, i = 4, 7
    values = np.random.default_rng(2).normal(size=(t, i)) + np.arange(t)[:, None] + 3 * np.arange(i)
    training, photo = (np.eye(n)[index.ravel()][:, 1:] for n, index in zip((t, i), np.indices((t, i)), strict=True))
    one = np.ones((t * i, 1))

    def left(*columns: Floats) -> float:
        design = np.concatenate([one, *columns], axis=1)
        fitted = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        return float(np.square(values.ravel() - fitted).sum())

    mean_squares = [(left(*others) - left(training, photo)) / (n - 1) for n, others in ((t, [photo]), (i, [training]))]
    quantiles = [stats.t.ppf(0.975, n - 1) for n in (t, i)]
    half = math.sqrt(sum(q**2 * ms / (t * i) for q, ms in zip(quantiles, mean_squares, strict=True)))
    found = interval(values[:, :, None])
    assert numbers(found) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))
    assert (found.trainings, found.images, found.over) == (t, i, "trainings, images and draws")


def test_one_photograph_of_one_training_has_its_draws_only() -> None:
    draws = [1.0, 2.0, 4.0]
    found = interval([draws])
    expected = stats.t.interval(0.95, 2, np.mean(draws), stats.sem(draws))
    assert numbers(found) == pytest.approx((np.mean(draws), *expected)) and found.over == "draws"


def test_draws_of_one_image_are_no_images() -> None:
    images = np.random.default_rng(4).normal(size=(10, 1))
    clustered = interval(np.repeat(images, 50, axis=1))
    assert numbers(clustered) == pytest.approx(numbers(interval(images)))
    naive = of_images(np.repeat(images, 50))
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_draws_may_differ_in_number_and_every_photograph_weighs_the_same() -> None:
    values = np.array([[1.0, 3.0, np.nan], [4.0, np.nan, np.nan], [0.0, 1.0, 5.0]])
    found = interval(values)
    assert numbers(found) == pytest.approx(numbers(interval([[2.0], [4.0], [2.0]])))
    assert (found.count, found.dropped) == (6, 3)


def test_photographs_count_that_every_training_with_a_value_has() -> None:
    values = np.random.default_rng(3).normal(size=(3, 6, 2))
    values[1, 4], values[2, 0, 1] = np.nan, math.inf
    found = interval(values)
    kept = np.delete(values, 4, axis=1)
    kept[2, 0, 1] = kept[2, 0, 0]
    assert numbers(found) == pytest.approx(numbers(interval(kept)))
    assert (found.trainings, found.images, found.count, found.dropped) == (3, 5, 29, 7)
    empty = np.full((1, 6, 2), np.nan)
    assert numbers(interval(np.concatenate([values, empty]))) == pytest.approx(numbers(found))
    # Where trainings share no photograph, all of them count, and what photographs differ by is in both ways.
    apart = np.where(np.eye(2, dtype=bool)[:, :, None], [[[1.0], [0.0]], [[0.0], [5.0]]], np.nan)
    assert interval(apart).mean == 3 and not interval(apart).excludes(0)


def test_deterministic() -> None:
    values = np.arange(20.0).reshape(5, 4)
    assert interval(values) == interval(values.copy())


effects = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(effects, st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.floats(0, 0.6))
def test_order_scale_and_origin_do_not_matter(
    rng: np.random.Generator, trainings: int, images: int, draws: int, missing: float
) -> None:
    values = rng.normal(size=(trainings, images, draws)) + 2 * rng.normal(size=(trainings, 1, 1))
    values[rng.random(values.shape) < missing] = np.nan
    found = interval(values)
    shuffled = values
    for axis in range(3):
        shuffled = rng.permuted(shuffled, axis=2) if axis == 2 else rng.permutation(shuffled, axis=axis)
    assert numbers(interval(shuffled)) == pytest.approx(numbers(found), nan_ok=True)
    moved = interval(2.5 * values - 7)
    assert numbers(moved) == pytest.approx([2.5 * x - 7 for x in numbers(found)], nan_ok=True, abs=1e-9)
    turned = interval(-values)
    assert numbers(turned) == pytest.approx((-found.mean, -found.high, -found.low), nan_ok=True)
    assert found.count == 0 or found.low <= found.mean <= found.high
    assert found.count + found.dropped == values.size


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9])
def test_what_is_constant_has_no_width_at_all(value: float) -> None:
    assert numbers(interval(np.full((3, 7, 3), value))) == (value,) * 3


@pytest.mark.parametrize("values", [[4.2], [4.2, math.nan], [[4.2, math.inf]]])
def test_one_value(values: list[float]) -> None:
    found = of_images(values)
    assert (found.mean, found.low, found.high, found.count) == (4.2, 4.2, 4.2, 1)


def test_no_finite_value() -> None:
    found = of_images([math.nan, math.nan])
    assert math.isnan(found.mean) and (found.count, found.dropped) == (0, 2)
    assert of_images([]).count == 0


def test_pairing_removes_the_spread_between_images() -> None:
    images = np.random.default_rng(5).normal(0, 10, size=(8, 1)) * np.ones((8, 3))
    assert not (difference := interval(images + 1 - images)).excludes(1)
    assert difference.excludes(0)
    assert interval(images + 1).overlaps(interval(images))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="level"):
        of_images([1.0], level=95)
    with pytest.raises(ValueError, match="trainings x images x draws"):
        interval([1.0, 2.0])
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        student_quantile(0.975, 0)


@given(st.floats(0.5, 0.9995), st.one_of(st.integers(1, 10_000), st.floats(1, 10_000)))
def test_students_quantile_is_scipys(probability: float, degrees: float) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-8)


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


def main() -> None:
    """Per cent covered and width over the ideal one, from least to most of the rests and draws at each training effect."""
    names: dict[float, Literal["normal", "skewed", "very skewed"]] = {0: "normal", 0.5: "skewed", 1: "very skewed"}
    print(f"{'training effect':15}", *(f"{effect:>18}" for effect in TRAINING_EFFECTS))
    for log_deviation, name in names.items():
        shown = []
        for training in TRAINING_EFFECTS:
            found = [coverage(simulate(training, rest, draws, log_deviation)) for rest in RESTS for draws in DRAWS]
            covered, width = ([f(x[i] for x in found) for f in (min, max)] for i in (0, 1))
            shown.append(f"{100 * covered[0]:.1f}-{100 * covered[1]:.1f} {width[0]:.1f}-{width[1]:.1f}")
        print(f"{name:15}", *(f"{text:>18}" for text in shown))
        for photographs in (3, 6, 24):
            one, _ = coverage(simulate(0, 0.3, 1, log_deviation, 1, photographs, 20_000))
            print(f"    one training, {photographs} photographs: {100 * one:.1f}")


if __name__ == "__main__":
    main()
