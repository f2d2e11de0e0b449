"""Conventions of published numbers: degrees of freedom, criteria, intervals, tables, labels."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

import glamm

SCHOOLS = glamm.data.load("schools")
SEEDS = glamm.data.load("seeds")
COUNTS = glamm.data.load("counts")


def test_a_linear_mixed_model_is_its_multivariate_normal():
    fit = glamm.fit("score ~ ses + (1 | school)", SCHOOLS)
    x, y = np.column_stack([np.ones(600), SCHOOLS["ses"]]), SCHOOLS["score"].to_numpy()

    def deviance(t):
        covariance = np.exp(2 * t[2]) * np.ones((30, 30)) + np.exp(2 * t[3]) * np.eye(30)
        residuals = np.reshape(y - x @ t[:2], (20, 30))
        return -2.0 * multivariate_normal.logpdf(residuals, np.zeros(30), covariance).sum()

    best = minimize(deviance, [50.0, 3.0, 1.4, 2.0], method="BFGS", options={"gtol": 1e-4})
    assert -2.0 * fit.llf == pytest.approx(best.fun, rel=1e-9)
    expected = [*best.x[:2], np.exp(best.x[3]), np.exp(best.x[2])]
    names = ["score ~ 1", "score ~ ses", "sigma(score)", "sd(1 | school)"]
    np.testing.assert_allclose(fit.params[names], expected, rtol=1e-4)
    # BIC counts rows, as lme4's does, and all four parameters
    assert fit.aic == pytest.approx(best.fun + 8.0, rel=1e-9)
    assert fit.bic == pytest.approx(best.fun + 4.0 * np.log(600.0), rel=1e-9)
    assert (fit.nobs, fit.df_model, fit.df_resid) == (600.0, 4, 596.0)
    glance = fit.glance().iloc[0]
    assert (glance["nobs"], glance["df"], glance["df_residual"]) == (600.0, 4, 596.0)
    assert glance["deviance"] == pytest.approx(best.fun, rel=1e-9)


def test_variance_components_as_lme4_prints_them():
    fit = glamm.fit("score ~ ses + (1 + ses | school)", SCHOOLS)
    frame = fit.VarCorr().frame
    assert frame["grp"].tolist() == ["school"] * 3 + ["Residual"]
    assert frame["var1"].tolist() == ["(Intercept)", "ses", "(Intercept)", "score"]
    sds = fit.params[["sd(1 | school)", "sd(ses | school)"]].to_numpy()
    correlation = fit.params["cor(1, ses | school)"]
    np.testing.assert_allclose(frame["sdcor"], [*sds, correlation, fit.params["sigma(score)"]])
    np.testing.assert_allclose(
        frame["vcov"], [*sds**2, correlation * sds.prod(), fit.params["sigma(score)"] ** 2]
    )
    covariance = fit.VarCorr()["school"]
    assert covariance.loc["(Intercept)", "ses"] == pytest.approx(correlation * sds.prod())
    tidy = fit.tidy()
    assert tidy["effect"].tolist() == ["fixed"] * 2 + ["auxiliary"] + ["ran_pars"] * 3
    assert tidy["term"].tolist() == (
        ["(Intercept)", "ses", "sigma", "sd__(Intercept)", "sd__ses", "cor__(Intercept).ses"]
    )


def test_counts_of_successes_are_one_observation_a_row():
    fit = glamm.fit("cbind(r, n - r) ~ seed + (1 | plate)", SEEDS, "binomial")
    assert (fit.nobs, fit.df_resid) == (21.0, 18.0)
    assert fit.bic == pytest.approx(3.0 * np.log(21.0) - 2.0 * fit.llf)
    # means and residuals are proportions
    np.testing.assert_allclose(fit.resid + fit.predict(), SEEDS["r"] / SEEDS["n"])


def test_rows_left_out_are_not_observations():
    fit = glamm.fit(
        "score ~ ses + (1 | school)",
        SCHOOLS.assign(ses=SCHOOLS["ses"].mask(SCHOOLS.index.isin(range(3, 8)))),
    )
    assert fit.nobs == 595.0
    for column in (fit.predict(), fit.resid, fit.simulate(seed=1)["score"]):
        assert np.flatnonzero(column.isna()).tolist() == [3, 4, 5, 6, 7]
    assert "5 of 600 rows left out" in str(fit.summary())


def test_intervals_stay_inside_the_range_of_the_parameter():
    fit = glamm.fit("y ~ visit + (visit | id)", COUNTS, "poisson", points=5)
    limits, values, errors = fit.conf_int(0.1), fit.params, fit.bse
    z = norm.ppf(0.95)
    for name in ("sd(1 | id)", "sd(visit | id)"):
        factor = np.exp(z * errors[name] / values[name])
        np.testing.assert_allclose(limits.loc[name], [values[name] / factor, values[name] * factor])
    name = "cor(1, visit | id)"
    half = z * errors[name] / (1.0 - values[name] ** 2)
    np.testing.assert_allclose(limits.loc[name], np.tanh(np.arctanh(values[name]) + np.array([-half, half])))
    np.testing.assert_allclose(
        limits.loc["y ~ visit"], values["y ~ visit"] + np.array([-z, z]) * errors["y ~ visit"]
    )


def test_random_effects_are_sorted_and_labelled_by_their_clusters():
    shuffled = SCHOOLS.sample(frac=1.0, random_state=3)
    text = "score ~ ses + (1 | school/class)"
    effects, expected = glamm.fit(text, shuffled).ranef(), glamm.fit(text, SCHOOLS).ranef()
    assert list(effects) == ["school:class", "school"]
    assert sorted(effects["school"].index) == list(range(1, 21))
    assert set(effects["school:class"].index) == {f"{s}:{c}" for s in range(1, 21) for c in (1, 2, 3)}
    for level, frame in expected.items():
        pd.testing.assert_frame_equal(effects[level].loc[frame.index], frame, atol=1e-6)
