"""Fit measures against lavaan's."""

import numpy as np
import pandas as pd
import pytest
from gaussian import loglik
from reference import FOLDER, results
from scipy import stats

from glamm.results.fit_measures import fit_measures


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


@pytest.mark.parametrize("name", MODELS)
def test_chisq_is_that_of_lavaan(name):
    lavaan = results(name)["results"]["lavaan"]
    found = measures(name)
    assert found.df == lavaan["df"]
    # of a model with p responses and k covariates: all covariances and slopes
    assert found.baseline_df == {"fa_bfi_agree_fiml": 10, "sem_hs_mimic": 63, "sem_polidem": 55}.get(name, 36)
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
    # the lavaan tutorial's output of this model without a mean structure
    published = {
        "chisq": 85.306,
        "df": 24,
        "pvalue": 0.000,
        "baseline.chisq": 918.852,
        "baseline.df": 36,
        "baseline.pvalue": 0.000,
        "cfi": 0.931,
        "tli": 0.896,
        "logl": -3737.745,
        "unrestricted.logl": -3695.092,
        "ntotal": 301,
        "rmsea": 0.092,
        "rmsea.ci.lower": 0.071,
        "rmsea.ci.upper": 0.114,
        "rmsea.pvalue": 0.001,
    }
    found = measures("fa_hs_cfa3_marker").as_dict()
    assert {name: round(found[name], 3) for name in published} == published
    # with a mean structure there are nine parameters more, and nine residuals more that are zero
    assert found["npar"] == 21 + 9
    assert found["aic"] == pytest.approx(7517.490 + 2 * 9, abs=6e-4)
    assert found["bic"] == pytest.approx(7595.339 + np.log(301) * 9, abs=6e-4)
    assert found["bic2"] == pytest.approx(7528.739 + np.log(303 / 24) * 9, abs=6e-4)
    assert found["srmr"] * np.sqrt((45 + 9) / 45) == pytest.approx(0.065, abs=5e-4)
    # by their definitions from the published statistics
    chisq, baseline = published["chisq"], published["baseline.chisq"]
    assert found["nnfi"] == found["tli"]
    assert found["nfi"] == pytest.approx(1 - chisq / baseline, abs=2e-6)
    assert found["pnfi"] == pytest.approx(24 / 36 * (1 - chisq / baseline), abs=2e-6)
    assert found["rfi"] == pytest.approx(1 - chisq / 24 / (baseline / 36), abs=2e-6)
    assert found["ifi"] == pytest.approx((baseline - chisq) / (baseline - 24), abs=2e-6)
    assert found["rni"] == pytest.approx(1 - (chisq - 24) / (baseline - 36), abs=2e-6)


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
