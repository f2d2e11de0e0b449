"""Results of real fits: names of statsmodels and lme4, predictions, simulation, files."""

import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from results_at import result_at
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

import glamm
from glamm.errors import GlammError
from glamm.results.covariance import delta_method
from glamm.results.marginal import marginal_mean

SEEDS = "cbind(r, n - r) ~ seed * extract + (1 | plate)"
MODELS = {
    "binomial": (SEEDS, "seeds", "binomial"),
    "three levels": ("score ~ ses + small + (1 | school/class)", "schools", None),
    "slopes": ("y ~ treat * visit + (visit | id)", "counts", "poisson"),
    "ordinal": ("rating ~ trained + (1 | judge)", "ratings", "ordinal(probit)"),
    "multinomial": ("rating ~ trained", "ratings", "multinomial"),
    "survival": ("surv(time, event) ~ treat + bs(age, df=4) + (1 | hospital)", "survival", "weibull"),
    "offset": ("failures ~ 1 + offset(log(time)) + (1 | pump)", "pumps", "poisson"),
    "two responses": (
        "score + passed ~ ses + (1 | school); sigma(score) ~ ses",
        "schools",
        {"passed": "binomial"},
    ),
    "no groups": ("score ~ ses + C(small)", "schools", None),
}


@pytest.fixture(scope="module")
def fits():
    """Return the fit of a model by name, made once."""
    made = {}

    def get(name):
        if name not in made:
            text, data, family = MODELS[name]
            made[name] = glamm.fit(text, glamm.data.load(data), family, points=5)
        return made[name]

    return get


def data_of(name):
    return glamm.data.load(MODELS[name][1])


@pytest.mark.parametrize("name", MODELS)
def test_tables_agree_with_each_other(fits, name):
    fit = fits(name)
    assert fit.converged
    tidy = fit.tidy()
    assert list(tidy.columns) == (
        ["effect", "group", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    )
    assert tidy.index.tolist() == fit.params.index.tolist() == fit.bse.index.tolist()
    np.testing.assert_array_equal(tidy["estimate"], fit.params)
    np.testing.assert_array_equal(tidy[["conf_low", "conf_high"]], fit.conf_int())
    np.testing.assert_allclose(np.sqrt(np.diagonal(fit.cov_params())), fit.bse)
    fixed = tidy[tidy["effect"] == "fixed"]
    np.testing.assert_allclose(fixed["statistic"], fixed["estimate"] / fixed["std_error"])
    assert fixed["term"].tolist() == fit.fixef().index.tolist()
    assert tidy["term"].is_unique or len(fit.ngrps()) > 1
    assert fit.aic == pytest.approx(2 * len(tidy) - 2 * fit.llf)
    assert fit.df_resid == fit.nobs - fit.df_model
    for label in fit.fixef().index:
        assert label.removeprefix("score: ").removeprefix("passed: ") in str(fit.summary())


@pytest.mark.parametrize("name", MODELS)
def test_predictions_for_the_same_data_agree(fits, name):
    fit, data = fits(name), data_of(name)
    for kind in ("response", "link", "linear", "conditional", "marginal", "probability"):
        for random in (True, "zero", False):
            own = fit.predict(kind=kind, random=random)
            new = fit.predict(data, kind=kind, random=random)
            np.testing.assert_allclose(np.asarray(new), np.asarray(own), rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_fit_comes_back(fits, name, tmp_path):
    fit, data = fits(name), data_of(name).iloc[:7]
    path = tmp_path / "fit.glamm"
    fit.save(path)
    back = glamm.load(path)
    assert str(back.summary()) == str(fit.summary())
    pd.testing.assert_frame_equal(back.cov_params(), fit.cov_params())
    for level, frame in fit.ranef().items():
        pd.testing.assert_frame_equal(back.ranef()[level], frame)
    for kind in ("response", "marginal", "linear"):
        np.testing.assert_array_equal(
            np.asarray(back.predict(data, kind)), np.asarray(fit.predict(data, kind))
        )
    robust = fit.with_covariance("robust") if fit.ngrps() else fit.with_covariance("opg")
    np.testing.assert_array_equal(back.with_covariance(robust.cov_type).bse, robust.bse)
    second = tmp_path / "again.glamm"
    back.save(second)
    assert str(glamm.load(second).summary()) == str(fit.summary())


@pytest.mark.parametrize("name", MODELS)
def test_pickles(fits, name):
    fit = fits(name)
    fit.ranef()
    back = pickle.loads(pickle.dumps(fit))
    assert str(back.summary()) == str(fit.summary())
    np.testing.assert_array_equal(np.asarray(back.fittedvalues), np.asarray(fit.fittedvalues))
    bare = pickle.loads(pickle.dumps(fit.without_data()))
    assert str(bare.summary()) == str(fit.summary())


@pytest.mark.parametrize("name", MODELS)
def test_simulated_responses_can_be_fitted(fits, name):
    fit, data = fits(name), data_of(name)
    drawn = fit.simulate(seed=3)
    pd.testing.assert_frame_equal(drawn, fit.simulate(seed=3))
    assert not drawn.equals(fit.simulate(seed=4))
    text, _, family = MODELS[name]
    again = glamm.Model(text, data.assign(**{c: drawn[c] for c in drawn if c in data}), family)
    assert again.names == tuple(fit.params.index)
    three = fit.simulate(3, seed=3)
    assert three.columns.get_level_values("draw").unique().tolist() == [0, 1, 2]


def test_simulation_has_the_moments_of_the_model(fits):
    fit = fits("offset")
    marginal = fit.predict(kind="marginal").to_numpy()
    drawn = fit.simulate(4000, seed=1).to_numpy()
    error = drawn.std(axis=1) / np.sqrt(drawn.shape[1])
    assert np.all(np.abs(drawn.mean(axis=1) - marginal) < 4.5 * error)


def test_random_effects_by_cluster(fits):
    fit = fits("slopes")
    frame = fit.ranef()["id"]
    assert list(frame.columns) == ["(Intercept)", "visit", "sd_(Intercept)", "sd_visit"]
    assert len(frame) == fit.ngrps()["id"] == 80
    data = data_of("slopes")
    beta = fit.fixef()
    effects = frame.loc[data["id"]].reset_index(drop=True)
    nu = (
        beta["(Intercept)"]
        + beta["treat"] * data["treat"]
        + beta["visit"] * data["visit"]
        + beta["treat:visit"] * data["treat"] * data["visit"]
    )
    np.testing.assert_allclose(fit.predict(kind="linear"), nu)
    nu = nu + effects["(Intercept)"] + effects["visit"] * data["visit"]
    np.testing.assert_allclose(fit.predict(kind="link"), nu)
    np.testing.assert_allclose(fit.fittedvalues, np.exp(nu))
    np.testing.assert_allclose(fit.resid, data["y"] - np.exp(nu))


def test_nested_levels_are_labelled_like_lme4(fits):
    fit = fits("three levels")
    assert list(fit.ranef()) == ["school:class", "school"]
    assert all(":" in str(label) for label in fit.ranef()["school:class"].index)
    assert list(fit.VarCorr()) == ["school:class", "school"]
    assert "Residual" in str(fit.VarCorr())


def test_marginal_prediction_is_the_integral(fits):
    fit = fits("binomial")
    sd = fit.params["sd(1 | plate)"]
    for eta, p in list(zip(fit.predict(kind="linear"), fit.predict(kind="marginal"), strict=True))[::6]:
        exact = quad(lambda u, eta=eta: expit(eta + sd * u) * norm.pdf(u), -12, 12)[0]
        assert p == pytest.approx(exact, abs=1e-10)


def test_marginal_mean_of_two_random_predictors():
    covariance = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    centre = [np.array([1.0, 2.0, 0.0]), np.array([-1.0, 3.0, 0.0])]
    found = marginal_mean(lambda nu: nu[0] * nu[1], centre, covariance)
    np.testing.assert_allclose(found, [-0.7, 6.0, 1.0], atol=1e-12)


def test_probabilities_sum_to_one(fits):
    for name in ("ordinal", "multinomial"):
        for kind in ("probability", "marginal"):
            p = fits(name).predict(kind=kind)
            assert list(p.columns) == ["1", "2", "3", "4", "5"]
            np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert fits("ordinal").predict(kind="link").ndim == 1
    assert list(fits("multinomial").predict(kind="link").columns) == ["2", "3", "4", "5"]


def test_new_clusters_and_absent_groups_count_as_zero(fits):
    fit, data = fits("binomial"), data_of("binomial").iloc[:3]
    zero = fit.predict(data, random="zero")
    np.testing.assert_array_equal(fit.predict(data.assign(plate=99)), zero)
    np.testing.assert_array_equal(fit.predict(data.drop(columns="plate")), zero)
    assert not np.allclose(fit.predict(data), zero)


def test_new_data_keep_index_and_missing_values(fits):
    fit = fits("three levels")
    new = data_of("three levels").iloc[[5, 2, 9]].set_axis(["a", "b", "c"])
    new.loc["b", "ses"] = np.nan
    found = fit.predict(new)
    assert found.index.tolist() == ["a", "b", "c"]
    assert found.isna().tolist() == [False, True, False]


def test_robust_errors_are_the_sandwich(fits):
    fit = fits("binomial")
    source = fit._source
    scores, bread = source._scores, source.optimum.covariance
    np.testing.assert_allclose(scores.sum(axis=0), 0.0, atol=1e-5)
    expected = 21 / 20 * bread @ (scores.T @ scores) @ bread
    found = fit.with_covariance("robust")
    jacobian = source.lowered.parameters.jacobian(fit.theta)
    np.testing.assert_allclose(found.cov_params(), delta_method(expected, jacobian))
    assert "robust (sandwich)" in str(found.summary())
    np.testing.assert_array_equal(found.params, fit.params)


def test_a_variance_at_zero_is_reported_as_such():
    rng = np.random.default_rng(5)
    y = np.tile([-1.0, 1.0], 20) + 0.01 * rng.normal(size=40)
    fit = glamm.fit("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": np.repeat(np.arange(20), 2)}))
    assert fit.converged and fit.params["sd(1 | g)"] == 0.0
    assert np.isnan(fit.bse["sd(1 | g)"]) and np.isfinite(fit.bse.drop("sd(1 | g)")).all()
    assert "on the boundary" in fit.missing_errors["sd(1 | g)"]
    assert "note: sd(1 | g): 0, on the boundary: no standard error" in str(fit.summary())
    assert fit.conf_int().loc["sd(1 | g)"].isna().all()


def test_mistakes_in_prediction(fits):
    fit = fits("binomial")
    with pytest.raises(GlammError, match="did you mean 'marginal'"):
        fit.predict(kind="marginl")
    with pytest.raises(GlammError, match="random='none'"):
        fit.predict(random="none")
    with pytest.raises(GlammError, match="no column 'extract'"):
        fit.predict(data_of("binomial").drop(columns="extract"))
    with pytest.raises(GlammError, match="'seed' has the level 'x'"):
        fit.predict(data_of("binomial").assign(seed="x"))
    with pytest.raises(GlammError, match="has categories"):
        fits("ordinal").resid  # noqa: B018


def test_what_needs_data_says_so(fits):
    bare = fits("binomial").without_data()
    for use in (lambda: bare.resid, lambda: bare.simulate(seed=1), bare.predict):
        with pytest.raises(GlammError, match="without its data"):
            use()


def test_files_that_are_no_fits(fits, tmp_path):
    with pytest.raises(GlammError, match="there is no file"):
        glamm.load(tmp_path / "nothing.glamm")
    (tmp_path / "text.glamm").write_text("y ~ x")
    with pytest.raises(GlammError, match="is not a saved fit"):
        glamm.load(tmp_path / "text.glamm")
    path = tmp_path / "fit.glamm"
    fits("binomial").save(path)
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("fit.json"))
    document["format"] = 99
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fit.json", json.dumps(document))
    with pytest.raises(GlammError, match="newer than this one"):
        glamm.load(path)


def test_residuals_of_the_responses_that_are_no_categories():
    schools = glamm.data.load("schools")
    schools["grade"] = pd.Categorical(np.arange(len(schools)) % 3, ordered=True)
    fit = result_at("score ~ ses; grade ~ ses; family(grade) = ordinal", schools)
    found = fit.resid
    b = fit.params
    fitted = b["score ~ 1"] + b["score ~ ses"] * schools["ses"]
    pd.testing.assert_series_equal(found, schools["score"] - fitted, check_names=False)
    assert found.name == "score"
