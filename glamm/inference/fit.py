"""One fit: starting values, climb, enough quadrature points, boundary, Newton finish, uncertainty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.adaptive import Comparison, Ladder, compare, settle
from glamm.inference.boundary import (
    Boundary,
    nearly_singular,
    residual_scales,
    settle_boundary,
    settle_correlations,
    settle_residuals,
)
from glamm.inference.coordinates import Scaled
from glamm.inference.covariance import Information, Uncertainty, observed_information, uncertainty
from glamm.inference.factor_places import FactorPlaces
from glamm.inference.limits import bounded_ranges, limit_places, settle_limits
from glamm.inference.mixtures import complete_curvature
from glamm.inference.mixtures_boundary import hold_log_odds, undetermined
from glamm.inference.optimize import Search, climb, newton_climb, positive
from glamm.inference.optimum import Optimum
from glamm.inference.options import FitOptions
from glamm.inference.progress import Reporter
from glamm.inference.restricted import Reduction, Restricted, expanded, restricted_coordinates
from glamm.inference.shared_climb import SharedClimb
from glamm.inference.starts import starting_values
from glamm.inference.status import BOUNDARIES, STALLED, Missing, Status

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Fit"]

ROUGH = 1e-2
"""Decrement at which the number of points is first judged."""

FEW = 3
"""Points of a dimension with which a fit by Laplace's approximation begins."""

CLOSE = 1e-7
"""Decrement at which quasi-Newton steps end and the observed information takes over."""

MOVED = 1e-6
"""Decrement by the observed information above which that is computed anew after its step."""

ASYMMETRIC = 1e-3
"""Asymmetry of the observed information above which it is computed anew, in better directions."""

LARGE = 50_000
"""Units times parameters from which the information may come from a formula or one-sided differences."""

NODE_MOVES = 8
"""Times that nodes which do not follow theta are placed anew at the end of a climb."""

TOLERABLE = 1e-2
"""Integration error, of the log-likelihood and in standard errors, that leaves estimates usable."""


class Fit:
    """One fit on its way; `search` and `objective` always hold the best point so far."""

    def __init__(
        self, plan: Plan, options: FitOptions, objective_type: Any, reduction: Reduction | None = None
    ) -> None:
        self.plan = plan
        self.reduction = reduction
        self.options = options
        self.units = sum(response.cluster.shape[0] for response in plan.responses)
        self.size = plan.n_parameters if reduction is None else len(reduction.kept)
        self.latent = any(level.factor.shape[0] for level in plan.levels)
        self.places = FactorPlaces.of(plan, reduction)
        self.limits = limit_places(plan, reduction)
        self.auto = options.integration.points == "auto"
        objective = objective_type(plan, 1, threads=options.threads)
        self.ladder = Ladder.of(plan, objective.dimensions, options.integration)
        points = self.ladder.first() if self.auto else self.ladder.given(options.integration.points)
        self.rule = "auto" if self.auto else "fixed"
        if objective.exact:
            self.rule, self.auto = "exact", False
        elif points != objective.points:
            objective = objective.with_points(points)
        self.start = starting_values(plan, options.start)
        begin, self.at = self.start.theta, self.start.coordinates
        if reduction is not None:
            begin = reduction.reduce(begin)
            self.at = restricted_coordinates(self.at, reduction, reduction.expand(begin))
        self.reporter = Reporter(options.progress, options.optimizer.tol)
        self.shared = SharedClimb.of(objective, self.at, reduction, self.reporter)
        self.objective = Scaled(objective if reduction is None else Restricted(objective, reduction), self.at)
        self.search = Search(self.at.inverse @ begin, -np.inf, np.full(self.size, np.nan), np.eye(self.size))
        self.boundary = Boundary((), ())
        self.free = np.arange(self.size)
        self.information: Array | None = None
        self.asymmetry = float("nan")
        self.comparison: Comparison | None = None
        self.status: Status | None = None
        self.node_moves = 0

    # ------------------------------------------------ steps of the fit

    def run(self) -> None:
        """Run the steps in order; an interruption ends them where they are."""
        try:
            if self._begin():
                self._approach()
                self._ascend()
                self.boundary = settle_boundary(self.objective, self.search, self.places.factors)
                self.boundary = settle_correlations(
                    self.objective,
                    self.search,
                    self.at,
                    self.places.correlations,
                    self.boundary,
                    self._climb_on,
                )
                scales = residual_scales(self.plan)
                if self.reduction is not None:
                    scales = self.reduction.coordinates(scales)
                self.boundary = settle_residuals(self.objective, self.search, self.at, scales, self.boundary)
                self.boundary = settle_limits(
                    self.objective,
                    self.search,
                    self.at,
                    self.limits,
                    self.boundary,
                    self._climb_on,
                )
                if self.status in STALLED and self.limits:
                    self.status = self._climb_on()
                self._finish()
                if self.rule == "fixed" and self.latent:
                    self.comparison = compare(self.objective, self.search, self.ladder)
        except KeyboardInterrupt:
            self.status = Status.INTERRUPTED
        finally:
            self.reporter.close()

    def _coordinates_of(self, theta: Array) -> Array:
        """Return the maximiser's coordinates of theta, or of one near it that satisfies the constraints."""
        return self.at.inverse @ (theta if self.reduction is None else self.reduction.reduce(theta))

    def _theta(self) -> Array:
        """Return the whole theta at the best point, shape (P,)."""
        theta: Array = self.at.transform @ self.search.theta
        return theta if self.reduction is None else self.reduction.expand(theta)

    def _begin(self) -> bool:
        """Find a first point and curvature; False if the log-likelihood exists at no starting values."""
        first, search = self.search.theta, self.search
        self._place_nodes()
        tries = [first, *(self._coordinates_of(theta) for theta in self.start.others)]
        if self._begin_with_shared_nodes(tries):
            return True
        if not max([self._begin_at(phi) for phi in tries]) and self.options.start is None:
            tries = [np.where(self.at.latent, 0.3 * first, first), self._coordinates_of(self.plan.start)]
            any(self._begin_at(phi) for phi in tries)
        if not np.isfinite(search.loglik):
            self.status = Status.NON_FINITE_START
            return False
        search.curvature = self._first_curvature()
        return True

    def _begin_with_shared_nodes(self, tries: list[Array]) -> bool:
        """Go to the maximum that nodes shared by all clusters lead to; return whether there is one."""
        if self.shared is None:
            return False
        search, ahead = self.search, replace(self.search)
        try:
            reached = self.shared.run(tries, ahead, CLOSE, self.options.optimizer.max_iterations)
        except KeyboardInterrupt:
            self._begin_at(ahead.theta)
            raise
        search.evaluations, first = ahead.evaluations, self.objective
        if reached and self.auto:
            tolerance = self.options.integration.tolerance(ahead.loglik)
            self.objective = settle(first, ahead.theta, self.ladder, tolerance)
        if reached and self._begin_at(ahead.theta):
            search.curvature, search.iterations = ahead.curvature, ahead.iterations
            return True
        self.shared, self.objective = None, first
        return False

    def _begin_at(self, phi: Array) -> bool:
        """Move to `phi` if the log-likelihood is higher there; return whether it exists."""
        search = self.search
        loglik, gradient = self.objective.value_and_gradient(phi)
        search.evaluations += 1
        finite = bool(np.isfinite(loglik) and np.isfinite(gradient).all())
        if finite and loglik > search.loglik:
            self.objective.accept()
            search.theta, search.loglik, search.gradient = phi, float(loglik), gradient
        return finite

    def _approach(self) -> None:
        """Come near the maximum with a few points before Laplace's approximation is maximised.

        That can have maxima of its own far from where the likelihood has any.
        """
        few = tuple(FEW if q else 1 for q in self.ladder.sizes)
        if self.rule != "fixed" or max(self.objective.points) > 1 or not self.ladder.affordable(few):
            return
        laplace = self.objective
        if few != laplace.points and self._change_rule(laplace.with_points(few)):
            self._climb(ROUGH, min(20, self.options.optimizer.max_iterations))
            self._change_rule(laplace.with_points(laplace.points))

    def _first_curvature(self) -> Array:
        """Return a positive definite information matrix at the start.

        That of the fixed part where there is nothing else, the expected one where it has a closed form, the
        outer product of cluster scores where clusters abound, differences of the gradient where they do not
        or sums over the clusters make it cheap.
        """
        size, identity = self.size, np.eye(self.size)
        expected = self.objective.expected_information(self.search.theta)
        if expected is not None and np.isfinite(expected).all():
            return positive(expected) + 1e-2 * identity
        if self.start.information is not None and self.reduction is None:
            transform = self.at.transform
            return positive(transform.T @ self.start.information @ transform) + 1e-8 * identity
        many = self.plan.levels[-1].clusters >= max(5 * size, 30) and not self.objective.summed
        if many and self.latent:
            scores = self.objective.cluster_scores(self.search.theta)
            self.search.evaluations += 1
            weight = self.plan.levels[-1].weight
            if weight is not None and len(weight) == len(scores):
                scores = scores[weight > 0.0] / np.sqrt(weight[weight > 0.0])[:, None]
            matrix = scores.T @ scores
            if np.isfinite(matrix).all():
                return positive(matrix) + 1e-2 * identity
        found = self._observed(self.units * identity, one_sided=True)
        if np.isfinite(found.matrix).all():
            return positive(found.matrix) + 1e-2 * identity
        return np.asarray(self.units * identity)

    def _report(self, search: Search, decrement: float) -> None:
        self.reporter(search.loglik, search.relative_gradient(), decrement, self.objective.points)

    def _climb(self, tolerance: float, limit: int) -> Status | None:
        return climb(
            self.objective, self.search, self.at.latent, tolerance=tolerance, limit=limit, report=self._report
        )

    def _climb_on(self) -> Status | None:
        """Climb from a point that was moved to the edge of the parameters."""
        return self._climb(CLOSE, self.options.optimizer.max_iterations)

    def _ascend(self) -> None:
        """Climb to the maximum of a rule that is fine enough; one that shared nodes led to is already."""
        limit = self.options.optimizer.max_iterations
        if self.auto and self.shared is None:
            self._climb(ROUGH, min(8, limit))
            self._settle()
        while self.status is None:
            ended = self._climb(CLOSE, max(limit - self.search.iterations, 1))
            if ended is not None:
                self.status = ended
                return
            if self._nodes_moved():
                continue
            if not self.auto or self._enough_points():
                return

    def _place_nodes(self) -> bool:
        """Place nodes that do not follow theta; return whether there are such nodes."""
        return bool(self.objective.objective.place_nodes(self.at.transform @ self.search.theta))

    def _nodes_moved(self) -> bool:
        """Place nodes anew where they do not follow theta; return whether that changed the log-likelihood."""
        search = self.search
        if self.node_moves == NODE_MOVES or not self._place_nodes():
            return False
        self.node_moves += 1
        before = search.loglik
        loglik, gradient = self.objective.value_and_gradient(search.theta)
        search.evaluations += 1
        if not (np.isfinite(loglik) and np.isfinite(gradient).all()):
            return False
        search.loglik, search.gradient = float(loglik), gradient
        return abs(loglik - before) > self.options.integration.tolerance(self.search.loglik)

    def _settle(self) -> bool:
        """Raise the points until the log-likelihood settles; return whether they were."""
        tolerance = self.options.integration.tolerance(self.search.loglik)
        return self._change_rule(settle(self.objective, self.search.theta, self.ladder, tolerance))

    def _change_rule(self, objective: Scaled) -> bool:
        if objective is self.objective:
            return False
        loglik, gradient = objective.value_and_gradient(self.search.theta)
        self.search.evaluations += 1
        if not (np.isfinite(loglik) and np.isfinite(gradient).all()):
            return False
        objective.accept()
        self.objective = objective
        self.search.loglik, self.search.gradient = float(loglik), gradient
        return True

    def _enough_points(self) -> bool:
        """Compare with a finer rule; if that matters move on to it and return False."""
        self.comparison = compare(self.objective, self.search, self.ladder)
        transform = self.at.transform
        covariance = transform @ np.linalg.inv(positive(self.search.curvature)) @ transform.T
        estimates = self.comparison.estimates(covariance)
        if (
            self.comparison.loglik <= self.options.integration.tolerance(self.search.loglik)
            and estimates <= self.options.integration.estimate_tolerance
        ):
            return True
        if self._settle():
            return False
        points = self.ladder.raised(self.objective.points)
        if not self.ladder.affordable(points):
            return True
        return not self._change_rule(self.objective.with_points(points))

    def _finish(self) -> None:
        """Newton steps with the observed information, which is then the one at the maximum."""
        gone = {k for k, _ in self.boundary.missing}
        self.free = np.array([k for k in range(self.size) if k not in gone], dtype=np.intp)
        if not self.free.size:
            self.information = np.zeros((0, 0))
            return
        tolerance = self.options.optimizer.tol
        for _ in range(4):
            large = self.units * self.plan.n_parameters >= LARGE
            found = self._observed(self.search.curvature, one_sided=large)
            self.information, self.asymmetry = found.matrix, found.asymmetry
            if not np.isfinite(found.matrix).all():
                return
            first, last = newton_climb(
                self.objective, self.search, found.matrix, self.free, tolerance=tolerance, report=self._report
            )
            settled = first <= MOVED and last <= tolerance and found.asymmetry < ASYMMETRIC
            if self.status is not None or settled:
                return

    def _observed(self, curvature: Array, *, one_sided: bool) -> Information:
        """Return the information of the free parameters, by formula where there is one."""
        large = self.units * self.plan.n_parameters >= LARGE
        known = None if self.shared is None or not large else self.shared.information(self.search.theta)
        if known is None and (large or self.rule == "exact"):
            known = self.objective.information(self.search.theta)
        if known is not None:
            return Information(known[np.ix_(self.free, self.free)], 0.0, 0)
        gradient = self.search.gradient if one_sided else None
        found = observed_information(
            self.objective, self.search.theta, curvature, self.free, gradient=gradient
        )
        self.search.evaluations += found.evaluations
        return found

    # ------------------------------------------------ the result

    def optimum(self) -> Optimum:
        """Return what was found."""
        search, size = self.search, self.size
        information = np.full((size, size), np.nan)
        if self.information is None:
            known = Uncertainty(
                np.full((size, size), np.nan),
                tuple((k, Missing.NOT_COMPUTED) for k in range(size)),
                (),
                float("nan"),
            )
        else:
            onward = self.at.inverse[np.ix_(self.free, self.free)]
            information[np.ix_(self.free, self.free)] = onward.T @ self.information @ onward
            known = self._uncertainty(self.information)
        missing = bounded_ranges(dict(known.missing), self.limits) | dict(self.boundary.missing)
        if self.plan.memberships and Missing.DIVERGING in missing.values():
            missing |= self._without_classes([k for k, why in missing.items() if why is Missing.DIVERGING])
            gone = [k for k, why in missing.items() if why is Missing.PROBABILITY]
            hold_log_odds(self.objective, search, self.at, gone)
        error = None
        if self.rule == "exact" or not self.latent:
            error = (0.0, 0.0)
        elif self.comparison is not None:
            error = (self.comparison.loglik, self.comparison.estimates(known.covariance))
        found = Optimum(
            theta=self.at.transform @ search.theta,
            loglik=search.loglik,
            gradient=search.gradient @ self.at.inverse,
            information=information,
            covariance=known.covariance,
            missing=tuple(sorted(missing.items(), key=lambda item: item[0])),
            boundary=self.boundary.zero,
            flat=known.flat,
            status=self._status(set(missing.values()), error),
            trace=tuple(self.reporter.trace),
            iterations=search.iterations,
            evaluations=search.evaluations,
            points=self.objective.points,
            rule=self.rule,
            integration_error=error,
            relative_gradient=search.relative_gradient(),
            condition=known.condition,
            asymmetry=self.asymmetry,
            seconds=self.reporter.seconds(),
            n_free=self.size,
            integration=self.objective.integration,
        )
        return found if self.reduction is None else expanded(found, self.reduction)

    def _uncertainty(self, information: Array) -> Uncertainty:
        """Return covariances of theta from the information of the free coordinates."""
        theta, free = self.at.transform @ self.search.theta, self.free
        # rows at infinity are not free and have no slope
        gone = np.setdiff1d(np.arange(self.size), free)
        near = np.where(np.isin(np.arange(self.size), gone), 0.0, theta)
        at = self.at.along_correlations(near, self.places.correlations)
        turn = (self.at.inverse @ at.transform)[np.ix_(free, free)]
        return uncertainty(turn.T @ information @ turn, at.inverse @ near, at, free)

    def _without_classes(self, places: list[int]) -> dict[int, Missing]:
        """Return why some parameters of a model with classes are not determined."""
        objective, theta = self.objective.objective, self._theta()
        if self.reduction is not None:
            objective = objective.objective
        known = complete_curvature(self.plan, theta, objective.shares(theta))
        if self.reduction is not None:
            known = known[self.reduction.kept]
        return undetermined(known * self.at.unit**2, places)

    def _status(self, reasons: set[Missing], error: tuple[float, float] | None) -> Status:
        if self.status in (None, Status.LINE_SEARCH) and nearly_singular(self.plan, self._theta()):
            return Status.SINGULAR_LIMIT
        if self.status is not None:
            return self.status
        if Missing.INDEFINITE in reasons:
            return Status.LINE_SEARCH
        if self.rule == "auto" and error is not None and max(error) > TOLERABLE:
            return Status.INTEGRATION_UNSETTLED
        if Missing.DIVERGING in reasons:
            return Status.DIVERGING
        if self.rule == "auto" and error is not None:
            options = self.options.integration
            if error[0] > options.tolerance(self.search.loglik) or error[1] > options.estimate_tolerance:
                return Status.INTEGRATION_LIMIT
        if self.boundary.zero:
            return Status.BOUNDARY
        return next((end for reason, end in BOUNDARIES.items() if reason in reasons), Status.CONVERGED)
