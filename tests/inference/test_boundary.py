"""Cholesky factors at the boundary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import glamm
from glamm.inference.boundary import canonical, find_boundary
from glamm.inference.status import Missing

FULL = np.array([[0, -1, -1], [1, 2, -1], [3, 4, 5]])
TWO = np.array([[0, -1], [1, 2]])
BLOCKS = np.array([[0, -1], [-1, 1]])


def covariance(theta, factor):
    lower = np.where(factor >= 0, theta[factor], 0.0)
    return lower @ lower.T


@given(arrays(float, 6, elements=st.floats(-3, 3).map(lambda v: round(v, 2))))
def test_same_covariance_and_no_negative_diagonal(theta):
    new = canonical(theta, (FULL,))
    np.testing.assert_allclose(covariance(new, FULL), covariance(theta, FULL), atol=2e-4)
    assert np.all(new[[0, 2, 5]] >= 0)


def test_only_signs_change_where_that_is_enough():
    np.testing.assert_allclose(canonical(np.array([-1.0, 0.5, 2.0]), (TWO,)), [1, -0.5, 2])


def test_what_a_zero_variance_carried_moves_on():
    np.testing.assert_allclose(canonical(np.array([0.0, 3.0, 4.0]), (TWO,)), [0, 0, 5])


def test_fixed_zeros_stay():
    np.testing.assert_allclose(canonical(np.array([-1.0, -2.0]), (BLOCKS,)), [1, 2])


@pytest.mark.parametrize(
    ("theta", "zero", "missing"),
    [
        ([1.0, 0.5, 2.0], (), {}),
        ([0.0, 0.0, 2.0], (0,), {0: Missing.BOUNDARY, 1: Missing.FLAT}),
        ([1.0, 0.5, 0.0], (2,), {2: Missing.BOUNDARY}),
        ([1.0, 0.0, 0.0], (2,), {1: Missing.FLAT, 2: Missing.BOUNDARY}),
    ],
)
def test_what_has_no_standard_error(theta, zero, missing):
    found = find_boundary(np.array(theta), (TWO,))
    assert found.zero == zero
    assert dict(found.missing) == missing


def test_a_correlation_of_one_between_latent_variables_is_a_boundary():
    rng = np.random.default_rng(1)
    given = np.full((4, 4), 0.7)
    given[0, 1] = given[1, 0] = given[2, 3] = given[3, 2] = 0.6
    np.fill_diagonal(given, 1.0)
    data = pd.DataFrame(rng.normal(size=(500, 4)) @ np.linalg.cholesky(given).T, columns=list("abcd"))
    found = glamm.fit("u =~ a + b; v =~ c + d", data, std_lv=True)
    assert found.converged
    assert list(found.missing_errors) == ["u ~~ v"]
    assert "singular" in found.missing_errors["u ~~ v"]
    assert found.params["u ~~ v"] == pytest.approx(1.0, abs=1e-9)
