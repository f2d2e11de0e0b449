"""Posterior classes, sizes, profiles and fit of classes, written out by hand for small models."""

import numpy as np
import pandas as pd
import pytest
from class_problems import ITEMS, item_frame, latent_class, multilevel, multilevel_frame
from scipy.special import expit, softmax
from scipy.stats import chi2

import glamm
from glamm.errors import GlammError
from glamm.results.classes import ClassFit, derivative
from glamm.results.classes_draw import draw_responses, with_responses


@pytest.fixture(scope="module")
def fit():
    return latent_class(400).fit()


@pytest.fixture(scope="module")
def three():
    return latent_class(400, classes=3).fit()


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(80), 4)
    x = rng.standard_normal(320)
    y = rng.poisson(np.exp(np.where(g < 30, -0.5, 1.2) + 0.4 * x))
    return glamm.Model("y ~ x + npml(1 | g, k=2)", pd.DataFrame({"y": y, "x": x, "g": g}), "poisson").fit()


def parts(fit):
    """Return class sizes (2,) and probabilities of ones (2, items)."""
    p = fit.params
    inside = np.array([[expit(p[f"{item} ~ c[{k}]"]) for item in ITEMS] for k in (1, 2)])
    return np.array([expit(p["c[1] ~ 1"]), 1 - expit(p["c[1] ~ 1"])]), inside


def joint(fit, frame):
    """Return the probability of each row's responses with each class, (rows, 2)."""
    sizes, inside = parts(fit)
    y = frame[list(ITEMS)].to_numpy()[:, None]
    return sizes * np.where(y == 1, inside, 1 - inside).prod(axis=2)


# ------------------------------------------------ classes


def test_posterior_probabilities_follow_bayes(fit):
    both = joint(fit, item_frame(400))
    found = fit.class_probabilities()
    assert list(found.columns) == ["1", "2"]
    np.testing.assert_allclose(found, both / both.sum(axis=1, keepdims=True), rtol=1e-8)
    modal = fit.classes()
    assert (modal == np.where(found["1"] > found["2"], "1", "2")).all()
    assert modal.name == "c"


def test_the_index_is_that_of_the_data():
    frame = item_frame(80).set_index(pd.Index([f"p{k}" for k in range(80)]))
    found = glamm.Model("c =~ a + b + d + e; c ~ classes(2)", frame, "binomial").fit()
    assert list(found.class_probabilities().index) == list(frame.index)


def test_sizes_and_their_errors(fit):
    sizes = fit.class_sizes()
    np.testing.assert_allclose(sizes["size"], parts(fit)[0], rtol=1e-6)
    assert sizes["size"].is_monotonic_increasing
    first = sizes.loc["1", "size"]
    np.testing.assert_allclose(sizes["std_error"], fit.bse["c[1] ~ 1"] * first * (1 - first), rtol=1e-6)
    assert sizes["modal"].sum() == pytest.approx(1)


def test_profiles_are_probabilities_of_items(fit):
    profiles = fit.class_profiles()
    _, inside = parts(fit)
    for k, label in enumerate(("1", "2")):
        np.testing.assert_allclose(profiles[label, "estimate"], inside[k], rtol=1e-9)
        errors = fit.bse[[f"{item} ~ c[{label}]" for item in ITEMS]].to_numpy() * inside[k] * (1 - inside[k])
        np.testing.assert_allclose(profiles[label, "std_error"], errors, rtol=1e-6)


def test_profiles_of_categories_sum_to_one():
    frame = item_frame(300).assign(s=lambda f: f["a"] + f["b"] + f["d"])
    fit = glamm.Model(
        "c =~ s + a + e; c ~ classes(2)", frame, {"s": "multinomial", "a": "binomial", "e": "binomial"}
    ).fit()
    found = fit.class_profiles().loc["s"].xs("estimate", axis=1, level=1)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-9)
    assert list(found.index) == ["0", "1", "2", "3"]


def test_entropy_and_classification(fit):
    p = fit.class_probabilities().to_numpy()
    assert fit.entropy() == pytest.approx(1 + (p * np.log(p)).sum() / (len(p) * np.log(2)))
    table = fit.classification()
    modal = p.argmax(axis=1)
    np.testing.assert_allclose(table, [p[modal == k].mean(axis=0) for k in (0, 1)], rtol=1e-12)


def test_classes_of_two_levels():
    frame = multilevel_frame(40)
    fit = multilevel(frame).fit()
    pupils, schools = fit.class_probabilities("c"), fit.class_probabilities("g")
    assert pupils.shape == (len(frame), 2)
    assert schools.shape == (40, 2)
    np.testing.assert_allclose(pupils.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(fit.class_sizes("g")["size"], schools.mean(), rtol=1e-9)
    with pytest.raises(GlammError, match="'h' is no class variable"):
        fit.classes("h")


def test_models_without_classes_and_fits_without_data_say_so(fit):
    plain = glamm.Model("a ~ x", item_frame(), "binomial").fit()
    with pytest.raises(GlammError, match="no discrete latent variable"):
        plain.class_sizes()
    with pytest.raises(GlammError, match="no longer has"):
        fit.without_data().class_sizes()


def test_solutions_are_listed(fit):
    assert list(fit.solutions.columns) == ["loglik", "found", "converged"]
    assert fit.solutions.loc[0, "loglik"] == fit.llf
    assert fit.solutions.loc[0, "found"] > 1


# ------------------------------------------------ fit


def test_patterns(fit):
    frame = item_frame(400)
    observed = frame.groupby(list(ITEMS)).size()
    cells = observed.index.to_frame(index=False)
    expected = 400 * joint(fit, cells).sum(axis=1)
    n = observed.to_numpy()
    found = fit.pattern_fit()
    assert found["g2"] == pytest.approx(2 * (n * np.log(n / expected)).sum(), rel=1e-6)
    assert found["x2"] == pytest.approx(
        ((n - expected) ** 2 / expected).sum() + 400 - expected.sum(), rel=1e-6
    )
    assert found["df"] == 15 - 9
    assert found["p_g2"] == pytest.approx(chi2.sf(found["g2"], 6))


def test_patterns_need_a_model_without_covariates():
    with pytest.raises(GlammError, match="without covariates"):
        latent_class(covariate=True).fit().pattern_fit()
    frame = item_frame().assign(y=lambda f: f["x"])
    mixed = glamm.Model(
        "c =~ y + a + b; c ~ classes(2)", frame, {"y": "gaussian", "a": "binomial", "b": "binomial"}
    )
    with pytest.raises(GlammError, match="no categories"):
        mixed.fit().pattern_fit()


def test_bivariate_residuals(fit):
    frame = item_frame(400)
    sizes, inside = parts(fit)
    seen = pd.crosstab(frame["a"], frame["d"]).to_numpy()
    rows, columns = (np.column_stack((1 - inside[:, k], inside[:, k])) for k in (0, 2))
    expected = 400 * np.einsum("k,ka,kb->ab", sizes, rows, columns)
    found = fit.bivariate_residuals()
    assert found.loc["d", "a"] == pytest.approx(((seen - expected) ** 2 / expected).sum(), rel=1e-6)
    assert np.isnan(found.loc["a", "d"])


def test_criteria(fit, three):
    found = fit.class_criteria()
    assert found["bic"] == pytest.approx(-2 * fit.llf + 9 * np.log(400))
    assert found["sabic"] == pytest.approx(-2 * fit.llf + 9 * np.log(402 / 24))
    p = fit.class_probabilities().to_numpy()
    assert found["icl"] == pytest.approx(found["bic"] - 2 * (p * np.log(p)).sum())
    table = fit.compare_classes(three)
    assert list(table["parameters"]) == [9, 14]
    assert list(table.index) == [fit.formula, three.formula]


def test_bootstrap_test_keeps_two_classes(fit, three):
    found = fit.bootstrap_test(three, draws=9, seed=1)
    assert found.statistic == pytest.approx(2 * (three.llf - fit.llf))
    assert found.pvalue == (1 + (found.simulated >= found.statistic).sum()) / 10
    assert found.pvalue > 0.1
    assert (found.simulated > -1e-4).all()


def test_drawn_responses_have_the_fitted_frequencies(fit):
    classes = ClassFit.of(fit._source)
    rng = np.random.default_rng(0)
    sizes, inside = parts(fit)
    means = np.mean([[y[:, 0].mean() for y in draw_responses(classes, rng)] for _ in range(60)], axis=0)
    expected = sizes @ inside
    np.testing.assert_allclose(means, expected, atol=4 * np.sqrt(0.25 / (400 * 60)))
    lowered = classes.source.lowered
    same = with_responses(lowered, [r.encoded.y[::2] for r in lowered.plan.responses])
    for one, other in zip(same.responses, lowered.plan.responses, strict=True):
        np.testing.assert_array_equal(one.encoded.y, other.encoded.y)


# ------------------------------------------------ mass points


def test_locations_and_masses(points):
    table = points.mass_points()
    name = "npml(1 | g, k=2)"
    np.testing.assert_array_equal(table["1"], points.params[[f"y ~ {name}[1]", f"y ~ {name}[2]"]])
    np.testing.assert_array_equal(table["se_1"], points.bse[[f"y ~ {name}[1]", f"y ~ {name}[2]"]])
    np.testing.assert_allclose(table["mass"], softmax([points.params[f"{name}[1] ~ 1"], 0.0]), rtol=1e-6)
    assert table["1"].is_monotonic_increasing


def test_the_directional_derivative_is_the_slope_towards_a_new_point(points):
    d = points.directional_derivative()
    locations = d.locations.ravel()
    np.testing.assert_allclose(d(d.locations), 0.0, atol=1e-5)
    place = locations.mean()
    weights = points.class_probabilities().to_numpy()
    plan = points._source.lowered.plan
    y, x = plan.responses[0].encoded.y[:, 0], plan.responses[0].predictors[0].design[:, -1]
    group = plan.levels[0].group[plan.responses[0].cluster]
    first = plan.responses[0].cluster % 2 == 0

    def loglik(at):
        nu = at + points.params["y ~ x"] * x[first]
        return np.bincount(group[first], y[first] * nu - np.exp(nu))

    mass = points.mass_points()["mass"].to_numpy()
    given = np.stack([loglik(at) for at in locations], axis=1)
    mixed = np.log((mass * np.exp(given - given.max(axis=1, keepdims=True))).sum(axis=1)) + given.max(axis=1)
    assert weights.shape == given.shape
    step = 1e-6
    moved = np.log((1 - step) * np.exp(mixed - mixed) + step * np.exp(loglik(place) - mixed))
    assert d([[place]])[0] == pytest.approx(moved.sum() / step, rel=1e-4)


def test_points_are_added_until_the_derivative_is_nowhere_positive():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(60), 3)
    y = rng.poisson(np.array([0.3, 2.0, 9.0])[g % 3])
    fit = glamm.Model('y ~ npml(1 | g, k="auto")', pd.DataFrame({"y": y, "g": g}), "poisson").fit()
    largest = fit.directional_derivative().largest()
    assert largest.value <= 1e-4
    assert len(fit.mass_points()) >= 3


def test_derivative_of_a_function():
    theta = np.array([0.3, -0.7])
    found = derivative(lambda t: np.array([np.exp(t[0]) * t[1], np.sin(t[1])]), theta)
    expected = [[np.exp(0.3) * -0.7, np.exp(0.3)], [0.0, np.cos(0.7)]]
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_profiles_are_drawn(fit):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    ax = fit.plot_classes()
    assert [t.get_text() for t in ax.get_xticklabels()] == list(ITEMS)
    assert len(ax.get_legend().get_texts()) == 2
    pyplot.close("all")
