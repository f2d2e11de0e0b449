"""Classes below the highest level: where quadrature nodes stand, and units that every alternative must meet.

The density of continuous latent variables under classes below is a mixture without one mode. Nodes then stand
by posterior means and covariances of the coordinates of each cluster and those above it, from an evaluation
with earlier nodes, and stay there while theta moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResponsePlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Nodes = list[tuple[Array, Array]]

__all__ = ["Nodes", "has_lower_classes", "home_level", "placed_nodes", "prior_nodes", "spread_units"]

NARROW = 1e-6
"""Smallest variance of a coordinate, of the prior's 1, that nodes are placed by."""


def has_lower_classes(plan: Plan) -> bool:
    """Return whether clusters below the highest level are alternatives of each other."""
    return any(level.group is not None for level in plan.levels[:-1])


def home_level(plan: Plan, response: ResponsePlan) -> int:
    """Return the level that a response's units belong to.

    Units of a higher level are written in one of the lowest clusters only: a response that meets no more
    than one of the alternatives of any cluster with classes lives above them.
    """
    home, cluster = 0, response.cluster
    for number, level in enumerate(plan.levels[:-1]):
        if level.group is not None:
            met = np.unique(cluster)
            groups, counts = np.unique(level.group[met], return_counts=True)
            possible = np.bincount(level.group)[groups]
            if (possible > 1).any() and (counts[possible > 1] == 1).all():
                home = number + 1
        assert level.parent is not None
        cluster = level.parent[cluster]
    return home


# ---------------------------------------------------------------- units of higher levels


def spread_units(plan: Plan) -> Plan:
    """Return the plan with units of higher levels written in all alternatives of the cluster they stand in.

    Whichever alternative holds, the unit is there: the sum over alternatives then has it as a factor.
    """
    if not has_lower_classes(plan):
        return plan
    return replace(
        plan,
        responses=tuple(_spread(plan, response) for response in plan.responses),
        memberships=tuple(_spread(plan, response) for response in plan.memberships),
        ratios=tuple(_spread(plan, response) for response in plan.ratios),
    )


def _spread(plan: Plan, response: ResponsePlan) -> ResponsePlan:
    home = home_level(plan, response)
    if home == 0:
        return response
    cluster = response.cluster
    for level in plan.levels[:home]:
        assert level.parent is not None
        cluster = level.parent[cluster]
    rows = np.arange(len(cluster), dtype=np.intp)
    for level in reversed(plan.levels[:home]):
        # the first cluster below, in each of its alternatives
        assert level.parent is not None
        first = np.searchsorted(level.parent, cluster)
        if level.group is None:
            cluster = first
            continue
        begin = np.searchsorted(level.group, level.group[first])
        counts = np.searchsorted(level.group, level.group[first], side="right") - begin
        offset = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, cluster = np.repeat(rows, counts), np.repeat(begin, counts) + offset
    order = np.argsort(cluster, kind="stable")
    return response.take(rows[order], cluster[order])


# ---------------------------------------------------------------- nodes


def prior_nodes(plan: Plan) -> Nodes:
    """Return centres (clusters, q) and spreads (clusters, p, p) of the standard normal prior, by level."""
    sizes = [len(level.factor) for level in plan.levels]
    found = []
    for number, level in enumerate(plan.levels):
        path = sum(sizes[number:])
        spread = np.broadcast_to(np.eye(path), (level.clusters, path, path)).copy()
        found.append((np.zeros((level.clusters, sizes[number])), spread))
    return found


def placed_nodes(plan: Plan, mean: Sequence[Array], covariance: Sequence[Array]) -> Nodes:
    """Return nodes by the posterior moments of paths.

    A cluster's own coordinates follow their regression on those of the clusters above.

    Parameters
    ----------
    plan : Plan
    mean : sequence of ndarray, shape (clusters, p)
        A cluster's own coordinates first, then those above it.
    covariance : sequence of ndarray, shape (clusters, p, p)
    """
    found: Nodes = []
    above_centre = np.zeros((1, 0))
    above_spread = np.zeros((1, 0, 0))
    for number in reversed(range(len(plan.levels))):
        level, q = plan.levels[number], len(plan.levels[number].factor)
        here = np.zeros(level.clusters, dtype=np.intp) if level.parent is None else level.parent
        centre, spread = above_centre[here], above_spread[here]
        m, c = mean[number], covariance[number]
        size = m.shape[1]
        own, outer, cross = c[:, :q, :q], c[:, q:, q:], c[:, :q, q:]
        ridge = NARROW * np.eye(size - q)
        slope = np.swapaxes(np.linalg.solve(outer + ridge, np.swapaxes(cross, 1, 2)), 1, 2)
        rest = own - slope @ np.swapaxes(cross, 1, 2)
        path = np.zeros((level.clusters, size, size))
        path[:, :q, :q] = _upper(rest)
        path[:, :q, q:] = slope @ spread
        path[:, q:, q:] = spread
        placed = m[:, :q] + np.einsum("cij,cj->ci", slope, centre - m[:, q:])
        found.append((placed, path))
        above_centre = np.concatenate([placed, centre], axis=1)
        above_spread = path
    return found[::-1]


def _upper(covariance: Array) -> Array:
    """Return the upper triangular U with ``U U'`` the covariance matrices (n, q, q), made positive."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + np.swapaxes(covariance, 1, 2)))
    whole = (vectors * np.maximum(values, NARROW)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    # the Cholesky factor of the matrix with its axes reversed, reversed again
    return np.asarray(np.linalg.cholesky(whole[:, ::-1, ::-1])[:, ::-1, ::-1])
