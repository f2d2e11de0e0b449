"""Intervals, tests and the delta method on numbers whose answers are known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.compile.parameters import ParameterRow
from glamm.errors import GlammError
from glamm.results.covariance import check_covariance, delta_method
from glamm.results.estimates import Estimates, wald_p_value

ROWS = (
    ParameterRow("y ~ x", "fixed", "y", "mu", "", ("x",)),
    ParameterRow("sd(1 | g)", "sd", "y", "mu", "", ("1",), "g", "log"),
    ParameterRow("cor(1, x | g)", "cor", "y", "mu", "", ("1", "x"), "g", "atanh"),
)


def estimates(values, errors):
    return Estimates(ROWS, np.array(values), np.diag(np.square(errors)), ("", "", ""))


@given(
    st.floats(-50, 50),
    st.floats(1e-3, 1e3),
    st.floats(-0.999, 0.999),
    st.floats(1e-4, 5.0),
    st.floats(0.001, 0.5),
)
def test_intervals_hold_the_estimate_and_stay_in_range(beta, sd, cor, error, alpha):
    limits = estimates([beta, sd, cor], [error, error, error]).intervals(alpha)
    assert np.all(limits[:, 0] <= np.array([beta, sd, cor]))
    assert np.all(limits[:, 1] >= np.array([beta, sd, cor]))
    assert limits[1, 0] >= 0.0
    assert limits[2, 0] >= -1.0 and limits[2, 1] <= 1.0


def test_intervals_have_the_closed_form():
    limits = estimates([1.0, 2.0, 0.5], [0.5, 0.4, 0.1]).intervals(0.05)
    z = 1.959963984540054
    assert limits[0] == pytest.approx([1.0 - z * 0.5, 1.0 + z * 0.5])
    assert limits[1] == pytest.approx(2.0 * np.exp([-z * 0.2, z * 0.2]))
    assert limits[2] == pytest.approx(np.tanh(np.arctanh(0.5) + np.array([-z, z]) * 0.1 / 0.75))


def test_only_coefficients_are_tested():
    found = estimates([1.0, 2.0, 0.5], [0.5, 0.4, 0.1])
    assert found.statistics()[0] == pytest.approx(2.0)
    assert np.isnan(found.statistics()[1:]).all()
    assert found.p_values()[0] == pytest.approx(0.04550026389635839)


def test_p_value_of_a_far_tail_keeps_its_digits():
    assert wald_p_value(np.array([-30.0]))[0] == pytest.approx(9.813430e-198, rel=1e-6)


def test_no_standard_error_means_no_interval():
    covariance = np.diag([0.25, np.nan, 0.01])
    found = Estimates(ROWS, np.array([1.0, 0.0, 0.5]), covariance, ("", "on the boundary", ""))
    assert np.isnan(found.intervals()[1]).all()
    assert np.isfinite(found.intervals()[[0, 2]]).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, 2.0])
def test_alpha_outside_its_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        estimates([1.0, 2.0, 0.5], [0.5, 0.4, 0.1]).intervals(alpha)


def test_delta_method_loses_only_what_depends_on_a_missing_variance():
    covariance = np.array([[1.0, 0.2, np.nan], [0.2, 2.0, np.nan], [np.nan, np.nan, np.nan]])
    jacobian = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 3.0], [2.0, 0.0, 0.0]])
    found = delta_method(covariance, jacobian)
    assert found[np.ix_([0, 2], [0, 2])] == pytest.approx(np.array([[3.4, 2.4], [2.4, 4.0]]))
    assert np.isnan(found[1]).all() and np.isnan(found[:, 1]).all()


def test_unknown_covariance_type_offers_the_nearest():
    with pytest.raises(GlammError, match="did you mean 'robust'"):
        check_covariance("robst")
