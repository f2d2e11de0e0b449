"""The closed form of all-Gaussian models against the engine, and its information against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glamm
from glamm.inference import FitOptions, Newton, maximise
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.gaussian import GaussianObjective, objective_of
from glamm.inference.objective import Objective
from glamm.inference.starts import starting_values

TEXTS = {
    "one factor": "f =~ y1 + y2 + y3 + y4 + y5 + y6",
    "two factors": "f =~ y1 + y2 + y3; g =~ y4 + y5 + y6 + y3",
    "covariates": "f =~ y1 + y2 + y3; g =~ y4 + y5 + y6; f ~ 1 + w; g ~ f + v; y1 ~ 0 + w; y2 ~ w + v;"
    "y5 ~ offset(v)",
    "factor of factors": "f =~ y1 + y2; g =~ y3 + y4; h =~ y5 + y6; top =~ f + g + h",
    "held and shared": "f =~ 1*y1 + label(a)*y2 + label(a)*y3 + 0.5*y4; f ~~ 2*f; y1 ~~ label(s)*y1;"
    "y2 ~~ label(s)*y2",
    "standard loadings": "f =~ NA*y1 + y2 + y3; g =~ NA*y4 + y5 + y6; f ~~ 1*f; g ~~ 1*g; g ~ f",
    "no disturbance": "f =~ y1 + y2 + y3; g =~ y4 + y5 + y6; g ~ f + w; g ~~ 0*g",
    "residual covariances": "f =~ y1 + y2 + y3 + y4; y1 ~~ y2; y2 ~~ y3; y5 ~ w; y6 ~ w; y5 ~~ y6;"
    "y4 ~~ 0.1*y5",
    "regressions": "y1 ~ w; y2 ~ w + v; y3 ~ y1; y1 ~~ y2 + y3",
    "groups": "f =~ y1 + y2 + y3 + y4; f ~ group; sd(f) ~ 0 + group; y2 ~ group; sigma(y1) ~ group",
    "loadings of groups": "f =~ y1 + y2 + y3; y4 ~ f + f:group; g ~ f + f:group; g =~ y5 + y6",
    "heteroscedastic within columns": "f =~ y1 + y2 + y3 + y4; sigma(y2) ~ group",
}
ITEMS = [f"y{k}" for k in range(1, 7)]


def rows(seed, n=80, missing=0.0):
    rng = np.random.default_rng(seed)
    f, g, w, v = rng.normal(size=(4, n))
    g = 0.5 * f + g
    data = pd.DataFrame({f"y{k}": (f if k < 4 else g) + rng.normal(size=n) + k for k in range(1, 7)})
    data = data.assign(w=w, v=v, group=rng.choice([0.0, 1.0], n))
    gone = np.random.default_rng(seed + 1).uniform(size=(n, 3)) < missing
    gone[:3] = False
    data[["y2", "y3", "y6"]] = data[["y2", "y3", "y6"]].mask(gone)
    return data


def both(plan, seed):
    """Return the closed form and the engine's objective, and a point where they are to agree."""
    closed = objective_of(plan, 1)
    assert isinstance(closed, GaussianObjective)
    rng = np.random.default_rng(seed)
    theta = starting_values(plan).theta + 0.1 * rng.normal(size=plan.n_parameters)
    return closed, Objective(plan, 1), theta


def check(plan, seed=0):
    closed, engine, theta = both(plan, seed)
    value, gradient = closed.value_and_gradient(theta)
    expected, slopes = engine.value_and_gradient(theta)
    assert np.isfinite(expected)
    assert value == pytest.approx(expected, rel=1e-10)
    assert closed.value(theta) == value
    np.testing.assert_allclose(gradient, slopes, rtol=1e-10, atol=1e-10 * np.abs(slopes).max())


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
@given(seed=st.integers(0, 2**20), missing=st.sampled_from([0.0, 0.0, 0.1, 0.5]))
@settings(max_examples=8, deadline=None)
def test_value_and_gradient_are_the_engines(text, seed, missing):
    data = rows(seed, missing=missing)
    if missing and ("y3 ~ y1" in text):
        data = data.fillna(0.0)
    check(glamm.Model(text, data).lowered.plan, seed)


def test_long_data():
    data = rows(1).reset_index(names="person").melt(["person", "w", "v", "group"], ITEMS, "item", "y")
    data = data.sort_values(["person", "item"])
    data["time"] = data["item"].str[1:].astype(float)
    item = "y ~ 0 + item + w:item; sigma(y) ~ 0 + item; f | person =~ y:item"
    growth = "y ~ time * group + v + (1 + time | person)"
    for text in (item, growth):
        check(glamm.Model(text, data).lowered.plan)
        check(glamm.Model(text, data.drop(data.index[::7])).lowered.plan)


def test_covariates_with_missing_values():
    data = rows(9, missing=0.3)
    plan = glamm.Model("y1 ~ mi(y2) + w; y2 ~ w + y4", data).lowered.plan
    check(plan)
    closed, engine = maximise(plan), maximise(plan, FitOptions(), Objective)
    assert closed.converged
    assert closed.loglik == pytest.approx(engine.loglik, abs=1e-8)


def test_weights_of_clusters():
    data = rows(2, missing=0.2)
    weight = np.arange(len(data)) % 4
    check(glamm.Model(TEXTS["covariates"], data, weights=weight).lowered.plan)


def test_large_means_lose_no_digits():
    data = rows(3)
    data[ITEMS] += 1e6
    data["w"] += 1e5
    closed, engine, theta = both(glamm.Model(TEXTS["covariates"], data).lowered.plan, 0)
    theta = starting_values(closed.plan).theta
    assert closed.value(theta) == pytest.approx(engine.value(theta), rel=1e-9)


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_expected_information_is_the_curvature_where_moments_are_as_expected(text):
    data = rows(4, missing=0.0 if "y3 ~ y1" in text else 0.2)
    closed, _, theta = both(glamm.Model(text, data).lowered.plan, 0)
    parts = []
    for structure, patterns in closed._parts:
        at = structure.moments(theta)
        parts.append((structure, [expected(pattern, at) for pattern in patterns]))
    closed._parts = parts
    np.testing.assert_allclose(closed.value_and_gradient(theta)[1], 0.0, atol=1e-8 * len(data))
    information = closed.expected_information(theta)
    step = 1e-3
    curvature = np.empty_like(information)
    for k, direction in enumerate(np.eye(len(theta))):
        slope = [closed.value_and_gradient(theta + j * step * direction)[1] for j in (-2, -1, 1, 2)]
        curvature[k] = -(slope[0] - 8.0 * slope[1] + 8.0 * slope[2] - slope[3]) / (12.0 * step)
    np.testing.assert_allclose(information, curvature, rtol=1e-7, atol=1e-8 * np.abs(curvature).max())


def expected(pattern, at):
    """Return a pattern with the moments of responses that the model expects."""
    k = len(pattern.present)
    slope = at.mean[pattern.present]
    mean, cross = pattern.mean.copy(), pattern.cross.copy()
    mean[:k] = slope @ mean[k:]
    cross[:k, k:] = slope @ cross[k:, k:]
    cross[k:, :k] = cross[:k, k:].T
    own = at.covariance[np.ix_(pattern.present, pattern.present)]
    cross[:k, :k] = pattern.weight * own + slope @ cross[k:, k:] @ slope.T
    return replace(pattern, mean=mean, cross=cross)


def test_fits_are_the_engines():
    plan = glamm.Model(TEXTS["covariates"], rows(5, 300, 0.1)).lowered.plan
    options = FitOptions(optimizer=Newton(tol=1e-13))
    closed, engine = maximise(plan, options), maximise(plan, options, Objective)
    assert closed.converged
    assert closed.points == engine.points == (1,)
    assert closed.rule == engine.rule == "exact"
    assert closed.loglik == pytest.approx(engine.loglik, rel=1e-12)
    # the information is that of a point within a thousandth of a standard error
    sd = np.sqrt(np.diagonal(engine.covariance))
    np.testing.assert_allclose((closed.theta - engine.theta) / sd, 0.0, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diagonal(closed.covariance)), sd, rtol=1e-3)


def test_single_clusters_are_the_engines():
    closed, engine, theta = both(glamm.Model(TEXTS["two factors"], rows(6)).lowered.plan, 0)
    np.testing.assert_array_equal(closed.cluster_logliks(theta), engine.cluster_logliks(theta))
    np.testing.assert_array_equal(closed.cluster_scores(theta), engine.cluster_scores(theta))
    for own, other in zip(closed.posterior(theta), engine.posterior(theta), strict=True):
        for a, b in zip(own, other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(closed.shares(theta)[0], np.ones(80))
    assert closed.with_points((3,)) is closed
    assert closed.n_clusters == engine.n_clusters


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("f =~ y1 + y2 + y3; d ~ f; family(d) = binomial", None),
        ("f =~ y1 + y2 + y3; g =~ y4 + y5; y6 ~ f + g + f:g", None),
        ("f =~ y1 + y2 + y3; y4 ~ w; sigma(y4) ~ f", None),
        ("f =~ y1 + y2 + y3; y4 ~ f + f:w", None),
        ("y1 ~ w", None),
        ("c =~ y1 + y2 + y3; c ~ classes(2)", None),
    ],
)
def test_other_models_are_left_to_the_engine(text, family):
    data = rows(7).assign(d=lambda d: (d.w > 0.0) * 1.0)
    plan = glamm.Model(text, data, family).lowered.plan
    assert isinstance(objective_of(plan, 3), Objective | DiscreteObjective)


def test_no_covariance_matrix_has_no_likelihood():
    plan = glamm.Model(TEXTS["regressions"], rows(8)).lowered.plan
    closed, _, theta = both(plan, 0)
    theta[plan.residual_covariances[0].index] = 1e3
    assert closed.value(theta) == -np.inf
    assert np.isnan(closed.value_and_gradient(theta)[1]).all()
