"""All-Gaussian models of several levels from sums within clusters, against the engine."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glamm
from glamm.inference import FitOptions, maximise
from glamm.inference.gaussian import GaussianObjective, objective_of
from glamm.inference.objective import Objective
from glamm.inference.starts import starting_values

TEXTS = {
    "random slope": "y1 ~ x + (1 + x | g)",
    "uncorrelated": "y1 ~ x + (1 + x || g); sigma(y1) ~ kind",
    "three levels": "y1 ~ x + w + (1 + x | g) + (1 | h)",
    "slopes at the top": "y1 ~ x + (1 + x + w | h) + (1 | g)",
    "slopes without intercepts": "y1 ~ x + offset(w) + (1 | g); y2 ~ (0 + x | h)",
    "covarying responses": "y1 + y2 ~ x + (1 + x | g)",
    "residual covariances": "y1 ~ x + (1 | g); y2 ~ w + (1 | g); y3 ~ x; y1 ~~ y2; y2 ~~ y3",
    "factor with random effects": "f =~ y1 + y2 + y3 + y4; f ~ x + (1 + x | g)",
    "factors of rows and groups": "f =~ y1 + y2 + y3 + y4; b | g =~ y1 + y2 + y3 + y4; b ~ w; f ~ x;"
    "y1 ~ (1 | g)",
    "factor of groups": "b | g =~ y1 + y2 + y3; b ~ w + (1 | h)",
    "responses of groups": "f =~ y1 + y2 + y3; b | g =~ s1 + s2; s1 + s2 | g ~ 1; f ~ b + x; b ~ w + (1 | h)",
    "means and held variances": "f =~ y1 + y2 + y3; f ~ b; b | g ~ 0 + w; b ~~ 0.5*b; sd(f) ~ 0 + kind",
    "factors of three levels": "f =~ y1 + y2 + y3; b | g =~ y1 + y2 + y3; t | h =~ y1 + y2 + y3; b ~ w;t ~ v",
    "covariances of factors": "b | g =~ y1 + y2; c | g =~ y3 + y4; b ~~ 0.2*c; y1 ~ x; c ~ w",
    "missing covariate": "y1 ~ mi(y2) + x + (1 | g); y2 ~ x + (1 | g)",
}


def clusters(seed, missing=0.0):
    """Return rows in groups of unequal sizes, some of one row, within a few larger groups."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(30), rng.integers(1, 7, 30))
    h = g // 5
    n = len(g)
    data = pd.DataFrame({"g": g, "h": h, "x": rng.normal(size=n), "kind": rng.choice([0.0, 1.0], n)})
    data = data.assign(w=rng.normal(size=30)[g], v=rng.normal(size=6)[h])
    shared = rng.normal(size=30)[g] + rng.normal(size=6)[h]
    f = rng.normal(size=n)
    for k in range(1, 5):
        data[f"y{k}"] = k + f + shared + rng.normal(size=n)
    for k in (1, 2):
        data[f"s{k}"] = shared + rng.normal(size=30)[g]
    data[["y2", "y3"]] = data[["y2", "y3"]].mask(rng.uniform(size=(n, 2)) < missing)
    data["s1"] = data["s1"].mask((rng.uniform(size=30) < missing)[g])
    return data.sample(frac=1.0, random_state=seed)


def check(plan, seed=0):
    """Compare with the engine at a point near the starting values."""
    closed, engine = objective_of(plan, 1), Objective(plan, 1)
    assert isinstance(closed, GaussianObjective)
    rng = np.random.default_rng(seed)
    theta = starting_values(plan).theta + 0.1 * rng.normal(size=plan.n_parameters)
    value, gradient = closed.value_and_gradient(theta)
    expected, slopes = engine.value_and_gradient(theta)
    assert np.isfinite(expected)
    assert value == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-10 * np.abs(slopes).max())


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
@given(seed=st.integers(0, 2**20), missing=st.sampled_from([0.0, 0.3]))
@settings(max_examples=6, deadline=None)
def test_value_and_gradient_are_the_engines(text, seed, missing):
    check(glamm.Model(text, clusters(seed, missing)).lowered.plan, seed)


@pytest.mark.parametrize("text", ["three levels", "factors of rows and groups", "responses of groups"])
def test_weights_of_every_level(text):
    data = clusters(3, 0.2)
    data["of_g"] = 1.0 + data["g"] % 3
    data["of_h"] = 1.0 + data["h"] % 2
    data["of_rows"] = 0.5 + (np.arange(len(data)) % 4)
    for weights in ({"g": "of_g"}, {"h": "of_h", "g": "of_g"}, {"row": "of_rows", "h": "of_h"}):
        if "h" in weights and "| h" not in TEXTS[text]:
            weights = {key: value for key, value in weights.items() if key != "h"}
        check(glamm.Model(TEXTS[text], data, weights=weights).lowered.plan)


def test_rows_of_many_items():
    """Long data: a factor of people in groups, items and their residual variances as rows."""
    data = clusters(4, 0.3).reset_index(names="person")
    long = data.melt(["person", "g", "h", "x", "w"], ["y1", "y2", "y3", "y4"], "item", "y")
    text = "y ~ 0 + item; sigma(y) ~ 0 + item; f | person =~ y:item; f ~ x + (1 | g) + (1 | h)"
    check(glamm.Model(text, long).lowered.plan)


@pytest.mark.parametrize("name", ["random slope", "factors of rows and groups", "responses of groups"])
def test_fits_end_where_the_engines_do(name):
    plan = glamm.Model(TEXTS[name], clusters(11, 0.1)).lowered.plan
    closed, engine = maximise(plan), maximise(plan, FitOptions(), Objective)
    assert closed.loglik == pytest.approx(engine.loglik, abs=1e-7)
    known = np.isfinite(np.diagonal(engine.covariance))
    np.testing.assert_array_equal(known, np.isfinite(np.diagonal(closed.covariance)))
    error = np.sqrt(np.diagonal(engine.covariance)[known])
    np.testing.assert_allclose(np.sqrt(np.diagonal(closed.covariance)[known]), error, rtol=1e-3)
    np.testing.assert_allclose(closed.theta[known], engine.theta[known], atol=1e-3 * error.max())


def test_constraints_and_derived_parameters():
    data = clusters(12)
    text = "y1 ~ label(a)*x + (1 + x | g); y2 ~ label(b)*x + (1 | g); a == b; ratio := a / 2"
    plan = glamm.Model(text, data).lowered.plan
    closed, engine = maximise(plan), maximise(plan, FitOptions(), Objective)
    assert closed.loglik == pytest.approx(engine.loglik, abs=1e-7)


@pytest.mark.parametrize(
    "text", ["f =~ y1 + y2 + y3; b | g ~ 0; f ~ b:w; b ~~ 1*b", "y1 ~ mi(s1) + x + (1 | g); s1 | g ~ w"]
)
def test_latent_variables_of_groups_that_are_not_alike_are_left_to_the_engine(text):
    plan = glamm.Model(text, clusters(5, 0.3)).lowered.plan
    assert isinstance(objective_of(plan, 1), Objective)


def test_large_means_and_far_slopes_lose_no_digits():
    data = clusters(6)
    data[["y1", "y2"]] += 1e6
    data["x"] += 2e3
    plan = glamm.Model("y1 ~ x + (1 + x | g); y2 ~ x", data).lowered.plan
    closed, engine = objective_of(plan, 1), Objective(plan, 1)
    theta = starting_values(plan).theta
    assert closed.value(theta) == pytest.approx(engine.value(theta), rel=1e-8)
