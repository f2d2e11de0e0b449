"""The NumPy twin against integration without any approximation."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from glamm.kernels import reference


def bernoulli(y):
    def block(rows, nu, order):
        eta = nu[0]
        p = 1.0 / (1.0 + np.exp(-eta))
        return ([y[rows] * eta - np.logaddexp(0.0, eta)], [y[rows] - p], [-p * (1.0 - p)])[: order + 1]

    return block


def normal(y, sigma):
    def block(rows, nu, order):
        z = (y[rows] - nu[0]) / sigma
        ll = -0.5 * z**2 - np.log(sigma * np.sqrt(2 * np.pi))
        return ([ll], [z / sigma], [np.full_like(z, -1 / sigma**2)])[: order + 1]

    return block


def three_levels(seed, weight=None):
    rng = np.random.default_rng(seed)
    n, low, top = 24, 6, 2
    cluster = np.sort(np.concatenate([np.arange(low), rng.integers(0, low, n - low)]))
    parent = np.sort(np.concatenate([np.arange(top), rng.integers(0, top, low - top)]))
    loading = np.tile([[[0.9, 0.7]]], (n, 1, 1))
    response = reference.Response(
        bernoulli(rng.integers(0, 2, n).astype(float)), rng.normal(size=(n, 1)), loading, cluster
    )
    return [reference.Level(low, 1, parent, weight), reference.Level(top, 1)], [response]


@pytest.mark.parametrize("seed", range(3))
def test_many_points_reach_the_brute_force_integral(seed):
    levels, responses = three_levels(seed)
    exact = reference.brute(levels, responses)
    many = reference.adaptive(levels, responses, (25, 25))
    assert many.loglik == pytest.approx(exact.loglik, abs=1e-10)
    for level in range(2):
        assert many.mean[level] == pytest.approx(exact.mean[level], abs=1e-9)
        assert many.covariance[level] == pytest.approx(exact.covariance[level], abs=1e-9)


def test_more_points_are_closer():
    levels, responses = three_levels(1)
    exact = reference.brute(levels, responses).total
    errors = [abs(reference.adaptive(levels, responses, (p, p)).total - exact) for p in (1, 3, 7, 15)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9


def test_a_cluster_of_weight_w_is_w_clusters():
    weight = np.array([1.0, 2.0, 1.0, 0.0, 3.0, 1.0])
    levels, (response,) = three_levels(4, weight)
    repeat = np.repeat(np.arange(6), weight.astype(int))
    rows = [np.flatnonzero(response.cluster == j) for j in repeat]
    index = np.concatenate(rows)
    copies = reference.Response(
        lambda at, nu, order: response.block(index[at], nu, order),
        response.offset[index],
        response.loading[index],
        np.repeat(np.arange(repeat.size), [r.size for r in rows]),
    )
    spread = [reference.Level(repeat.size, 1, levels[0].parent[repeat]), levels[1]]
    weighted = reference.adaptive(levels, [response], (4, 3))
    assert weighted.total == pytest.approx(reference.adaptive(spread, [copies], (4, 3)).total, rel=1e-12)


@pytest.mark.parametrize("points", [1, 2, 5])
def test_gaussian_rows_are_exact_with_any_points(points):
    rng = np.random.default_rng(7)
    n, sigma = 12, 0.8
    y, offset, slope = rng.normal(size=(3, n))
    cluster = np.sort(rng.integers(0, 3, n))
    loading = np.stack([np.full(n, 0.7), 0.4 * slope], axis=1)[:, None, :]
    response = reference.Response(normal(y, sigma), offset[:, None], loading, cluster)
    found = reference.adaptive([reference.Level(3, 2)], [response], (points,))
    for j in range(3):
        at = cluster == j
        a = loading[at, 0]
        expected = multivariate_normal.logpdf(y[at], offset[at], a @ a.T + sigma**2 * np.eye(at.sum()))
        assert found.loglik[j] == pytest.approx(expected, abs=1e-10)
