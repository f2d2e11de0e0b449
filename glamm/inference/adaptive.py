"""How many quadrature points are enough: rules compared with the next finer one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.errors import FitError
from glamm.inference.coordinates import Scaled
from glamm.inference.optimize import Search
from glamm.inference.options import AdaptiveQuadrature
from glamm.inference.rules import MOST_POINTS

Array = NDArray[np.float64]

__all__ = ["Comparison", "Ladder", "compare", "settle"]

LADDERS: dict[int, tuple[int, ...]] = {
    1: (7, 11, 15, 21, 31, 51, 75, 101, 151),
    2: (5, 7, 9, 11, 15, 21, 31, 41, 61, 81),
    3: (5, 7, 9, 11, 15, 21),
    4: (3, 5, 7, 9, 11),
    5: (3, 5, 7),
}
"""Points of a dimension to try, by number of latent variables met by one unit."""

FEW_DIMENSIONS = max(LADDERS)

SCATTERED = (512, 2048, 8192, 32_768)
"""Nodes of a level to try where it has `FEW_DIMENSIONS` or more; twice as many would tell too little."""

NODES = 32_768
"""Most nodes of one unit."""

MOST_NODES = 1_000_000
"""Most nodes of one level that a user may ask for."""

WORK = 3e8
"""Most nodes times units."""


def _nodes(points: int, dimensions: int) -> int:
    """Return the nodes of a level that a number of points means."""
    return points if points > MOST_POINTS else int(points**dimensions)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Numbers of points that ``"auto"`` goes through.

    Attributes
    ----------
    sizes : tuple of int
        Latent variables of each level that are integrated one inside the other.
    rungs : tuple of tuple of int
        For each level.
    units : int
        Response units.
    limit : int or None
        Largest number of points the user allows.
    """

    sizes: tuple[int, ...]
    rungs: tuple[tuple[int, ...], ...]
    units: int
    limit: int | None

    @classmethod
    def of(cls, plan: Plan, sizes: tuple[int, ...], options: AdaptiveQuadrature) -> Ladder:
        """Return the ladder of a plan whose integrals have `sizes` dimensions."""
        units = sum(response.cluster.shape[0] for response in plan.responses)
        limit = options.max_points
        few = LADDERS[min(max(sum(sizes), 1), FEW_DIMENSIONS)]
        scatters = limit is None or limit > MOST_POINTS
        rungs = tuple(SCATTERED if scatters and q >= FEW_DIMENSIONS else few for q in sizes)
        return cls(sizes, rungs, units, limit)

    def first(self) -> tuple[int, ...]:
        """Return the rule to start with."""
        low = [rungs[0] if self.limit is None else min(rungs[0], self.limit) for rungs in self.rungs]
        return tuple(k if q else 1 for k, q in zip(low, self.sizes, strict=True))

    def given(self, points: object) -> tuple[int, ...]:
        """Return the rule that a user's number of points means."""
        if isinstance(points, tuple):
            if len(points) != len(self.sizes):
                raise FitError(f"points={points}: expected {len(self.sizes)} numbers, one for each level")
        else:
            assert isinstance(points, int)
            points = (points,) * len(self.sizes)
        for k, q in zip(points, self.sizes, strict=True):
            if _nodes(k, q) > MOST_NODES:
                raise FitError(
                    f"points={k}: {q} latent variables of a cluster would need {_nodes(k, q)} nodes, "
                    f"at most {MOST_NODES} are possible"
                )
        return tuple(k if q else 1 for k, q in zip(points, self.sizes, strict=True))

    @staticmethod
    def finer(points: int, dimensions: int, rungs: tuple[int, ...]) -> int:
        """Return the next number of points; beyond the last rung about half as many again.

        Finer than a product rule in many dimensions is one of twice its nodes, scattered.
        """
        if points > MOST_POINTS:
            return 4 * points
        if dimensions >= FEW_DIMENSIONS:
            return max(SCATTERED[0], 1 << int(2 * points**dimensions - 1).bit_length())
        place = bisect_right(rungs, points)
        if points < rungs[0]:
            return 3 if points == 1 else points + 2
        return rungs[place] if place < len(rungs) else points + 2 * (points // 4 + 1)

    def raised(self, points: tuple[int, ...], level: int | None = None) -> tuple[int, ...]:
        """Return the rule with more points at one level, or at all."""
        return tuple(
            self.finer(k, q, rungs) if q and level in (None, at) else k
            for at, (k, q, rungs) in enumerate(zip(points, self.sizes, self.rungs, strict=True))
        )

    def affordable(self, points: tuple[int, ...]) -> bool:
        """Return whether a fit may use the rule."""
        nodes = float(np.prod([_nodes(k, q) for k, q in zip(points, self.sizes, strict=True)]))
        within = all(
            k <= (rungs[-1] if self.limit is None else self.limit)
            for k, rungs in zip(points, self.rungs, strict=True)
        )
        return nodes <= NODES and nodes * self.units <= WORK and within


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A rule against a finer one at the same theta.

    Attributes
    ----------
    points : tuple of int
        The finer rule.
    loglik : float
        Change of the log-likelihood.
    gradient : ndarray, shape (P,)
        Change of the gradient in theta.
    """

    points: tuple[int, ...]
    loglik: float
    gradient: Array

    def estimates(self, covariance: Array) -> float:
        """Return the largest change, in standard errors, of the estimates that a Newton step predicts.

        `covariance`, (P, P), is that of theta; NaN for parameters without one.
        """
        kept = np.flatnonzero(np.diagonal(covariance) > 0.0)
        if not kept.size:
            return 0.0
        if not np.isfinite(self.gradient).all():
            return float("inf")
        within = covariance[np.ix_(kept, kept)]
        step = within @ self.gradient[kept]
        return float(np.max(np.abs(step) / np.sqrt(np.diagonal(within))))


def settle(objective: Scaled, phi: Array, ladder: Ladder, tolerance: float) -> Scaled:
    """Return the objective with enough points that the log-likelihood at `phi` no longer moves.

    Every level is tried on its own. The sum of cluster log-likelihoods must not move, nor may
    their changes be large and merely cancel.
    """
    base = objective.cluster_logliks(phi)
    objective.accept()
    while True:
        coarse: list[tuple[int, Scaled, Array]] = []
        for level, q in enumerate(ladder.sizes):
            points = ladder.raised(objective.points, level)
            if not q or not ladder.affordable(points):
                continue
            trial = objective.with_points(points)
            values = trial.cluster_logliks(phi)
            change = values - base
            if not abs(change.sum()) <= tolerance or not np.linalg.norm(change) <= tolerance:
                coarse.append((level, trial, values))
        if not coarse:
            return objective
        if len(coarse) == 1:
            _, objective, base = coarse[0]
            continue
        points = objective.points
        for level, _, _ in coarse:
            raised = ladder.raised(points, level)
            points = raised if ladder.affordable(raised) else points
        objective = objective.with_points(points)
        base = objective.cluster_logliks(phi)


def compare(objective: Scaled, search: Search, ladder: Ladder) -> Comparison:
    """Return how the log-likelihood and its gradient change with the next finer rule."""
    points = ladder.raised(objective.points)
    loglik, gradient = objective.with_points(points).value_and_gradient(search.theta)
    search.evaluations += 1
    change = (gradient - search.gradient) @ objective.at.inverse
    return Comparison(points, abs(loglik - search.loglik), change)
