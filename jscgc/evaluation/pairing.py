"""Values of one method, condition and metric as a matrix, photographs x (training, seed), and such matrices side by side.

A matrix is a DataFrame: it keeps the names by which two are paired.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd

from jscgc.evaluation.statistics import Floats


def matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Results of one method, condition and metric as photographs x (training, seed), sorted, NaN where missing.

    Args:
        rows: image, seed, value and, if there are several, training; none twice.
    """
    trainings = rows["training"].tolist() if "training" in rows else [0] * len(rows)
    places = list(zip(trainings, rows["seed"].tolist(), strict=True))
    images, keys = sorted(set(rows["image"])), sorted(set(places))
    row, column = ({name: i for i, name in enumerate(names)} for names in (images, keys))
    values = np.full((len(images), len(keys)), np.nan)
    values[[row[image] for image in rows["image"]], [column[place] for place in places]] = rows["value"]
    return _frame(values, images, tuple(keys))


def aligned(*matrices: pd.DataFrame) -> list[pd.DataFrame]:
    """Matrices with the photographs, trainings and seeds that all have, in the same order.

    Training t stands beside training t. A matrix of one training (or of a method that is not trained) stands beside each training
    of the others.
    """
    found = [{training for training, _ in _keys(matrix)} for matrix in matrices]
    several = [trainings for trainings in found if len(trainings) > 1]
    shared = sorted(set.intersection(*several)) if several else [0]
    wide = [
        _repeated(matrix, shared) if len(trainings) == 1 and trainings != set(shared) else matrix
        for matrix, trainings in zip(matrices, found, strict=True)
    ]
    first, *others = wide
    if all(other.index.equals(first.index) and other.columns.equals(first.columns) for other in others):
        return wide
    images = sorted(set.intersection(*(set(matrix.index) for matrix in wide)))
    columns = sorted(set.intersection(*(set(_keys(matrix)) for matrix in wide)))

    def taken(matrix: pd.DataFrame) -> pd.DataFrame:
        row, column = ({name: i for i, name in enumerate(names)} for names in (matrix.index, _keys(matrix)))
        values = matrix.to_numpy()[np.ix_([row[image] for image in images], [column[key] for key in columns])]
        return _frame(values, images, tuple(columns))

    return [taken(matrix) for matrix in wide]


def _repeated(matrix: pd.DataFrame, trainings: list[int]) -> pd.DataFrame:
    """A matrix of one training as one of each of these."""
    keys = tuple((training, seed) for training in trainings for _, seed in _keys(matrix))
    return _frame(np.tile(matrix.to_numpy(), (1, len(trainings))), matrix.index, keys)


def array(matrix: pd.DataFrame) -> Floats:
    """A matrix's values, [trainings, images, draws]; NaN where one is missing."""
    keys = _keys(matrix)
    ways = [sorted({key[level] for key in keys}) for level in (0, 1)]
    values = np.full((len(ways[0]), len(matrix), len(ways[1])), np.nan)
    places = ([way.index(key[level]) for key in keys] for level, way in enumerate(ways))
    training, draw = (np.array(place, dtype=np.intp) for place in places)
    values[training, :, draw] = matrix.to_numpy(dtype=np.float64).T
    return values


def trainings(matrix: pd.DataFrame) -> int:
    """How many trainings have a value."""
    return int(np.isfinite(array(matrix)).any((1, 2)).sum())


def _keys(matrix: pd.DataFrame) -> list[tuple[int, int]]:
    """(training, seed) of each column."""
    return cast("list[tuple[int, int]]", list(matrix.columns))


def _frame(values: Floats, images: Iterable[Any], keys: tuple[tuple[int, int], ...]) -> pd.DataFrame:
    return pd.DataFrame(values, index=pd.Index(list(images), name="image", dtype=object), columns=_columns(keys))


@lru_cache(maxsize=64)
def _columns(keys: tuple[tuple[int, int], ...]) -> pd.MultiIndex:
    """The same object for the same columns: comparing and making it are slow."""
    return pd.MultiIndex.from_arrays([[key[level] for key in keys] for level in (0, 1)], names=["training", "seed"])
