"""Fit measures against closed forms and direct maximisation."""

import numpy as np
import pytest
from gaussian import loglik
from scipy import stats
from scipy.optimize import minimize

from glamm.errors import DataError
from glamm.results.fit_measures import fit_measures
from glamm.results.unrestricted import independence, unrestricted


def incomplete(seed, n=60, p=4, k=2, share=0.35):
    """Return responses, at least one of them observed in every row, and covariates."""
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, k)) * 3.0 + 50.0
    mixing = rng.normal(size=(p, p))
    responses = 10.0 + covariates @ rng.normal(size=(k, p)) + rng.normal(size=(n, p)) @ mixing
    missing = rng.random((n, p)) < share
    missing[np.arange(n), rng.integers(p, size=n)] = False
    return np.where(missing, np.nan, responses), covariates


def maximised(responses, covariates):
    """Return the unrestricted maximum found by BFGS over coefficients and a Cholesky factor."""
    p, k = responses.shape[1], covariates.shape[1]
    covariates = covariates - covariates.mean(axis=0)
    lower = np.tril_indices(p)
    seen = np.isfinite(responses)
    start = np.column_stack([np.nanmean(responses, axis=0), np.zeros((p, k))])

    def unpack(theta):
        root = np.zeros((p, p))
        root[lower] = theta[p * (1 + k) :]
        root[np.diag_indices(p)] = np.exp(np.diagonal(root))
        return theta[: p * (1 + k)].reshape(p, 1 + k), root @ root.T

    def objective(theta):
        coefficients, covariance = unpack(theta)
        total = 0.0
        for pattern in np.unique(seen, axis=0):
            rows = (seen == pattern).all(axis=1)
            mean = coefficients[:, 0] + covariates[rows] @ coefficients[:, 1:].T
            errors = responses[np.ix_(rows, pattern)] - mean[:, pattern]
            total += stats.multivariate_normal.logpdf(errors, cov=covariance[np.ix_(pattern, pattern)]).sum()
        return -total

    root = np.diag(np.log(np.nanstd(responses, axis=0)))
    theta = np.concatenate([start.ravel(), root[lower]])
    for _ in range(3):
        found = minimize(objective, theta, method="BFGS", options={"gtol": 1e-6, "maxiter": 1000})
        theta = found.x
    return -found.fun


@pytest.mark.parametrize("k", [0, 2])
def test_em_finds_the_maximum(k):
    responses, covariates = incomplete(k, k=k)
    found = unrestricted(responses, covariates)
    assert found.loglik == pytest.approx(maximised(responses, covariates), abs=2e-7)
    assert found.parameters == 4 * (1 + k) + 10


def test_em_reports_the_loglik_of_its_moments():
    responses, covariates = incomplete(3, n=200, share=0.6)
    found = unrestricted(responses, covariates)
    at = loglik(responses, covariates, found.moments.coefficients, found.moments.covariance)
    assert found.loglik == pytest.approx(at, abs=1e-8)


def test_complete_data_have_a_closed_form():
    responses, covariates = incomplete(4, share=0.0)
    found = unrestricted(responses, covariates)
    design = np.column_stack([np.ones(len(covariates)), covariates])
    coefficients = np.linalg.lstsq(design, responses, rcond=None)[0].T
    errors = responses - design @ coefficients.T
    covariance = errors.T @ errors / len(errors)
    np.testing.assert_allclose(found.moments.coefficients, coefficients, rtol=1e-9)
    np.testing.assert_allclose(found.moments.covariance, covariance, rtol=1e-9)
    n, p = responses.shape
    expected = -0.5 * n * (p * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + p)
    assert found.loglik == pytest.approx(expected, abs=1e-9)


def test_independence_is_one_normal_distribution_a_response():
    responses, _ = incomplete(5)
    expected = 0.0
    for column in responses.T:
        seen = column[np.isfinite(column)]
        expected += stats.norm.logpdf(seen, seen.mean(), seen.std()).sum()
    assert independence(responses) == pytest.approx(expected, abs=1e-9)


def test_units_and_collinear_covariates_do_not_matter():
    responses, covariates = incomplete(6, share=0.2)
    plain = unrestricted(responses, covariates)
    rescaled = unrestricted(responses * [1e-6, 1.0, 1e6, 1.0] + 1e3, covariates * 1e4 - 1e7)
    cells = np.isfinite(responses).sum(axis=0)
    assert rescaled.loglik == pytest.approx(plain.loglik - (cells[2] - cells[0]) * np.log(1e6), abs=1e-6)
    doubled = unrestricted(responses, np.column_stack([covariates, covariates.sum(axis=1)]))
    assert doubled.loglik == pytest.approx(plain.loglik, abs=1e-7)
    assert doubled.parameters == plain.parameters


def test_a_saturated_model_fits_perfectly():
    responses, covariates = incomplete(7)
    free = unrestricted(responses, covariates)
    # a row without a response changes nothing
    responses = np.vstack([responses, np.full(4, np.nan)])
    covariates = np.vstack([covariates, np.full(2, 1e3)])
    moments = free.moments.coefficients, free.moments.covariance
    found = fit_measures(responses, covariates, free.loglik, free.parameters, *moments)
    assert (found.chisq, found.df, found.ntotal) == (0.0, 0, 60)
    assert (found.cfi, found.tli, found.rfi, found.nfi, found.ifi, found.rni) == (1.0,) * 6
    assert (found.rmsea, found.rmsea_ci_lower, found.rmsea_ci_upper) == (0.0,) * 3
    assert (found.srmr, found.crmr, found.pnfi) == (0.0,) * 3
    assert np.isnan([found.pvalue, found.rmsea_pvalue]).all()


def test_the_baseline_as_a_model_is_its_own_baseline():
    responses, covariates = incomplete(8, share=0.0)
    p = responses.shape[1]
    moments = np.column_stack([responses.mean(axis=0), np.zeros((p, 2))]), np.diag(responses.var(axis=0))
    found = fit_measures(responses, covariates, independence(responses), 2 * p, *moments)
    assert found.chisq == found.baseline_chisq
    assert found.df == found.baseline_df == p * (p - 1) / 2 + 2 * p
    assert (found.cfi, found.tli, found.rfi, found.nfi, found.pnfi, found.rni) == (0.0,) * 6
    # all that is left over are the correlations among the responses and with the covariates
    together = np.corrcoef(np.column_stack([responses, covariates]).T)
    off = np.concatenate([together[:p, :p][np.tril_indices(p, -1)], together[:p, p:].ravel()])
    assert found.srmr == pytest.approx(np.sqrt((off**2).sum() / (21 + 6)), rel=1e-9)
    assert found.crmr == pytest.approx(np.sqrt((off**2).sum() / 21), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.column_stack([y, np.full(len(y), 0.1)]), "a response is constant"),
        (lambda y: np.column_stack([y, y.sum(axis=1)]), "covariance matrix of the responses is singular"),
        (lambda y: y[:6], "covariance matrix of the responses is singular"),
    ],
)
def test_responses_without_an_unrestricted_maximum(change, message):
    responses, covariates = incomplete(9, share=0.0)
    responses = change(responses)
    p = responses.shape[1]
    with pytest.raises(DataError, match=message):
        fit_measures(responses, covariates[: len(responses)], -100.0, 5, np.zeros((p, 3)), np.eye(p))
