"""Matrices of values, and what stands beside what: training by training, photograph by photograph, draw by draw."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from jscgc.evaluation.pairing import aligned, array, matrix, trainings


def rows(values: dict[tuple[int, int, str], float]) -> pd.DataFrame:
    """(training, seed, image) -> value as a table."""
    return pd.DataFrame([(*k, v) for k, v in values.items()], columns=["training", "seed", "image", "value"])


def full(count: int, images: str = "abc", seeds: int = 2, start: float = 0.0) -> pd.DataFrame:
    """value = start + 100 training + 10 seed + place of the photograph."""
    values = {
        (t, s, image): start + 100.0 * t + 10 * s + i
        for t in range(count)
        for s in range(seeds)
        for i, image in enumerate(images)
    }
    return matrix(rows(values).sample(frac=1, random_state=0))


def test_a_matrix_is_sorted_and_knows_what_is_missing() -> None:
    found = matrix(rows({(1, 0, "b"): 5.0, (0, 3, "a"): 1.0, (0, 0, "b"): math.nan}))
    assert list(found.index) == ["a", "b"] and list(found.columns) == [(0, 0), (0, 3), (1, 0)]
    assert found.columns.names == ["training", "seed"] and found.index.name == "image"
    assert found.loc["a", (0, 3)] == 1 and found.loc["b", (1, 0)] == 5 and found.count().sum() == 2
    values = array(found)
    assert values.shape == (2, 2, 2)  # seeds 0 and 3 in both trainings
    assert values[0, 0, 1] == 1 and values[1, 1, 0] == 5 and np.isfinite(values).sum() == 2
    assert trainings(found) == 2 and trainings(found[[(0, 0)]]) == 0


def test_a_table_without_trainings_is_of_one() -> None:
    table = rows({(0, 0, "a"): 1.0, (0, 1, "a"): 2.0})
    pd.testing.assert_frame_equal(matrix(table.drop(columns="training")), matrix(table))


def test_training_stands_beside_training() -> None:
    ours, other = aligned(full(3), full(2, "bcd", seeds=1, start=0.5))
    assert list(ours.index) == ["b", "c"] and list(ours.columns) == [(0, 0), (1, 0)]
    # b is second of ours and first of the other's.
    np.testing.assert_allclose(ours - other, 0.5)


@pytest.mark.parametrize("lone", [0, 4])
def test_one_training_stands_beside_each_of_the_others(lone: int) -> None:
    single = full(1).rename(columns={0: lone}, level=0)
    for first, second in (aligned(full(3), single), aligned(single, full(3))[::-1]):
        np.testing.assert_allclose(array(first - second), np.full((3, 3, 2), [[[0]], [[100]], [[200]]]))
    both, again, third = aligned(single, full(1), single)
    assert list(both.columns) == list(again.columns) == list(third.columns) == [(0, 0), (0, 1)]
    np.testing.assert_allclose(both - again, 0)


def test_nothing_in_common_is_an_empty_table() -> None:
    for first, second in ((full(1, "ab"), full(1, "cd")), (full(2), full(2).rename(columns={0: 5, 1: 6}, level=0))):
        a, b = aligned(first, second)
        assert array(a - b).size == 0 and trainings(a) == 0
