"""Random starts of models with classes and continuous latent variables.

A random assignment of clusters to classes makes the log-likelihood that of a model with known classes; a few
quasi-Newton steps of that one, then of the mixture, are a start's short run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.coordinates import Coordinates, Scaled
from glamm.inference.objective import Objective
from glamm.inference.optimize import Search, climb
from glamm.inference.optimum import Solution
from glamm.inference.starts import starting_values

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["smooth_solutions"]

STARTS = 16

KEPT = 4
"""Runs that go on to their maximum."""

POINTS = 3
"""Quadrature points of a dimension on the way, where one is not exact."""

ROUGH, CLOSE = 1e-1, 1e-5
"""Decrements at which short runs and those that go on end."""

SOFT = 0.1
"""Share of a cluster that a random assignment leaves to chance."""


def _assignments(plan: Plan, features: Array, count: int, rng: np.random.Generator) -> Array:
    """Return random class probabilities (clusters, count) of the top-level clusters.

    Every third is a uniform Dirichlet draw, the others assign clusters to the nearest in `features`
    (groups, m) of some drawn far apart.
    """
    group = plan.levels[-1].group
    assert group is not None
    first = np.flatnonzero(np.r_[True, np.diff(group) != 0])
    position = np.arange(len(group)) - first[group]
    chance = rng.standard_exponential((len(group), count))
    hard = chance.copy()
    for run in range(count):
        if run % 3 == 0:
            continue
        distance = np.full((len(features), int(position.max()) + 1), np.inf)
        nearest = np.ones(len(features))
        for c in range(distance.shape[1]):
            total = nearest.sum()
            even = np.full(len(features), 1.0 / len(features))
            centre = features[rng.choice(len(features), p=nearest / total if total > 0.0 else even)]
            distance[:, c] = ((features - centre) ** 2).sum(axis=1)
            nearest = distance.min(axis=1)
        hard[:, run] = (distance.argmin(axis=1)[group] == position) + 1e-3
    hard /= np.add.reduceat(hard, first)[group]
    chance /= np.add.reduceat(chance, first)[group]
    return (1.0 - SOFT) * hard + SOFT * chance


def _features(objective: Objective, theta: Array) -> Array:
    """Return standardised scores of the top-level clusters at a point that does not tell classes apart."""
    scores = np.nan_to_num(objective.cluster_scores(theta))
    spread = scores.std(axis=0)
    used = spread > 1e-8 * max(float(spread.max(initial=0.0)), 1e-300)
    return np.asarray(scores[:, used] / spread[used])


def _climbed(
    objective: Scaled, at: Coordinates, begin: Search, tolerance: float, limit: int
) -> tuple[Search, bool]:
    loglik, gradient = objective.value_and_gradient(begin.theta)
    search = Search(begin.theta, loglik, gradient, begin.curvature)
    if not np.isfinite(loglik):
        return search, False
    objective.accept()
    ended = climb(objective, search, at.latent, tolerance=tolerance, limit=limit, report=lambda *_: None)
    return search, ended is None


def smooth_solutions(
    plan: Plan, objective: Objective, starts: int | None, rng: np.random.Generator
) -> list[Solution]:
    """Return the local maxima that some random starts lead to, near enough to go on from.

    Parameters
    ----------
    plan : Plan
        With classes at its highest level.
    objective : Objective
    starts : int, optional
    rng : numpy Generator
    """
    start = starting_values(plan)
    at = start.coordinates
    rough = objective.with_points(1 if objective.exact else POINTS)
    units = sum(response.cluster.shape[0] for response in plan.responses) / len(
        np.unique(plan.levels[-1].group)
    )
    curvature = units * rough.n_clusters * np.eye(plan.n_parameters)
    begin = at.inverse @ start.theta
    assigned = _assignments(plan, _features(rough, start.theta), starts or STARTS, rng)
    searches = []
    for share in assigned.T:
        given = Scaled(rough.with_shares(share), at)
        near, _ = _climbed(given, at, Search(begin, -np.inf, begin, curvature), ROUGH, 10)
        mixed = Scaled(rough.with_points(rough.points), at)
        search, _ = _climbed(mixed, at, near, ROUGH, 15)
        if np.isfinite(search.loglik):
            searches.append(search)
    searches.sort(key=lambda search: -search.loglik)
    found = []
    for search in searches[:KEPT]:
        mixed = Scaled(rough.with_points(rough.points), at)
        end, converged = _climbed(mixed, at, search, CLOSE, 200)
        found.append(Solution(at.transform @ end.theta, end.loglik, 1, converged))
    return found
