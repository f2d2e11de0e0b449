"""Covariances of residuals: likelihood, gradient, and a published example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gaussian import loglik
from reference import FOLDER

import glamm
from glamm.compile.factors import fill_factor
from glamm.errors import DataError
from glamm.inference.objective import Objective
from glamm.inference.starts import starting_values

DEMOCRACY = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ y5; y2 ~~ y4 + y6; y3 ~~ y7; y4 ~~ y8; y6 ~~ y8
"""
# Bollen (1989, chapter 8), in maximum likelihood of all moments, as lavaan's documentation gives it
PUBLISHED = {
    "ind60 =~ x2": 2.180,
    "ind60 =~ x3": 1.819,
    "dem60 =~ y2": 1.257,
    "dem60 =~ y3": 1.058,
    "dem60 =~ y4": 1.265,
    "dem65 =~ y6": 1.186,
    "dem65 =~ y7": 1.280,
    "dem65 =~ y8": 1.266,
    "dem60 ~ ind60": 1.483,
    "dem65 ~ ind60": 0.572,
    "dem65 ~ dem60": 0.837,
    "y1 ~~ y5": 0.624,
    "y2 ~~ y4": 1.313,
    "y2 ~~ y6": 2.153,
    "y3 ~~ y7": 0.795,
    "y4 ~~ y8": 0.348,
    "y6 ~~ y8": 1.356,
    "ind60 ~~ ind60": 0.448,
    "dem60 ~~ dem60": 3.956,
    "dem65 ~~ dem65": 0.172,
}


@pytest.fixture(scope="module")
def democracy():
    return pd.read_csv(Path(FOLDER, "sem_polidem.csv"))


def test_published_example(democracy):
    found = glamm.Model(DEMOCRACY, democracy).fit()
    assert found.converged
    assert found.llf == pytest.approx(-1547.791, abs=5e-4)
    for name, value in PUBLISHED.items():
        assert found.params[name] == pytest.approx(value, abs=5.01e-4), name
    items = [f"x{k}" for k in range(1, 4)] + [f"y{k}" for k in range(1, 9)]
    moments = np.cov(democracy[items].to_numpy().T, bias=True)
    means = democracy[items].mean().to_numpy()
    saturated = loglik(democracy[items].to_numpy(), np.zeros((len(democracy), 0)), means[:, None], moments)
    assert 2.0 * (saturated - found.llf) == pytest.approx(38.125, abs=5e-4)


EQUAL = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + label(b)*y2 + label(c)*y3 + label(d)*y4
dem65 =~ y5 + label(b)*y6 + label(c)*y7 + label(d)*y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ label(p)*y5; y2 ~~ y4 + y6; y3 ~~ label(q)*y7; y4 ~~ y8; y6 ~~ y8
"""


def test_published_example_with_equal_loadings(democracy):
    found = glamm.Model(EQUAL, democracy).fit()
    # lavaan's documentation: chi-square 40.179 on 38 degrees of freedom, 38.125 on 35 without the equalities
    assert 2.0 * (-1547.7909434026 - found.llf) == pytest.approx(40.179 - 38.125, abs=1.1e-3)


def test_constraints_on_residual_covariances(democracy):
    free = glamm.Model(EQUAL, democracy).fit()
    equal = glamm.Model(f"{EQUAL}; p == q", democracy).fit()
    assert equal.params["y1 ~~ y5"] == pytest.approx(equal.params["y3 ~~ y7"], rel=1e-12)
    assert equal.llf < free.llf
    bounded = glamm.Model(f"{EQUAL}; `y4 ~~ y8` > 0.5", democracy).fit()
    assert bounded.params["y4 ~~ y8"] == pytest.approx(0.5, abs=1e-9)
    half = glamm.Model(f"{EQUAL}; half := p / 2", democracy).fit()
    assert half.params["half"] == pytest.approx(free.params["y1 ~~ y5"] / 2.0, rel=1e-6)


def gradient_of(objective, theta):
    """Return the gradient by differences of eighth order."""
    weights = (4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0)
    found = np.zeros(len(theta))
    for k in range(len(theta)):
        step = 5e-3 * np.eye(len(theta))[k]
        found[k] = sum(
            w * (objective.value(theta + (j + 1) * step) - objective.value(theta - (j + 1) * step))
            for j, w in enumerate(weights)
        )
    return found / 5e-3


def check_gradient(text, data, family=None, points=1, weights=None):
    plan = glamm.Model(text, data, family, weights).lowered.plan
    theta = starting_values(plan).theta + 0.05 * np.random.default_rng(0).normal(size=plan.n_parameters)
    for c in plan.residual_covariances:
        theta[c.index] = 0.2 if c.index >= 0 else 0.0
    objective = Objective(plan, points)
    value, gradient = objective.value_and_gradient(theta)
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, gradient_of(objective, theta), rtol=2e-7, atol=2e-6)
    np.testing.assert_allclose(objective.cluster_scores(theta).sum(axis=0), gradient, rtol=1e-9, atol=1e-8)
    return plan, theta, value


def indicators(seed, n=60, clusters=None):
    rng = np.random.default_rng(seed)
    f, common = rng.normal(size=(2, n))
    between = 0.0 if clusters is None else 0.7 * rng.normal(size=n)[np.arange(n) % clusters]
    data = pd.DataFrame({f"y{k}": f + 0.5 * common + rng.normal(size=n) + between for k in range(1, 5)})
    data["w"] = rng.normal(size=n)
    if clusters is not None:
        data["cluster"] = np.arange(n) % clusters
    return data


def with_gaps(data, seed):
    items = ["y1", "y2", "y3", "y4"]
    gone = np.random.default_rng(seed).uniform(size=(len(data), 4)) < 0.25
    return data.assign(**data[items].mask(gone).dropna(how="all"))


ONE_FACTOR = "f =~ y1 + y2 + y3 + y4; y1 ~~ y2; y2 ~~ y3"


@pytest.mark.parametrize("gaps", [False, True])
def test_likelihood_of_a_factor_model_is_the_normal_density(gaps):
    data = indicators(1)
    data = with_gaps(data, 2) if gaps else data
    plan, theta, value = check_gradient(ONE_FACTOR, data)
    mean, loading, sd = np.zeros(4), np.ones(4), np.zeros(4)
    for k, response in enumerate(plan.responses):
        mu, sigma = response.predictors
        mean[k], sd[k] = theta[mu.coefficient[0]], np.exp(theta[sigma.coefficient[0]])
        (term,) = mu.terms
        loading[k] = term.held[0] if term.coefficient[0] < 0 else theta[term.coefficient[0]]
    psi = fill_factor(plan.levels[0], theta)[0, 0] ** 2
    covariance = psi * np.outer(loading, loading) + np.diag(sd**2)
    for c in plan.residual_covariances:
        covariance[c.first, c.second] += theta[c.index]
        covariance[c.second, c.first] += theta[c.index]
    expected = loglik(
        data[["y1", "y2", "y3", "y4"]].to_numpy(), np.zeros((len(data), 0)), mean[:, None], covariance
    )
    assert value == pytest.approx(expected, rel=1e-12)


def test_seemingly_unrelated_regressions():
    data = indicators(3)
    plan, theta, value = check_gradient("y1 ~ w; y2 ~ 1; y1 ~~ y2", data)
    design = [response.predictors[0] for response in plan.responses]
    sd = [np.exp(theta[response.predictors[1].coefficient[0]]) for response in plan.responses]
    mean = np.array([theta[design[0].coefficient], [theta[design[1].coefficient[0]], 0.0]])
    covariance = np.diag(np.square(sd)) + theta[plan.residual_covariances[0].index] * (1.0 - np.eye(2))
    expected = loglik(data[["y1", "y2"]].to_numpy(), data[["w"]].to_numpy(), mean, covariance)
    assert value == pytest.approx(expected, rel=1e-12)


def test_standard_deviations_that_vary_by_row():
    check_gradient(f"{ONE_FACTOR}; sigma(y1) ~ w; sigma(y4) ~ w", with_gaps(indicators(4), 5))


def test_two_levels():
    text = f"{ONE_FACTOR}\n" + "\n".join(f"y{k} ~ w + (1 | cluster)" for k in range(1, 5))
    check_gradient(text, with_gaps(indicators(6, clusters=8), 7))


def test_responses_of_clusters():
    rng = np.random.default_rng(8)
    data = indicators(9, clusters=20)
    of_clusters = rng.normal(size=(20, 2)) + rng.normal(size=(20, 1))
    data["s1"], data["s2"] = of_clusters[data["cluster"]].T
    text = "y1 ~ 1*u; u | cluster ~ 0; s1 | cluster ~ u; s2 | cluster ~ 1; s1 ~~ s2"
    check_gradient(text, data)


def test_beside_a_binary_response():
    data = with_gaps(indicators(10), 11).assign(d=lambda d: (d.w > 0.0) * 1.0)
    text = f"{ONE_FACTOR}\nd ~ w + f\nfamily(d) = binomial"
    check_gradient(text, data, points=5)


def test_products_of_latent_variables():
    data = indicators(12).assign(z1=lambda d: d.w + d.y1, z2=lambda d: d.w - d.y2)
    text = "f =~ y1 + y2; g =~ z1 + z2; y3 ~ f + g + f:g; y4 ~ 1; y3 ~~ y4; y1 ~~ y2"
    check_gradient(text, data, points=3)


def test_latent_classes():
    data = indicators(13)
    text = "c ~ classes(2); y1 ~ c; y2 ~ c; y1 ~~ y2"
    check_gradient(text, data)


def test_weights_are_frequencies():
    data = indicators(14)
    weight = np.arange(len(data)) % 3
    repeated = data.loc[np.repeat(data.index, weight)].reset_index(drop=True)
    model = glamm.Model("y1 ~ w; y2 ~ w; y1 ~~ y2", data, weights=weight)
    other = glamm.Model("y1 ~ w; y2 ~ w; y1 ~~ y2", repeated)
    assert model.fit().llf == pytest.approx(other.fit().llf, rel=1e-10)


def test_held_shared_and_started_covariances():
    data = indicators(15)
    held = glamm.Model("y1 ~ w; y2 ~ w; y1 ~~ 0.3*y2", data)
    assert "y1 ~~ y2" not in held.names
    free = glamm.Model("y1 ~ w; y2 ~ w; y1 ~~ start(0.3)*y2", data)
    assert held.fit().llf < free.fit().llf
    (c,) = free.lowered.plan.residual_covariances
    assert starting_values(free.lowered.plan).theta[c.index] == 0.3
    shared = glamm.Model("f =~ y1 + y2 + y3 + y4; y1 ~~ label(a)*y2; y3 ~~ label(a)*y4", data)
    first, second = shared.lowered.plan.residual_covariances
    assert first.index == second.index
    assert shared.fit().converged


def test_more_covariance_than_variance_has_no_likelihood():
    plan = glamm.Model("y1 ~ w; y2 ~ w; y1 ~~ y2", indicators(16)).lowered.plan
    theta = starting_values(plan).theta
    theta[plan.residual_covariances[0].index] = 1e3
    objective = Objective(plan, 1)
    assert objective.value(theta) == -np.inf
    assert np.isnan(objective.value_and_gradient(theta)[1]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y1 ~ w; y2 ~ w; y1 ~~ y2; family(y1) = gaussian(log)", "does not have the identity link"),
        ("f =~ y3 + y4; y1 ~ w; y2 ~ w; y1 ~~ y2; sigma(y2) ~ f", "the residual variance of 'y2' is random"),
    ],
)
def test_residuals_that_cannot_covary(text, message):
    data = indicators(17).assign(y1=lambda d: np.exp(d.y1))
    with pytest.raises(DataError, match=message):
        glamm.Model(text, data)
