"""Fit measures against lavaan, closed forms and direct maximisation."""

import numpy as np
import pandas as pd
import pytest
from reference import FOLDER, results
from scipy import stats
from scipy.optimize import minimize

from glamm.errors import DataError
from glamm.results.fit_measures import fit_measures
from glamm.results.unrestricted import independence, unrestricted


def frame(name):
    return pd.read_csv(FOLDER / results(name)["data"]["file"])


def implied(params, observed, latents, covariates=()):
    """Return coefficients and covariance given the covariates of a model in lavaan's parameters.

    A loading without a parameter is the marker's.
    """
    variables = [*observed, *latents]
    at = {name: k for k, name in enumerate(variables)}
    size = len(variables)
    paths, spread = np.zeros((size, size)), np.zeros((size, size))
    outer = np.zeros((size, 1 + len(covariates)))
    for latent, (marker, *_) in latents.items():
        paths[at[marker], at[latent]] = 1.0
    for name, value in params.items():
        if "=~" in name:
            latent, indicator = name.split("=~")
            paths[at[indicator], at[latent]] = value
        elif "~~" in name:
            left, right = name.split("~~")
            spread[at[left], at[right]] = spread[at[right], at[left]] = value
        else:
            left, right = name.split("~")
            if right in at:
                paths[at[left], at[right]] = value
            else:
                outer[at[left], 0 if right == "1" else 1 + covariates.index(right)] = value
    for latent in latents:
        if spread[at[latent], at[latent]] == 0.0:
            spread[at[latent], at[latent]] = 1.0
    solve = np.linalg.inv(np.eye(size) - paths)
    p = len(observed)
    return (solve @ outer)[:p], (solve @ spread @ solve.T)[:p, :p]


HS = {"visual": ["x1", "x2", "x3"], "textual": ["x4", "x5", "x6"], "speed": ["x7", "x8", "x9"]}
POLITY = {
    "ind60": ["x1", "x2", "x3"],
    "dem60": ["y1", "y2", "y3", "y4"],
    "dem65": ["y5", "y6", "y7", "y8"],
}
MODELS = {
    "fa_hs_cfa3_marker": (HS, ()),
    "fa_hs_cfa3_stdlv": (HS, ()),
    "sem_hs_mimic": (HS, ("age13", "male", "pasteur")),
    "sem_polidem": (POLITY, ()),
    "fa_bfi_agree_fiml": ({"A": ["A2", "A1", "A3", "A4", "A5"]}, ()),
}


def measures(name):
    latents, covariates = MODELS[name]
    observed = [indicator for indicators in latents.values() for indicator in indicators]
    lavaan = results(name)["results"]["lavaan"]
    coefficients, covariance = implied(lavaan["params"], observed, latents, covariates)
    data = frame(name)
    return fit_measures(
        data[observed].to_numpy(dtype=float),
        data[list(covariates)].to_numpy(dtype=float),
        lavaan["loglik"],
        lavaan["n_params"],
        coefficients,
        covariance,
    )


def loglik(responses, covariates, coefficients, covariance):
    """Return the log-likelihood, row by row."""
    total = 0.0
    for y, x in zip(responses, covariates, strict=True):
        seen = np.isfinite(y)
        mean = coefficients @ np.concatenate([[1.0], x])
        part = covariance[np.ix_(seen, seen)]
        total += stats.multivariate_normal.logpdf(y[seen], mean[seen], part)
    return float(total)


@pytest.mark.parametrize("name", MODELS)
def test_chisq_is_that_of_lavaan(name):
    lavaan = results(name)["results"]["lavaan"]
    found = measures(name)
    assert found.df == lavaan["df"]
    assert found.chisq == pytest.approx(lavaan["chisq"], abs=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_moments_of_the_tests_give_the_loglik_of_lavaan(name):
    latents, covariates = MODELS[name]
    observed = [indicator for indicators in latents.values() for indicator in indicators]
    lavaan = results(name)["results"]["lavaan"]
    data = frame(name)
    at = loglik(
        data[observed].to_numpy(dtype=float),
        data[list(covariates)].to_numpy(dtype=float),
        *implied(lavaan["params"], observed, latents, covariates),
    )
    assert at == pytest.approx(lavaan["loglik"], abs=1e-6)


def test_published_measures_of_holzinger_and_swineford():
    # the lavaan tutorial's output of this model, with a mean structure
    published = {
        "chisq": 85.306,
        "df": 24,
        "pvalue": 0.000,
        "baseline.chisq": 918.852,
        "baseline.df": 36,
        "baseline.pvalue": 0.000,
        "cfi": 0.931,
        "tli": 0.896,
        "nnfi": 0.896,
        "rfi": 0.861,
        "nfi": 0.907,
        "pnfi": 0.605,
        "ifi": 0.931,
        "rni": 0.931,
        "logl": -3737.745,
        "unrestricted.logl": -3695.092,
        "npar": 30,
        "aic": 7535.490,
        "bic": 7646.703,
        "ntotal": 301,
        "bic2": 7551.560,
        "rmsea": 0.092,
        "rmsea.ci.lower": 0.071,
        "rmsea.ci.upper": 0.114,
        "rmsea.pvalue": 0.001,
        "srmr": 0.060,
        "crmr": 0.065,
    }
    found = measures("fa_hs_cfa3_marker").as_dict()
    assert {name: round(value, 3) for name, value in found.items()} == published


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


def test_growth_model():
    # no published measures: against the definitions, with lavaan's estimates
    lavaan = results("growth_demo_plain")["results"]["lavaan"]
    params = lavaan["params"]
    responses = frame("growth_demo_plain")[["t1", "t2", "t3", "t4"]].to_numpy(dtype=float)
    times = np.column_stack([np.ones(4), np.arange(4.0)])
    spread = np.array([[params["psi_ii"], params["psi_is"]], [params["psi_is"], params["psi_ss"]]])
    mean = times @ [params["mean_i"], params["mean_s"]]
    covariance = times @ spread @ times.T + params["theta"] * np.eye(4)
    none = np.zeros((400, 0))
    found = fit_measures(responses, none, lavaan["loglik"], 6, mean[:, None], covariance)
    sample, centre = np.cov(responses.T, bias=True), responses.mean(axis=0)
    excess = np.trace(np.linalg.solve(covariance, sample)) - 4
    excess += np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(sample)[1]
    excess += (centre - mean) @ np.linalg.solve(covariance, centre - mean)
    assert found.chisq == pytest.approx(400 * excess, abs=1e-6)
    assert found.df == 8
    assert found.pvalue == pytest.approx(stats.chi2.sf(400 * excess, 8), rel=1e-6)
    assert found.rmsea == pytest.approx(np.sqrt(max(excess / 8 - 1 / 400, 0.0)), abs=1e-7)
    scale = np.sqrt(np.diagonal(sample))
    lower = ((sample - covariance) / np.outer(scale, scale))[np.tril_indices(4)]
    squares = (lower**2).sum() + (((centre - mean) / scale) ** 2).sum()
    assert found.srmr == pytest.approx(np.sqrt(squares / 14), rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_limits_of_the_rmsea_are_quantiles(name):
    found = measures(name)
    size = found.ntotal * found.df
    for limit, probability in ((found.rmsea_ci_lower, 0.95), (found.rmsea_ci_upper, 0.05)):
        at = stats.ncx2.cdf(found.chisq, found.df, size * limit**2)
        assert at == pytest.approx(probability, abs=1e-8)
    assert found.rmsea_pvalue == pytest.approx(
        stats.ncx2.sf(found.chisq, found.df, size * 0.05**2), rel=1e-6, abs=1e-12
    )


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
