"""The way to the maximum with nodes shared by all clusters, before a fit by adaptive quadrature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.inference.coordinates import Coordinates, Scaled
from glamm.inference.optimize import Search, climb, newton_climb, newton_step, positive
from glamm.inference.progress import Reporter
from glamm.inference.restricted import Reduction, Restricted
from glamm.inference.shared import SharedObjective, shared_objective
from glamm.inference.shared_information import complete_information, shared_information
from glamm.inference.status import Status

Array = NDArray[np.float64]

__all__ = ["SharedClimb"]

SAMPLE, EACH = 500, 2
"""Clusters from which the first curvature comes: at least so many, and so many for each parameter."""

FAR, NEAR = 1.4, 1.1
"""Spacing of nodes over the smallest posterior standard deviation on the way and at its end."""

ROUGHLY = 2.0
"""Spacing of the nodes for the first curvature, relative to those of the climb."""

RENEWALS = 3
"""Times that nodes are placed closer at the end of a climb, each time with another climb."""

CLOSEST = 1e-9
"""Decrement at which the Newton steps end: adaptive quadrature need not repeat them."""

SAME = 1e-6
"""Squared distance, in the norm of the information, of points that have the same information."""


@dataclass(slots=True, eq=False)
class SharedClimb:
    """A climb with shared nodes.

    Attributes
    ----------
    objective : SharedObjective
        With the present nodes.
    at : Coordinates
        Of the maximiser.
    reduction : Reduction or None
        Where there are constraints.
    reporter : Reporter
        Told of every step.
    known : tuple of (ndarray, ndarray) or None
        The point (P,) whose observed information (P, P) was last computed, and that.
    """

    objective: SharedObjective
    at: Coordinates
    reduction: Reduction | None
    reporter: Reporter
    known: tuple[Array, Array] | None = None

    @classmethod
    def of(
        cls, objective: Any, at: Coordinates, reduction: Reduction | None, reporter: Reporter
    ) -> SharedClimb | None:
        """Return the climb for a fit by `objective`; None where it would not be worth its time.

        Laplace's approximation can have its maximum far from that of the likelihood, and what is exact with
        one point is fast.
        """
        if objective.exact or max(objective.points) == 1:
            return None
        shared = shared_objective(objective)
        return None if shared is None else cls(shared, at, reduction, reporter)

    def _theta(self, phi: Array) -> Array:
        theta: Array = self.at.transform @ phi
        return theta if self.reduction is None else self.reduction.expand(theta)

    def _scaled(self) -> Scaled:
        objective = self.objective
        return Scaled(objective if self.reduction is None else Restricted(objective, self.reduction), self.at)

    def _resolve(self, phi: Array, ratio: float) -> float:
        """Place nodes as close as the posteriors at `phi` need; return the value, -inf if they cannot be."""
        theta = self._theta(phi)
        # linear predictors may overflow there: that is no place to climb from
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.objective.resolving(theta, ratio) if np.isfinite(theta).all() else None
        if found is None:
            return -np.inf
        self.objective, value = found
        return value

    def information(self, phi: Array) -> Array | None:
        """Return the observed information in the maximiser's coordinates where nodes and time allow it."""
        if self.known is not None:
            near, found = self.known
            if (phi - near) @ found @ (phi - near) < SAME:
                return found
        if self.reduction is not None or self._resolve(phi, NEAR) == -np.inf:
            return None
        return self._information(phi)

    def _information(self, phi: Array) -> Array | None:
        """Return the same with the present nodes, without constraints."""
        information = shared_information(self.objective, self._theta(phi))
        if information is None:
            return None
        found = np.asarray(self.at.transform.T @ information @ self.at.transform)
        self.known = phi, found
        return found

    def _first_curvature(self, phi: Array) -> Array:
        """Return a positive definite information matrix from some clusters, or without what is missing."""
        theta = self._theta(phi)
        every = max(1, len(self.objective.weight) // (SAMPLE + EACH * len(phi)))
        rough = self.objective.with_spacing(ROUGHLY * self.objective.spacing)
        found = shared_information(rough, theta, every)
        if found is None:
            found = complete_information(rough, theta)
        slope = self.at.transform
        if self.reduction is not None:
            slope = self.reduction.jacobian(theta) @ slope
        return positive(slope.T @ np.nan_to_num(found) @ slope) + 1e-2 * np.eye(len(phi))

    def run(self, tries: Sequence[Array], search: Search, tolerance: float, limit: int) -> bool:
        """Climb from the best of some starting values; return whether that led to a maximum.

        Parameters
        ----------
        tries : sequence of ndarray, shape (P,)
            Maximiser's coordinates.
        search : Search
            Changed as the climb goes on.
        tolerance : float
            Decrement at which quasi-Newton steps end.
        limit : int
            Iterations.
        """
        values = [self._resolve(phi, FAR) for phi in tries]
        search.evaluations += len(values)
        best = int(np.argmax(values))
        search.theta = tries[best]
        if values[best] == -np.inf or not self._evaluate(search):
            return False
        search.curvature = self._first_curvature(search.theta)
        if self._climb(search, tolerance, limit) is not None:
            return False
        for _ in range(RENEWALS):
            before = self.objective
            if self._resolve(search.theta, NEAR) == -np.inf:
                # more nodes than are worth it: the maximum is near all the same
                return True
            if self.objective is before:
                break
            if not self._evaluate(search) or self._climb(search, tolerance, limit) is not None:
                return False
        information = None if self.reduction is not None else self._information(search.theta)
        if information is not None:
            every = np.arange(len(search.theta))
            report = self._report
            newton_climb(self._scaled(), search, information, every, tolerance=CLOSEST, report=report)
        return newton_step(search)[1] < tolerance

    def _evaluate(self, search: Search) -> bool:
        """Evaluate the objective where the search stands; return whether that can be done."""
        search.loglik, search.gradient = self._scaled().value_and_gradient(search.theta)
        search.evaluations += 1
        return bool(np.isfinite(search.loglik) and np.isfinite(search.gradient).all())

    def _climb(self, search: Search, tolerance: float, limit: int) -> Status | None:
        latent, report = self.at.latent, self._report
        return climb(self._scaled(), search, latent, tolerance=tolerance, limit=limit, report=report)

    def _report(self, search: Search, decrement: float) -> None:
        self.reporter(search.loglik, search.relative_gradient(), decrement, self.objective.points)
