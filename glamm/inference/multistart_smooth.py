"""Random starts of models with classes and continuous latent variables.

A random assignment of clusters to classes makes the log-likelihood that of a model with known classes; a few
quasi-Newton steps of that one, then of the mixture, are a start's short run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResponsePlan
from glamm.inference.coordinates import Coordinates, Scaled
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures_nodes import has_lower_classes
from glamm.inference.multistart_em import (
    SOFT,
    expectation_maximisation,
    maximise_complete,
    nearest_of_distant,
    random_shares,
)
from glamm.inference.objective import Objective
from glamm.inference.optimize import Search, climb
from glamm.inference.optimum import Solution
from glamm.inference.starts import starting_values

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["smooth_solutions"]

STARTS = 16

KEPT = 6
"""Runs that go on to their maximum."""

POINTS = 3
"""Quadrature points of a dimension on the way, where one is not exact."""

FINE = {1: 15, 2: 7, 3: 5}
"""Points of a dimension for runs that go on, by number of latent variables."""

MOVES, SETTLED = 6, 1e-5
"""Times that nodes which do not follow theta are placed anew, and the change of the log-likelihood, relative
to the number of clusters, from which they are placed once more."""

EM = 20
"""Iterations of EM without continuous latent variables."""

ROUGH, CLOSE = 1e-1, 1e-5
"""Decrements at which short runs and those that go on end."""


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
    classes = int(position.max()) + 1
    for run in range(count):
        if run % 3 == 0:
            continue
        own = nearest_of_distant(features, np.ones(len(features)), classes, rng)
        hard[:, run] = (own[group] == position) + 1e-3
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
    search = Search(begin.theta, -np.inf, begin.theta, begin.curvature)
    for _ in range(MOVES):
        held = objective.objective.place_nodes(at.transform @ search.theta)
        before = search.loglik
        search.loglik, search.gradient = objective.value_and_gradient(search.theta)
        if not np.isfinite(search.loglik):
            return search, False
        objective.accept()
        if abs(search.loglik - before) < SETTLED * objective.objective.n_clusters:
            return search, True
        ended = climb(objective, search, at.latent, tolerance=tolerance, limit=limit, report=lambda *_: None)
        if ended is not None or not held or tolerance > CLOSE:
            break
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
    clusters = (
        len(np.unique(plan.levels[-1].group)) if plan.levels[-1].group is not None else rough.n_clusters
    )
    units = sum(response.cluster.shape[0] for response in plan.responses) * rough.n_clusters / clusters
    curvature = units * np.eye(plan.n_parameters)
    begins = []
    if has_lower_classes(plan):
        begins = [
            Search(at.inverse @ theta, -np.inf, theta, curvature)
            for theta in _without_latents(plan, start.theta, starts or STARTS, rng)
        ]
    else:
        begin = at.inverse @ start.theta
        for share in _assignments(plan, _features(rough, start.theta), starts or STARTS, rng).T:
            given = Scaled(rough.with_shares(share), at)
            begins.append(_climbed(given, at, Search(begin, -np.inf, begin, curvature), ROUGH, 10)[0])
    searches = []
    for near in begins:
        search, _ = _climbed(Scaled(rough.with_points(rough.points), at), at, near, ROUGH, 30)
        if np.isfinite(search.loglik):
            searches.append(search)
    searches.sort(key=lambda search: -search.loglik)
    fine = 1 if objective.exact else FINE.get(sum(len(level.factor) for level in plan.levels), POINTS)
    found = []
    for search in searches[:KEPT]:
        end, converged = _climbed(Scaled(rough.with_points(fine), at), at, search, CLOSE, 200)
        found.append(Solution(at.transform @ end.theta, end.loglik, 1, converged))
    return found


def _without_latents(plan: Plan, start: Array, count: int, rng: np.random.Generator) -> list[Array]:
    """Return where EM comes to from random classes if there were no continuous latent variables."""
    none = np.zeros((0, 0), dtype=np.intp)
    bare = replace(
        plan,
        levels=tuple(replace(level, factor=none, held=None, blocks=()) for level in plan.levels),
        responses=tuple(_bare(response) for response in plan.responses),
        memberships=tuple(_bare(response) for response in plan.memberships),
        latents=(),
        ratios=(),
    )
    objective = DiscreteObjective(bare)
    shares = random_shares(objective, start, count, rng)
    first = maximise_complete(objective, np.repeat(start[:, None], count, axis=1), shares)
    return list(expectation_maximisation(objective, first, EM, ROUGH).theta.T)


def _bare(response: ResponsePlan) -> ResponsePlan:
    predictors = (replace(p, loadings=(), terms=(), coordinate=None) for p in response.predictors)
    return replace(response, predictors=tuple(predictors))
