"""Fits of the reference cases without named latent variables, against the numbers of other programs.

Tolerances: the log-likelihood to 1e-7 relative, estimates to a thousandth of their standard error,
standard errors, of the information and of the sandwich, to 0.1 %, empirical Bayes means and sds to 1e-4
of the scale of the effect.
"""

import numpy as np
import pytest
from reference import (
    clusters,
    empirical_bayes,
    exact_loglik,
    few_clusters,
    in_terms_of_case,
    laplace_logliks,
    robust_errors,
    target,
)
from reference_models import BY_NAME, cases, fit

from glamm.inference import Objective
from glamm.inference.covariance import sandwich


@pytest.mark.parametrize("name", cases())
def test_log_likelihood(name):
    found = fit(name)
    assert found.converged, found.status
    assert found.llf == pytest.approx(exact_loglik(BY_NAME[name]), rel=1e-7)


@pytest.mark.parametrize("name", cases())
def test_estimates(name):
    found = fit(name)
    estimates, errors = in_terms_of_case(BY_NAME[name], found.params, found.cov_params())
    expected, expected_errors = target(BY_NAME[name])
    for parameter, value in expected.items():
        unit = expected_errors.get(parameter, errors[parameter])
        assert abs(estimates[parameter] - value) < 1e-3 * unit, parameter


@pytest.mark.parametrize("name", cases(lambda case: bool(target(case)[1])))
def test_standard_errors(name):
    found = fit(name)
    _, errors = in_terms_of_case(BY_NAME[name], found.params, found.cov_params())
    for parameter, value in target(BY_NAME[name])[1].items():
        assert errors[parameter] == pytest.approx(value, rel=1e-3), parameter


def without_sampling_weights(case):
    # its weights are probability weights there, frequencies in glamm
    return bool(robust_errors(case)) and case.name != "concen_probit_freq2"


@pytest.mark.parametrize("name", cases(without_sampling_weights))
def test_robust_standard_errors(name):
    found = fit(name).with_covariance("robust")
    _, errors = in_terms_of_case(BY_NAME[name], found.params, found.cov_params())
    for parameter, value in robust_errors(BY_NAME[name]).items():
        expected = value * np.sqrt(few_clusters(found))
        assert errors[parameter] == pytest.approx(expected, rel=1e-3), parameter


def test_sandwich_of_weighted_scores_is_that_of_probability_weights():
    case = BY_NAME["concen_probit_freq2"]
    found = fit(case.name)
    optimum, plan = found._source.optimum, found._source.lowered.plan
    scores = Objective(plan, optimum.points).cluster_scores(optimum.theta)
    clusters = len(scores)
    covariance = sandwich(optimum.covariance, scores) * (clusters - 1) / clusters
    # theta is the two coefficients and the standard deviation, as in the case
    expected = list(robust_errors(case).values())
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), expected, rtol=1e-3)


@pytest.mark.parametrize("name", cases(lambda case: bool(case.eb)))
def test_empirical_bayes(name):
    case = BY_NAME[name]
    found = fit(name).ranef()
    for level, suffix in case.eb.items():
        expected = empirical_bayes(case, suffix)
        frame = found[level]
        frame.index = frame.index.astype(str)
        assert sorted(frame.index) == sorted(expected.index)
        for column in expected.columns:
            scale = max(1.0, float(expected[column].abs().max()))
            difference = frame.loc[expected.index, column] - expected[column]
            assert difference.abs().max() < 1e-4 * scale, (level, column)


def listed(column):
    """Return name, level and file of the cases that list a quantity of clusters."""
    return [
        (case.name, level, suffix)
        for case in BY_NAME.values()
        for level, suffix in case.eb.items()
        if column in clusters(case, suffix)
    ]


@pytest.mark.parametrize(("name", "level", "suffix"), listed("cov_12"))
def test_posterior_covariances(name, level, suffix):
    source = fit(name)._source
    at = [layout.name for layout in source.levels].index(level)
    expected = clusters(BY_NAME[name], suffix)["cov_12"].loc[[str(x) for x in source.clusters()[at].index]]
    objective = Objective(source.lowered.plan, source.optimum.points)
    found = objective.posterior(source.theta)[at][1][:, 0, 1]
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.abs().max())


@pytest.mark.parametrize(("name", "level", "suffix"), listed("loglik"))
def test_log_likelihoods_of_clusters(name, level, suffix):
    source = fit(name)._source
    assert level == source.levels[-1].name
    expected = clusters(BY_NAME[name], suffix)["loglik"].loc[[str(x) for x in source.clusters()[-1].index]]
    found = Objective(source.lowered.plan, source.optimum.points).cluster_logliks(source.theta)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", cases(lambda case: bool(laplace_logliks(case))))
def test_one_point_is_laplace(name):
    found = fit(name, 1)
    for program, value in laplace_logliks(BY_NAME[name]).items():
        assert found.llf == pytest.approx(value, rel=1e-5), program
