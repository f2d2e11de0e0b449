"""Starting values: near the optimum, cheap, and safe where data are extreme."""

from __future__ import annotations

import numpy as np
import pytest
from fit_problems import plan, simulated_logit

from glamm.inference.glm import fit_fixed_part, fixed_parts, intercept_start
from glamm.inference.sampling import sampled
from glamm.inference.starts import starting_values


def rng(seed=0):
    return np.random.default_rng(seed)


def test_fixed_part_is_the_maximum_of_a_regression():
    x = np.column_stack([np.ones(300), rng(1).normal(size=(300, 2))])
    y = rng(2).poisson(np.exp(x @ [0.5, 0.3, -0.4]))
    model = plan("poisson", [y], x)
    parts = fixed_parts(model)
    found = fit_fixed_part(parts, intercept_start(model, parts), tolerance=1e-12)
    np.testing.assert_allclose(x.T @ (y - np.exp(x @ found.theta)), 0, atol=1e-6)
    np.testing.assert_allclose(found.information, (x.T * np.exp(x @ found.theta)) @ x, rtol=1e-6)


def test_gaussian_moments_are_near_the_truth():
    group = np.repeat(np.arange(200), 10)
    z = np.column_stack([np.ones(2000), rng(3).normal(size=2000)])
    psi = np.array([[4.0, 1.0], [1.0, 1.0]])
    u = rng(4).multivariate_normal([0, 0], psi, 200)
    y = z @ [3, 1] + np.einsum("ij,ij->i", z, u[group]) + 2 * rng(5).normal(size=2000)
    start = starting_values(plan("gaussian", [y], z, [group], [z])).theta
    np.testing.assert_allclose(start[:3], [3, 1, np.log(2)], atol=0.3)
    factor = np.array([[start[3], 0], [start[4], start[5]]])
    np.testing.assert_allclose(factor @ factor.T, psi, atol=0.9)


def test_levels_are_told_apart():
    upper = np.repeat(np.arange(100), 30)
    lower = np.repeat(np.arange(600), 5)
    y = 2 * rng(6).normal(size=100)[upper] + rng(7).normal(size=600)[lower] + rng(8).normal(size=3000)
    one = np.ones((3000, 1))
    start = starting_values(plan("gaussian", [y], one, [lower, upper], [one, one])).theta
    np.testing.assert_allclose(np.abs(start[2:]), [1, 2], atol=0.4)


def test_variances_never_start_at_zero():
    y = np.tile([0.0, 1.0], 100)
    one = np.ones((200, 1))
    start = starting_values(plan("binomial", [y], one, [np.repeat(np.arange(20), 10)], [one])).theta
    assert start[1] > 0.1


def test_separation_leaves_moderate_coefficients():
    x = rng(9).normal(size=200)
    y = (x > 0).astype(float)
    group = np.repeat(np.arange(20), 10)
    one = np.ones(200)
    start = starting_values(plan("binomial", [y], np.column_stack([one, x]), [group], [one])).theta
    assert np.isfinite(start).all()
    assert np.abs(np.column_stack([one, x]) @ start[:2]).max() < 2000


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_coordinates_follow_the_scale_of_the_data(scale):
    group = np.repeat(np.arange(30), 10)
    x = np.column_stack([np.ones(300), scale * rng(10).normal(size=300)])
    y = rng(11).normal(size=300) / scale
    start = starting_values(plan("gaussian", [y], x, [group], [x]))
    unit = start.coordinates.unit
    np.testing.assert_allclose(unit * [scale, scale**2, 1, scale, scale**2, scale**2], 1, atol=0.5)


def test_collinear_coordinates_are_marked():
    x = rng(12).normal(size=100)
    design = np.column_stack([np.ones(100), x, 2 * x])
    start = starting_values(plan("poisson", [rng(13).poisson(2, 100)], design))
    assert list(start.coordinates.deficient) == [False, False, True]


def test_large_data_are_sampled_by_whole_clusters():
    y, x, group = simulated_logit(14, 12_000, 10)
    model = plan("binomial", [y], x, [group], [np.ones((len(y), 1))])
    (part,) = fixed_parts(sampled(model, 40_000))
    assert 30_000 < len(part.weight) < 50_000
    assert set(np.bincount(part.clusters[0])) == {10}
    start = starting_values(model).theta
    np.testing.assert_allclose(start, [-0.5, 0.7, 0.4, 1.0], atol=0.25)
