"""Linear dependence among design columns."""

import numpy as np
import pytest

from glamm.compile.checks import all_alone, collinear, dependencies

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 3))
ONE = np.ones(50)
G = np.repeat([0, 1], 25)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([ONE, X[:, 0]], []),
        ([ONE, 3 * ONE], [(1, (0,))]),
        ([X[:, 0], X[:, 1], X[:, 0] + 2 * X[:, 1]], [(2, (0, 1))]),
        ([ONE, G == 0, X[:, 0], G == 1], [(3, (0, 1))]),
        ([X[:, 0], np.zeros(50), X[:, 1]], [(1, ())]),
        ([X[:, 0], 1e-9 * X[:, 0]], [(1, (0,))]),
        ([X[:, 0], 2 * X[:, 0], X[:, 1], 3 * X[:, 1]], [(1, (0,)), (3, (2,))]),
        # Calendar years and their squares are nearly, not exactly, dependent.
        ([ONE, 2000.0 + np.arange(50), (2000.0 + np.arange(50)) ** 2], []),
        ([ONE, 1e8 * X[:, 0], 1e-8 * X[:, 1]], []),
        ([], []),
    ],
)
def test_dependencies(columns, expected):
    matrix = np.column_stack(columns).astype(float) if columns else np.empty((50, 0))
    assert dependencies(matrix) == expected


def test_a_rare_column_of_a_long_design():
    matrix = np.column_stack([np.ones(100_000), RNG.normal(size=100_000), np.zeros(100_000)])
    matrix[77, 2] = 1.0
    assert dependencies(matrix) == []
    matrix[:, 2] = matrix[:, 1]
    matrix[78, 2] += 1.0
    assert dependencies(matrix) == []
    matrix[78, 2] -= 1.0
    assert dependencies(matrix) == [(2, (1,))]


def test_problems_name_the_columns():
    (problem,) = collinear(np.column_stack([ONE, 2 * ONE]), ("1", "k"), "y", None)
    assert problem.message == "collinear columns: 'k' in y is determined by the intercept"
    (problem,) = collinear(np.column_stack([ONE, 0 * ONE]), ("1", "k"), "y", None)
    assert problem.message == "collinear columns: 'k' in y is 0 in every row"


@pytest.mark.parametrize(
    ("cluster", "clusters", "expected"),
    [([0, 1, 2], 3, True), ([0, 2], 3, True), ([0, 0, 2], 3, False), ([0, 0, 1], 2, False)],
)
def test_all_alone(cluster, clusters, expected):
    assert all_alone(np.array(cluster), clusters) is expected
