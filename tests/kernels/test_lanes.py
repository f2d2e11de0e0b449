"""The vectorised two-level engine against the general one, for one to three random coefficients."""

from dataclasses import replace

import numpy as np
import pytest

from glamm import registry
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan
from glamm.graph import family_spec
from glamm.inference.objective import Objective
from glamm.kernels._engine import Engine
from glamm.kernels._lanes import Lanes
from glamm.protocols import Encoded


class _General:
    """A family as it is, without its faster path."""

    def __init__(self, family):
        self._family = family

    def __getattr__(self, name):
        return getattr(self._family, name)

    def cumulant(self):
        return ""


def _plan(text, y, sizes, rng, weight=None, q=1):
    n = int(sizes.sum())
    design = np.column_stack([np.ones(n), rng.normal(size=n)])
    loading = LoadingPlan(0, 0.5 + rng.random((n, q)), np.arange(q))
    place = np.cumsum(np.tri(q).ravel()).reshape(q, q).astype(int) + 1
    factor = np.where(np.tri(q) > 0, place, -1)
    predictor = PredictorPlan(design, np.array([0, 1]), 0.1, (loading,))
    response = ResponsePlan(
        registry.family(family_spec(text)),
        Encoded(np.ascontiguousarray(y, dtype=float)),
        np.repeat(np.arange(len(sizes)), sizes),
        None,
        (predictor,),
        None,
    )
    level = LevelPlan(len(sizes), None, weight, factor)
    size = 2 + q * (q + 1) // 2
    return Plan((level,), (response,), size, np.ones(size))


# both engines stop their searches of the modes within this many posterior standard deviations
MODES = 1e-9
CASES = ("bernoulli", "binomial", "poisson")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("points", (1, 2, 7))
@pytest.mark.parametrize("weighted", (False, True))
@pytest.mark.parametrize("clusters, q", [(1, 1), (8, 1), (37, 1), (9, 2), (21, 3)])
def test_equals_the_general_engine(case, points, weighted, clusters, q):
    rng = np.random.default_rng(clusters)
    sizes = rng.integers(1, 12, clusters)
    n = int(sizes.sum())
    trials = np.ones(n) if case == "bernoulli" else rng.integers(1, 9, n)
    y = np.column_stack([rng.binomial(trials.astype(int), 0.4), trials])
    if case == "poisson":
        y = rng.poisson(2.0, (n, 1))
    weight = rng.integers(1, 4, clusters).astype(float) if weighted else None
    plan = _plan("poisson" if case == "poisson" else "binomial", y, sizes, rng, weight, q)
    general = replace(
        plan, responses=(replace(plan.responses[0], family=_General(plan.responses[0].family)),)
    )
    fast, slow = Objective(plan, points), Objective(general, points)
    assert isinstance(fast._engine, Lanes)
    assert isinstance(slow._engine, Engine)
    theta = np.array([0.3, -0.4, 1.2, 0.3, 0.8, -0.2, 0.4, 0.6])[: plan.n_parameters]
    value, gradient = fast.value_and_gradient(theta)
    expected, expected_gradient = slow.value_and_gradient(theta)
    assert value == pytest.approx(expected, rel=MODES)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(fast.cluster_logliks(theta), slow.cluster_logliks(theta), rtol=MODES)
    for ours, theirs in zip(fast.posterior(theta)[0], slow.posterior(theta)[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", ("binomial", "poisson"))
def test_extreme_linear_predictors_stay_finite(text):
    rng = np.random.default_rng(5)
    sizes = np.array([1, 3, 9])
    n = int(sizes.sum())
    y = np.column_stack([np.ones(n), np.ones(n)]) if text == "binomial" else np.full((n, 1), 1e6)
    plan = _plan(text, y, sizes, rng)
    for theta in ([12.0, 0.0, 30.0], [-12.0, 0.0, 30.0], [0.0, 0.0, 1e-8]):
        value, gradient = Objective(plan, 7).value_and_gradient(np.array(theta))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_threads_give_the_same_bits():
    rng = np.random.default_rng(9)
    sizes = rng.integers(1, 6, 400)
    n = int(sizes.sum())
    plan = _plan("binomial", np.column_stack([rng.integers(0, 2, n), np.ones(n)]), sizes, rng)
    theta = np.array([0.1, 0.2, 0.9])
    one = Objective(plan, 5, threads=1).value_and_gradient(theta)
    two = Objective(plan, 5, threads=2).value_and_gradient(theta)
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


def test_huge_clusters_with_many_nodes_go_to_the_general_engine(monkeypatch):
    rng = np.random.default_rng(11)
    sizes = np.array([30, 4, 9])
    n = int(sizes.sum())
    plan = _plan("binomial", np.column_stack([rng.integers(0, 2, n), np.ones(n)]), sizes, rng, q=2)
    theta = np.array([0.1, 0.2, 0.9, 0.1, 0.7])
    fast = Objective(plan, 5)
    monkeypatch.setattr("glamm.inference.objective.LANE_NODES", 30 * 25 - 1)
    slow = fast.with_points(5)
    assert isinstance(fast._engine, Lanes)
    assert isinstance(slow._engine, Engine)
    assert isinstance(slow.with_points(3)._engine, Lanes)
    assert slow.value(theta) == pytest.approx(fast.value(theta), rel=MODES)
