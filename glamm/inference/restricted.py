"""Fits under constraints: theta as a function of fewer coordinates.

Constraints are linear in the parameters people read (standard deviations, variances, coefficients), which are
increasing functions of entries of theta, one by one. The coordinates are the entries that stay free; each
other one follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import ConstraintPlan, Plan
from glamm.inference.constraints import Bounds, Equalities, Equality, LinearMap, fit_within_bounds
from glamm.inference.coordinates import Coordinates
from glamm.inference.optimum import Optimum
from glamm.inference.status import Missing

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Value = TypeVar("Value")

__all__ = [
    "Reduction",
    "Restricted",
    "bounds_of",
    "expanded",
    "restricted_coordinates",
    "violation",
    "within_constraints",
]


def bounds_of(plan: ConstraintPlan) -> Bounds:
    """Return the inequalities over the constrained parameters."""
    return Bounds(plan.bounds, plan.lower, plan.bound_names)


def violation(plan: ConstraintPlan, theta: Array) -> float:
    """Return how far theta is outside the inequalities; 0 within them."""
    length = np.maximum(np.linalg.norm(plan.bounds, axis=1), 1e-300)
    outside = np.maximum(plan.lower - plan.bounds @ plan.natural(theta), 0.0) / length
    return float(np.linalg.norm(outside))


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """The map from the free coordinates phi to theta.

    Attributes
    ----------
    plan : ConstraintPlan
    linear : LinearMap
        Over the constrained parameters as people read them.
    size : int
        P, the length of theta.
    at_bound : tuple of int
        Entries of theta that bounds held as equalities fix at a value.
    """

    plan: ConstraintPlan
    linear: LinearMap
    size: int
    at_bound: tuple[int, ...] = ()

    @classmethod
    def of(cls, plan: ConstraintPlan, size: int, active: dict[int, Equality] | None = None) -> Reduction:
        """Return the map for the equalities, and for the bounds in `active` held as equalities.

        Raises
        ------
        FitError
            Equalities contradict each other.
        """
        matrix, value, names = plan.equalities, plan.value, list(plan.names)
        for row, equality in (active or {}).items():
            matrix = np.vstack([matrix, equality.coefficients])
            value = np.append(value, equality.value)
            names.append(plan.bound_names[row])
        linear = LinearMap.of(Equalities(matrix, value, names))
        at_bound: tuple[int, ...] = ()
        if active:
            moves = LinearMap.of(Equalities(plan.equalities, plan.value, plan.names)).matrix.any(axis=1)
            fixed = moves & ~linear.matrix.any(axis=1)
            at_bound = tuple(int(plan.places[k]) for k in np.flatnonzero(fixed))
        return cls(plan, linear, size, at_bound)

    @property
    def kept(self) -> Index:
        """Entries of theta that are coordinates, ascending, shape (Q,)."""
        places = np.asarray(self.plan.places, dtype=np.intp)
        gone = np.setdiff1d(places, places[self.linear.free])
        return np.setdiff1d(np.arange(self.size, dtype=np.intp), gone)

    def coordinates(self, found: Mapping[int, Value]) -> dict[int, Value]:
        """Return what is known of entries of theta by coordinate, those of constraints left out."""
        place = {int(k): i for i, k in enumerate(self.kept) if int(k) not in self.plan.places}
        return {place[k]: value for k, value in found.items() if k in place}

    def expand(self, phi: Array) -> Array:
        """Return theta (P,) at coordinates phi (Q,); NaN where a parameter leaves its range."""
        theta = np.full(self.size, np.nan)
        theta[self.kept] = phi
        places = np.asarray(self.plan.places, dtype=np.intp)
        free = self.plan.natural(np.nan_to_num(theta))[self.linear.free]
        values = self.plan.linear(self.linear.expand(free))
        given = np.zeros(len(places), dtype=bool)
        given[self.linear.free] = True
        theta[places[~given]] = values[~given]
        return theta

    def reduce(self, theta: Array) -> Array:
        """Return coordinates (Q,) near a theta (P,) that need not satisfy the constraints."""
        near = theta.copy()
        places = np.asarray(self.plan.places, dtype=np.intp)
        values = self.linear.expand(self.linear.reduce(self.plan.natural(theta)))
        moved = self.plan.linear(values)
        near[places] = np.where(np.isfinite(moved), moved, theta[places])
        return near[self.kept]

    def jacobian(self, theta: Array) -> Array:
        """Return d theta / d phi, shape (P, Q), at a theta that satisfies the constraints."""
        kept = self.kept
        jacobian = np.zeros((self.size, len(kept)))
        jacobian[kept, np.arange(len(kept))] = 1.0
        slope = self.plan.slopes(theta)
        position = {int(p): k for k, p in enumerate(kept)}
        columns = [position[int(self.plan.places[f])] for f in self.linear.free]
        for k, place in enumerate(self.plan.places):
            if k not in self.linear.free:
                jacobian[place, columns] = self.linear.matrix[k] * slope[self.linear.free] / slope[k]
        return jacobian


class Restricted:
    """An objective as a function of the free coordinates."""

    def __init__(self, objective: object, reduction: Reduction) -> None:
        self.objective = objective
        self.reduction = reduction
        self.points: tuple[int, ...] = objective.points  # type: ignore[attr-defined]
        self.integration: str = objective.integration  # type: ignore[attr-defined]
        self.exact: bool = objective.exact  # type: ignore[attr-defined]
        self.summed: bool = objective.summed  # type: ignore[attr-defined]

    def value_and_gradient(self, phi: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient in phi, (Q,)."""
        theta = self.reduction.expand(phi)
        if not np.isfinite(theta).all():
            return -np.inf, np.full(len(phi), np.nan)
        loglik, gradient = self.objective.value_and_gradient(theta)  # type: ignore[attr-defined]
        return loglik, gradient @ self.reduction.jacobian(theta)

    def accept(self) -> None:
        """Keep the modes of the last evaluation."""
        self.objective.accept()  # type: ignore[attr-defined]

    def place_nodes(self, phi: Array) -> bool:
        """Place nodes that do not follow the parameters; return whether there are such nodes."""
        return bool(self.objective.place_nodes(self.reduction.expand(phi)))  # type: ignore[attr-defined]

    def cluster_logliks(self, phi: Array) -> Array:
        """Return the log-likelihood of each top-level cluster."""
        found: Array = self.objective.cluster_logliks(self.reduction.expand(phi))  # type: ignore[attr-defined]
        return found

    def cluster_scores(self, phi: Array) -> Array:
        """Return the gradient in phi of each top-level cluster's weighted term, (clusters, Q)."""
        theta = self.reduction.expand(phi)
        scores: Array = self.objective.cluster_scores(theta)  # type: ignore[attr-defined]
        return np.asarray(scores @ self.reduction.jacobian(theta))

    def expected_information(self, phi: Array) -> Array | None:
        """Return the expected information in phi, (Q, Q), where it has a closed form."""
        theta = self.reduction.expand(phi)
        found = self.objective.expected_information(theta)  # type: ignore[attr-defined]
        jacobian = self.reduction.jacobian(theta)
        return None if found is None else np.asarray(jacobian.T @ found @ jacobian)

    def information(self, phi: Array) -> None:
        """Return None: under constraints the information has no closed form."""

    def with_points(self, points: tuple[int, ...]) -> Restricted:
        """Return the same with another rule."""
        return Restricted(self.objective.with_points(points), self.reduction)  # type: ignore[attr-defined]


def expanded(found: Optimum, reduction: Reduction) -> Optimum:
    """Return what a fit found in the coordinates as what it says of theta."""
    theta = reduction.expand(found.theta)
    jacobian = reduction.jacobian(theta)
    missing = dict.fromkeys(reduction.at_bound, Missing.BOUND)
    for k, reason in found.missing:
        missing.update((int(p), reason) for p in np.flatnonzero(jacobian[:, k]))
    known = np.array([k for k in range(len(found.theta)) if k not in dict(found.missing)], dtype=np.intp)
    within = jacobian[:, known]
    covariance = within @ found.covariance[np.ix_(known, known)] @ within.T
    for p in missing:
        covariance[p, :] = covariance[:, p] = np.nan
    back = np.linalg.pinv(jacobian)
    return replace(
        found,
        theta=theta,
        gradient=found.gradient @ back,
        information=back.T @ np.nan_to_num(found.information) @ back,
        covariance=covariance,
        missing=tuple(sorted(missing.items(), key=lambda item: item[0])),
        boundary=tuple(int(reduction.kept[k]) for k in found.boundary),
        flat=tuple(jacobian @ direction for direction in found.flat),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A fit with some bounds held, as a minimum over the constrained parameters."""

    optimum: Optimum
    theta: Array
    value: float
    gradient: Array


def within_constraints(
    plan: Plan, fit: Callable[[Reduction], Optimum], gradient: Callable[[Array, tuple[int, ...]], Array]
) -> Optimum:
    """Return the best fit that satisfies all constraints of a plan.

    Parameters
    ----------
    plan : Plan
    fit : callable
        Fits under a reduction.
    gradient : callable
        Gradient of the log-likelihood by all of theta with given points, as if no constraint held.
    """
    constraints = plan.constraints
    assert constraints is not None
    size = plan.n_parameters
    if not len(constraints.lower):
        return fit(Reduction.of(constraints, size))

    def held(active: Mapping[int, Equality]) -> _Held:
        found = fit(Reduction.of(constraints, size, dict(active)))
        slope = constraints.slopes(found.theta)
        by_natural = gradient(found.theta, found.points)[list(constraints.places)] / slope
        return _Held(found, constraints.natural(found.theta), -found.loglik, -by_natural)

    bounded = fit_within_bounds(held, bounds_of(constraints), Reduction.of(constraints, size).linear)
    names = tuple(constraints.bound_names[row] for row in bounded.active)
    return replace(bounded.fit.optimum, bounds=names)


def restricted_coordinates(at: Coordinates, reduction: Reduction, theta: Array) -> Coordinates:
    """Return coordinates of phi in which one observation has the information it has in those of theta."""
    root = at.inverse @ reduction.jacobian(theta)
    information = root.T @ root + 1e-12 * np.eye(root.shape[1])
    # lower triangular, as coordinates of covarying random effects are
    inverse = np.linalg.cholesky(information[::-1, ::-1])[::-1, ::-1].T
    kept = reduction.kept
    return Coordinates(
        np.asarray(np.linalg.inv(inverse)),
        np.asarray(inverse),
        at.deficient[kept],
        at.latent[kept],
        at.about_latents[kept],
    )
