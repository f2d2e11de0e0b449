"""Random starts of models with classes and continuous latent variables.

A random assignment of clusters to classes makes the log-likelihood that of a model with known classes; a few
quasi-Newton steps of that one, then of the mixture, are a start's short run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResponsePlan
from glamm.inference.coordinates import Scaled
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures_nodes import has_lower_classes
from glamm.inference.mixtures_permutations import Labelling
from glamm.inference.multistart_em import (
    SOFT,
    expectation_maximisation,
    first_steps,
    nearest_of_distant,
)
from glamm.inference.multistart_space import Space
from glamm.inference.objective import Objective
from glamm.inference.optimize import Search, climb
from glamm.inference.optimum import Solution
from glamm.inference.restricted import Restricted, restricted_coordinates
from glamm.inference.starts import starting_values

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["SmoothSearch"]

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


class SmoothSearch:
    """Runs of a model with classes and continuous latent variables.

    Parameters
    ----------
    plan : Plan
    objective : Objective
    space : Space
        What the runs move in.
    """

    def __init__(self, plan: Plan, objective: Objective, space: Space) -> None:
        self.plan = plan
        self.space = space
        start = starting_values(plan)
        self.start = start.theta
        self.at = start.coordinates
        if space.reduction is not None:
            theta = space.reduction.expand(space.reduction.reduce(self.start))
            self.at = restricted_coordinates(self.at, space.reduction, theta)
        self.rough = objective.with_points(1 if objective.exact else POINTS)
        dimensions = sum(len(level.factor) for level in plan.levels)
        self.fine = 1 if objective.exact else FINE.get(dimensions, POINTS)
        group = plan.levels[-1].group
        clusters = self.rough.n_clusters if group is None else len(np.unique(group))
        units = sum(response.cluster.shape[0] for response in plan.responses)
        self.curvature = units * self.rough.n_clusters / clusters * np.eye(len(self.at.inverse))

    def _begin(self, theta: Array) -> Search:
        place = self.at.inverse @ self.space.reduce(theta[:, None])[:, 0]
        return Search(place, -np.inf, place, self.curvature)

    def _climbed(
        self, objective: Objective, begin: Search, tolerance: float, limit: int
    ) -> tuple[Search, bool]:
        reduction = self.space.reduction
        within = objective if reduction is None else Restricted(objective, reduction)
        scaled = Scaled(within, self.at)
        search = Search(begin.theta, -np.inf, begin.theta, begin.curvature)
        for _ in range(MOVES):
            held = within.place_nodes(self.at.transform @ search.theta)
            before = search.loglik
            search.loglik, search.gradient = scaled.value_and_gradient(search.theta)
            if not np.isfinite(search.loglik):
                return search, False
            scaled.accept()
            if abs(search.loglik - before) < SETTLED * objective.n_clusters:
                return search, True
            ended = climb(
                scaled, search, self.at.latent, tolerance=tolerance, limit=limit, report=lambda *_: None
            )
            if ended is not None or not held or tolerance > CLOSE:
                break
        return search, ended is None

    def _short(self, begins: Sequence[Search]) -> list[Search]:
        """Return where short runs end, the best first."""
        rough = self.rough
        searches = [self._climbed(rough.with_points(rough.points), begin, ROUGH, 30)[0] for begin in begins]
        searches = [search for search in searches if np.isfinite(search.loglik)]
        return sorted(searches, key=lambda search: -search.loglik)

    def _end(self, search: Search) -> Solution:
        end, converged = self._climbed(self.rough.with_points(self.fine), search, CLOSE, 200)
        theta = self.space.expand((self.at.transform @ end.theta)[:, None])[:, 0]
        return Solution(theta, end.loglik, 1, converged)

    def _given(self, share: Array, labellings: Sequence[Labelling]) -> Search:
        """Return where a short run with given probabilities of classes ends, in the places that fit best."""
        level = len(self.plan.levels) - 1
        tried = [share]
        for labelling in labellings:
            if labelling.level == level:
                permuted = np.empty_like(share)
                permuted[labelling.moved] = share
                tried.append(permuted)
        searches = [
            self._climbed(self.rough.with_shares(one), self._begin(self.start), ROUGH, 10)[0] for one in tried
        ]
        return max(searches, key=lambda search: np.nan_to_num(search.loglik, nan=-np.inf))

    def solutions(
        self, starts: int | None, labellings: Sequence[Labelling], rng: np.random.Generator
    ) -> list[Solution]:
        """Return the local maxima that some random starts lead to, near enough to go on from.

        Parameters
        ----------
        starts : int, optional
        labellings : sequence of Labelling
            Other places that classes may have.
        rng : numpy Generator
        """
        count = starts or STARTS
        if has_lower_classes(self.plan):
            thetas = _without_latents(self.plan, self.space, self.start, count, labellings, rng)
            begins = [self._begin(theta) for theta in thetas]
        else:
            shares = _assignments(self.plan, _features(self.rough, self.start), count, rng)
            begins = [self._given(share, labellings) for share in shares.T]
        return [self._end(search) for search in self._short(begins)[:KEPT]]

    def best_from(self, thetas: Sequence[Array]) -> Solution | None:
        """Return the maximum that the best of short runs from some thetas (P,) leads to."""
        searches = self._short([self._begin(theta) for theta in thetas])
        return self._end(searches[0]) if searches else None


def _without_latents(
    plan: Plan,
    space: Space,
    start: Array,
    count: int,
    labellings: Sequence[Labelling],
    rng: np.random.Generator,
) -> list[Array]:
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
    first = first_steps(objective, space, start, count, labellings, rng)
    return list(expectation_maximisation(objective, space, first, EM, ROUGH).theta.T)


def _bare(response: ResponsePlan) -> ResponsePlan:
    predictors = (replace(p, loadings=(), terms=(), coordinate=None) for p in response.predictors)
    return replace(response, predictors=tuple(predictors))
