"""Reported parameters against their definitions, their derivative against differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.compile import LatentFactor, LevelPlan, ParameterRow, ParameterTable


def table(free=((0, 0), (1, 0), (1, 1), (2, 2)), q=3):
    """Return a table of a coefficient, three auxiliary scales and one level whose factor is `free`."""
    rows = [
        ParameterRow("y ~ x", "fixed", "y", "mu", place=(0,)),
        ParameterRow("sigma(y)", "auxiliary", "y", "sigma", scale="log", place=(1,)),
        ParameterRow("guess(y)", "auxiliary", "y", "guess", scale="logit", place=(2,)),
        ParameterRow("threshold(y)[1|2]", "auxiliary", "y", "threshold", "1|2", place=(3,)),
    ]
    index = np.full((q, q), -1)
    for place, (i, j) in enumerate(free):
        index[i, j] = 4 + place
    rows += [ParameterRow(f"sd({i} | g)", "sd", level="g", scale="log", place=(0, i)) for i in range(q)]
    rows += [
        ParameterRow(f"cor({j}, {i} | g)", "cor", level="g", scale="atanh", place=(0, j, i))
        for i, j in free
        if i != j
    ]
    factor = LatentFactor("g", tuple("abc"[:q]), LevelPlan(0, None, None, index))
    return ParameterTable(tuple(rows), (factor,), 4 + len(free))


FULL = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
numbers = st.floats(-2.0, 2.0).map(lambda x: round(x, 3))


def test_natural_values_by_hand():
    theta = np.array([0.3, np.log(2.0), 0.0, -1.5, 3.0, 1.0, -1.0, -0.5])
    values = dict(zip(table().names, table().natural(theta), strict=True))
    assert values["y ~ x"] == 0.3
    assert values["sigma(y)"] == pytest.approx(2.0, rel=1e-15)
    assert values["guess(y)"] == pytest.approx(0.5, rel=1e-15)
    assert values["threshold(y)[1|2]"] == -1.5
    assert values["sd(0 | g)"] == pytest.approx(3.0, rel=1e-15)
    assert values["sd(1 | g)"] == pytest.approx(np.sqrt(2.0), rel=1e-15)
    assert values["sd(2 | g)"] == 0.5
    assert values["cor(0, 1 | g)"] == pytest.approx(np.sqrt(0.5), rel=1e-15)


def test_latent_factor_by_position_and_name():
    theta = np.arange(8.0)
    expected = [[4.0, 0.0, 0.0], [5.0, 6.0, 0.0], [0.0, 0.0, 7.0]]
    assert table().latent_factor(theta, 0).tolist() == expected
    assert table().latent_factor(theta, "g").tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, min_size=10, max_size=10))
def test_jacobian_against_differences(theta):
    rows = table(FULL)
    theta = np.array(theta)
    # Away from singular factors, where sds and correlations have no derivative.
    for place in (4, 6, 9):
        theta[place] = np.copysign(abs(theta[place]) + 0.2, theta[place])
    step = 1e-5
    numerical = np.column_stack(
        [
            (rows.natural(theta + step * e) - rows.natural(theta - step * e)) / (2 * step)
            for e in np.eye(len(theta))
        ]
    )
    # Central differences: truncation of order step**2 times third derivatives of at most some hundreds.
    assert np.allclose(rows.jacobian(theta), numerical, rtol=1e-6, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, min_size=10, max_size=10))
def test_theta_is_the_inverse_of_natural(theta):
    rows = table(FULL)
    theta = np.array(theta)
    for place in (4, 6, 9):
        theta[place] = abs(theta[place]) + 0.2
    assert np.allclose(rows.theta(rows.natural(theta)), theta, rtol=1e-8, atol=1e-8)


def test_signs_of_a_factor_do_not_show():
    rows = table(FULL)
    theta = np.linspace(-0.9, 1.3, 10)
    flipped = theta.copy()
    flipped[[7, 8, 9]] *= -1.0
    values, other = rows.natural(theta), rows.natural(flipped)
    sds = [i for i, kind in enumerate(rows.kinds) if kind == "sd"]
    assert np.array_equal(values[sds], other[sds])


def test_a_standard_deviation_of_zero():
    rows = table()
    theta = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    values = dict(zip(rows.names, rows.natural(theta), strict=True))
    assert values["sd(0 | g)"] == 0.0
    assert np.isnan(values["cor(0, 1 | g)"])
    jacobian = rows.jacobian(theta)
    sd = rows.names.index("sd(1 | g)")
    assert jacobian[sd].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    assert np.isnan(jacobian[rows.names.index("cor(0, 1 | g)"), 4:7]).all()
    assert rows.theta(rows.natural(theta))[4:].tolist() == [0, 0, 0, 0]
