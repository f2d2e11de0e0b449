"""The compiled objective against its NumPy twin, and its gradient against differences."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from engine_problems import (
    Builder,
    factors,
    families,
    multilevel,
    random_tree,
    rowwise,
    take_rows,
    twin_input,
)
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from glamm import registry
from glamm.graph import family_spec
from glamm.inference.objective import Objective
from glamm.kernels import reference
from glamm.protocols import ResponseError

FAMILIES = families()
CBIND = [x for x in FAMILIES if "cbind" in registry.family(family_spec(x)).responses]
WITH_AUXILIARY = [
    "gaussian",
    "student_t",
    "gamma(log)",
    "inverse_gaussian(log)",
    "negative_binomial",
    "beta(logit)",
    "ordinal(logit)",
    "ordinal(probit)",
]
# weights of f(x + j h) - f(x - j h) over h, j = 1..4: an error of order h^8
WEIGHTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)


def differences(function, theta, step=0.01):
    """Return the central-difference derivative of a scalar or vector function, parameters first."""
    rows = []
    for k in range(theta.size):
        unit = np.eye(theta.size)[k] * step
        rows.append(
            sum(
                w * (np.asarray(function(theta + j * unit)) - np.asarray(function(theta - j * unit)))
                for j, w in enumerate(WEIGHTS, start=1)
            )
            / step
        )
    return np.array(rows)


@cache
def seed_of(text):
    """Return a seed that depends on the family's name alone."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text)) % 10_000


def check_value_and_gradient(plan, theta, points):
    objective = Objective(plan, points)
    value, gradient = objective.value_and_gradient(theta)
    expected = reference.adaptive(*twin_input(plan, theta), [points] * len(plan.levels)).total
    assert np.isfinite(expected)
    # the engine stops at modes within 1e-7 posterior sds; one node feels that through log |H|
    assert value == pytest.approx(expected, rel=1e-10 if np.min(points) > 1 else 1e-9)
    assert objective.value(theta) == pytest.approx(value, rel=1e-12)
    expected_gradient = differences(Objective(plan, points).value, theta)
    scale = max(1.0, np.abs(gradient).max())
    assert gradient == pytest.approx(expected_gradient, abs=1e-6 * scale)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("text", FAMILIES)
def test_value_and_gradient(text, depth, points):
    plan, theta = multilevel(seed_of(text) + depth, depth).add(text).plan()
    check_value_and_gradient(plan, theta, points)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("text", CBIND)
def test_counts_of_two_columns(text, points):
    plan, theta = multilevel(seed_of(text), 2).add(text, form="cbind").plan()
    check_value_and_gradient(plan, theta, points)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("text", WITH_AUXILIARY)
def test_random_effects_in_an_auxiliary_parameter(text, points):
    plan, theta = Builder(seed_of(text), (24, 5), (1,)).add(text, auxiliary=True).plan()
    check_value_and_gradient(plan, theta, points)


@pytest.mark.parametrize("points", [1, 3])
def test_responses_of_different_families_share_the_tree(points):
    builder = multilevel(11, 3).add("gaussian").add("binomial").add("ordinal(logit)").add("poisson")
    check_value_and_gradient(*builder.plan(), points)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_tree(data):
    depth = data.draw(st.integers(1, 3), label="levels of clusters")
    sizes = [data.draw(st.integers(1, 3), label="top clusters")]
    for _ in range(depth - 1):
        sizes.insert(0, sizes[0] + data.draw(st.integers(0, 5), label="more below"))
    sizes.insert(0, sizes[0] + data.draw(st.integers(3, 9), label="more rows"))
    dimensions = [data.draw(st.integers(0, 2), label="latent variables") for _ in range(depth)]
    points = [data.draw(st.integers(1, 4), label="points") for _ in range(depth)]
    text = data.draw(st.sampled_from(["binomial", "poisson", "gaussian"]), label="family")
    builder = Builder(data.draw(st.integers(0, 1000), label="seed"), sizes, dimensions)
    try:
        plan, theta = builder.add(text).plan()
    except ResponseError:
        reject()  # the few rows all came out equal
    expected = reference.adaptive(*twin_input(plan, theta), points)
    objective = Objective(plan, points)
    assert objective.value(theta) == pytest.approx(expected.total, rel=1e-9)
    assert objective.cluster_logliks(theta) == pytest.approx(expected.loglik, rel=1e-8, abs=1e-9)


def test_threads_give_the_same_bits():
    plan, theta = Builder(3, (6000, 1500), (2,)).add("binomial").plan()
    one = Objective(plan, 5, threads=1).value_and_gradient(theta)
    two = Objective(plan, 5, threads=2).value_and_gradient(theta)
    assert one[0] == two[0]
    assert np.array_equal(one[1], two[1])


# ------------------------------------------------ weights


def repeated(plan, level, times):
    """Return the plan with the clusters of a level (or, -1, the rows) repeated `times` times each."""
    rows = np.arange(plan.responses[0].cluster.size)
    ancestors = [rows, plan.responses[0].cluster]
    for x in plan.levels[:-1]:
        ancestors.append(x.parent[ancestors[-1]])
    unit = ancestors[level + 1]
    copies = [np.flatnonzero(unit == j) for j in range(times.size) for _ in range(times[j])]
    copy_number = np.repeat(np.arange(len(copies)), [c.size for c in copies])
    index = np.concatenate(copies)
    levels = list(plan.levels)
    cluster = ancestors[1][index]
    keys = None
    for k in range(len(levels)):
        # below the repeated level each copy has clusters of its own
        key = np.stack([ancestors[k + 1][index], copy_number if k <= level else 0 * copy_number], axis=1)
        _, first, number = np.unique(key[:, ::-1], axis=0, return_index=True, return_inverse=True)
        number = number.reshape(-1)
        if k == 0:
            cluster = number
        else:
            parent = np.zeros(keys[0].size, dtype=np.intp)
            parent[keys[1]] = number
            levels[k - 1] = replace(levels[k - 1], parent=parent)
        levels[k] = replace(levels[k], clusters=first.size)
        keys = (first, number)
    responses = tuple(take_rows(r, index, cluster) for r in plan.responses)
    order = np.argsort(cluster, kind="stable")
    responses = tuple(take_rows(r, order, cluster[order]) for r in responses)
    return replace(plan, levels=tuple(levels), responses=responses)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("level", [-1, 0, 1])
@pytest.mark.parametrize("text", ["binomial", "gaussian", "ordinal(logit)"])
def test_weights_are_replications(text, level, points):
    plan, theta = multilevel(seed_of(text), 3).add(text).plan()
    size = plan.responses[0].cluster.size if level < 0 else plan.levels[level].clusters
    times = np.random.default_rng(5).integers(1, 4, size)
    weight = times.astype(float)
    if level < 0:
        weighted = replace(plan, responses=(replace(plan.responses[0], weight=weight),))
    else:
        levels = list(plan.levels)
        levels[level] = replace(levels[level], weight=weight)
        weighted = replace(plan, levels=tuple(levels))
    spread = repeated(plan, level, times)
    value, gradient = Objective(weighted, points).value_and_gradient(theta)
    copies, copies_gradient = Objective(spread, points).value_and_gradient(theta)
    assert value == pytest.approx(copies, rel=1e-10)
    assert gradient == pytest.approx(copies_gradient, rel=1e-7, abs=1e-7)
    check_value_and_gradient(weighted, theta, points)


# ------------------------------------------------ shapes at the edge


def test_one_huge_cluster():
    plan, theta = Builder(8, (3000, 1), (1,)).add("binomial").plan()
    check_value_and_gradient(plan, theta, 5)


@pytest.mark.parametrize("text", ["binomial", "poisson", "gaussian"])
def test_clusters_of_one_row(text):
    builder = Builder(9, (12, 12), (1,))
    builder.parents[0] = np.arange(12, dtype=np.intp)
    check_value_and_gradient(*builder.add(text).plan(), 3)


def test_no_random_effects_is_the_sum_of_log_densities():
    plan, theta = rowwise(2, 20).add("poisson").plan()
    (response,) = plan.responses
    (mu,) = response.predictors
    density = response.family.log_likelihood(response.encoded.y, [mu.design @ theta[mu.coefficient]])
    assert Objective(plan, 1).value(theta) == pytest.approx(density.sum(), rel=1e-12)


def test_laplace_is_one_point_and_more_points_approach_the_integral():
    plan, theta = Builder(21, (18, 6), (1,)).add("binomial").plan()
    theta[0] = 1.5
    exact = reference.brute(*twin_input(plan, theta)).total
    errors = [abs(Objective(plan, p).value(theta) - exact) for p in (1, 3, 7, 15)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-7


@pytest.mark.parametrize("sizes, dimensions", [((20, 5), (1,)), ((14, 3), (2,)), ((18, 5, 2), (1, 1))])
@pytest.mark.parametrize("text", ["binomial", "poisson"])
def test_posterior_moments_are_those_of_the_integral(text, sizes, dimensions):
    plan, theta = Builder(13, sizes, dimensions).add(text).plan()
    exact = reference.brute(*twin_input(plan, theta), step=0.25, reach=7.0)
    moments = Objective(plan, 15).posterior(theta)
    for c, (mean, covariance), m, v in zip(
        factors(plan, theta), moments, exact.mean, exact.covariance, strict=True
    ):
        assert mean == pytest.approx(m @ c.T, abs=1e-7)
        assert covariance == pytest.approx(np.einsum("rp,jpq,sq->jrs", c, v, c), abs=1e-7)


@pytest.mark.parametrize("depth", [2, 3])
def test_scores_are_the_gradients_of_each_cluster(depth):
    plan, theta = multilevel(17, depth).add("binomial").plan()
    objective = Objective(plan, 3)
    scores = objective.cluster_scores(theta)
    assert scores.shape == (plan.levels[-1].clusters, theta.size)
    assert scores.sum(axis=0) == pytest.approx(objective.value_and_gradient(theta)[1], abs=1e-9)
    assert scores == pytest.approx(differences(objective.cluster_logliks, theta).T, abs=1e-6)


def test_gaussian_models_are_exact_with_one_point():
    plan, theta = multilevel(19, 3).add("gaussian").plan()
    assert Objective(plan, 1).exact
    assert Objective(plan, 1).value(theta) == pytest.approx(Objective(plan, 7).value(theta), rel=1e-11)
    assert not Objective(multilevel(19, 2).add("binomial").plan()[0], 1).exact


def test_a_point_outside_the_model_is_minus_infinity():
    plan, theta = multilevel(23, 2).add("ordinal(logit)").plan()
    (response,) = plan.responses
    first = [p.coefficient[0] for p in response.predictors if p.loadings == () and p.coefficient.size]
    theta[first[0]], theta[first[1]] = 2.0, -2.0
    value, gradient = Objective(plan, 3).value_and_gradient(theta)
    assert value == -np.inf
    assert np.isnan(gradient).all()


def test_trees_of_the_tests_are_ascending():
    for parents in random_tree(np.random.default_rng(0), (30, 8, 3)):
        assert (np.diff(parents) >= 0).all()
        assert np.unique(parents).size == parents.max() + 1
