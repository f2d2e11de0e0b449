"""Rules in several dimensions against products and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import glamm
from glamm.compile import lower
from glamm.data import Table
from glamm.errors import FitError
from glamm.grammar import parse
from glamm.graph import build, family_spec
from glamm.inference import AdaptiveQuadrature, Objective
from glamm.inference.adaptive import Ladder, settle
from glamm.inference.rules import MOST_POINTS, rule, scattered_rule


@pytest.mark.parametrize("dimension", [2, 5, 8])
def test_scattered_rule_has_the_moments_of_the_normal(dimension: int) -> None:
    nodes, log_weights = scattered_rule(dimension, 1024)
    weights = np.exp(log_weights - 0.5 * np.einsum("ni,ni->n", nodes, nodes))
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(weights @ nodes, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.einsum("n,ni,nj->ij", weights, nodes, nodes), np.eye(dimension), atol=1e-11)
    np.testing.assert_allclose(np.einsum("n,ni,nj->ij", weights, nodes**3, nodes**2), 0.0, atol=1e-11)


def test_numbers_of_points() -> None:
    assert rule(3, 5)[0].shape == (125, 3)
    assert rule(6, 1024)[0].shape == (1024, 6)
    assert rule(1, 1024)[0].shape == (MOST_POINTS, 1)
    # a level of 8 dimensions, 2 of them above the other 6
    assert rule(2, 4096, 2 / 8)[0].shape == (32, 2)
    assert rule(6, 4096, 6 / 8)[0].shape == (512, 6)
    assert rule(0, 1024, 0.0)[0].shape == (1, 0)
    with pytest.raises(FitError, match="power of two, such as 512"):
        AdaptiveQuadrature(points=1000)


def simple_structure(n: int, q: int, seed: int) -> tuple[str, pd.DataFrame]:
    """Return correlated factors with three binary items each, and data."""
    rng = np.random.default_rng(seed)
    eta = rng.multivariate_normal(np.zeros(q), 0.5 * np.eye(q) + 0.5, n)
    nu = np.repeat(eta, 3, axis=1) + np.tile([-0.5, 0.0, 0.5], q)
    answers = (rng.random(nu.shape) < 1.0 / (1.0 + np.exp(-nu))).astype(float)
    frame = pd.DataFrame(answers, columns=[f"y{j}" for j in range(3 * q)])
    lines = [f"f{k} =~ " + " + ".join(f"y{3 * k + j}" for j in range(3)) for k in range(q)]
    return "\n".join(lines), frame


@pytest.mark.parametrize(("q", "points"), [(2, 25), (3, 15), (4, 11)])
def test_scattered_nodes_agree_with_products(q: int, points: int) -> None:
    text, frame = simple_structure(20, q, q)
    plan = glamm.Model(text, frame, "binomial").lowered.plan
    objective = Objective(plan, points)
    expected, gradient = objective.value_and_gradient(plan.start)
    errors, slopes = [], []
    for nodes in (512, 8192):
        value, slope = objective.with_points(nodes).value_and_gradient(plan.start)
        errors.append(abs(value - expected))
        slopes.append(np.abs(slope - gradient).max())
    assert errors[1] < 2e-3
    assert errors[1] < errors[0]
    assert slopes[1] < 5e-3


@pytest.mark.parametrize("q", [5, 6, 8])
def test_orthants_of_a_multivariate_probit(q: int) -> None:
    """One probit item a factor: the likelihood of a person is an orthant probability."""
    rng = np.random.default_rng(q)
    n = 6
    answers = rng.permuted(np.repeat([[0.0], [1.0]], n // 2, axis=0) * np.ones(q), axis=0)
    frame = pd.DataFrame(answers, columns=[f"y{j}" for j in range(q)])
    text = "\n".join(f"f{j} =~ 1*y{j}" for j in range(q))
    table = Table.from_any(frame)
    # not identified: the variances are given
    plan = lower(build(parse(text), text, family_spec("binomial(probit)"), columns=table.columns), table).plan
    factor = np.linalg.cholesky(0.5 * np.eye(q) + 0.3)
    theta = plan.start.copy()
    rows, columns = np.tril_indices(q)
    theta[plan.levels[0].factor[rows, columns]] = factor[rows, columns]
    covariance = factor @ factor.T + np.eye(q)
    signs = 2.0 * answers - 1.0
    expected = [
        multivariate_normal(
            np.zeros(q), covariance * np.outer(s, s), seed=1, maxpts=400_000, abseps=1e-8, releps=1e-5
        ).logcdf(np.zeros(q))
        for s in signs
    ]
    found = Objective(plan, 16384).cluster_logliks(theta)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("q", [5, 8])
def test_gaussian_models_in_closed_form(q: int) -> None:
    """Where the posterior is normal the rule is exact whatever its nodes."""
    rng = np.random.default_rng(q)
    frame = pd.DataFrame(rng.normal(size=(7, 2 * q)), columns=[f"y{j}" for j in range(2 * q)])
    text = "\n".join(f"f{k} =~ y{2 * k} + y{2 * k + 1}" for k in range(q))
    plan = glamm.Model(text, frame, "gaussian").lowered.plan
    exact, gradient = Objective(plan, 1).value_and_gradient(plan.start)
    value, slope = Objective(plan, 256).value_and_gradient(plan.start)
    assert value == pytest.approx(exact, abs=1e-9)
    np.testing.assert_allclose(slope, gradient, atol=1e-7)


def test_automatic_points_scatter_in_many_dimensions() -> None:
    text, frame = simple_structure(20, 6, 3)
    plan = glamm.Model(text, frame, "binomial").lowered.plan
    objective = Objective(plan, 1)
    ladder = Ladder.of(plan, objective.dimensions, AdaptiveQuadrature())
    points = ladder.first()
    assert points == (512,)
    assert ladder.raised(points) == (2048,)
    assert ladder.affordable((2048,))
    assert not ladder.affordable((1_048_576,))
    # finer than 3 points of each of six dimensions, 729 nodes, are scattered ones of at least twice that
    assert ladder.raised((3,)) == (2048,)
    assert Ladder.of(plan, (6,), AdaptiveQuadrature(max_points=5)).first() == (3,)
    theta = plan.start.copy()
    theta[np.diagonal(plan.levels[0].factor)] = 2.0
    settled = settle(objective.with_points(points), theta, ladder, 0.02)
    assert settled.points[0] > 512
    assert abs(settled.value(theta) - objective.with_points(32768).value(theta)) < 0.1
