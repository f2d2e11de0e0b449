"""Maximiser: quasi-Newton steps with the exact gradient.

It works in coordinates in which one observation has about unit information on each parameter
(`glamm.inference.coordinates`), so that one is a natural length in every direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glamm.inference.status import Status

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Search", "Smooth", "climb", "newton_climb", "newton_step", "positive"]

ARMIJO = 1e-4
BACKTRACK = 0.4
NEAR = 1e-5
"""Decrement below which a step may lower the log-likelihood by its rounding error."""

NEWTON_STEPS = 4


class Smooth(Protocol):
    """A function to maximise."""

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient (P,); -inf where the value cannot be computed."""

    def accept(self) -> None:
        """Keep what the last evaluation found as the place to start the next one from."""


@dataclass(slots=True, eq=False)
class Search:
    """Where the maximiser stands: the only thing that changes in a fit.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        The best point so far.
    loglik : float
    gradient : ndarray, shape (P,)
    curvature : ndarray, shape (P, P)
        Positive definite approximation of the negative Hessian.
    iterations, evaluations : int
    """

    theta: Array
    loglik: float
    gradient: Array
    curvature: Array
    iterations: int = 0
    evaluations: int = 0

    def become(self, other: Search) -> None:
        """Go back to where another search stands, steps and evaluations counted as there."""
        for field in fields(Search):
            setattr(self, field.name, getattr(other, field.name))

    def relative_gradient(self) -> float:
        """Return the largest gradient component in units of its standard deviation."""
        scale = np.sqrt(np.abs(np.diagonal(self.curvature)))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(scale > 0.0, np.abs(self.gradient) / scale, 0.0)
        return float(ratio.max(initial=0.0))


Report = Callable[[Search, float], None]


def positive(matrix: Array, floor: float = 1e-10) -> Array:
    """Return the symmetric `matrix` with the eigenvalues of its unit-diagonal form made positive.

    Negative ones change sign; none stays below `floor` times the largest.
    """
    size = np.sqrt(np.abs(np.diagonal(matrix)))
    size[~(size > 0.0)] = 1.0
    unit = 0.5 * (matrix + matrix.T) / np.outer(size, size)
    # no eigenvalue of a positive matrix exceeds its trace; factors are far cheaper than eigenvalues
    least = floor * float(np.trace(unit))
    if least > 0.0:
        try:
            np.linalg.cholesky(unit - least * np.eye(len(unit)))
            return np.asarray(unit * np.outer(size, size))
        except np.linalg.LinAlgError:
            pass
    values, vectors = np.linalg.eigh(unit)
    values = np.abs(values)
    values = np.maximum(values, floor * max(values.max(initial=0.0), 1e-300))
    result: Array = (vectors * values) @ vectors.T * np.outer(size, size)
    return result


def newton_step(search: Search) -> tuple[Array, float]:
    """Return the step ``H^-1 g`` and the decrement ``g' H^-1 g``; repairs the curvature if it must."""
    size = np.sqrt(np.abs(np.diagonal(search.curvature)))
    if size.all():
        gradient = search.gradient / size
        try:
            factor = np.linalg.cholesky(search.curvature / np.outer(size, size))
            half = np.linalg.solve(factor, gradient)
            step: Array = np.linalg.solve(factor.T, half) / size
            decrement = float(half @ half)
            if np.isfinite(decrement):
                return step, decrement
        except np.linalg.LinAlgError:
            pass
    search.curvature = positive(np.nan_to_num(search.curvature))
    step = np.asarray(np.linalg.solve(search.curvature, search.gradient), dtype=np.float64)
    return step, float(search.gradient @ step)


def _update(search: Search, step: Array, change: Array) -> None:
    """BFGS update of the curvature, damped as Powell's so that it stays positive definite."""
    image = search.curvature @ step
    bend = float(step @ image)
    along = float(step @ change)
    if not (bend > 0.0 and np.isfinite(along)):
        return
    if along < 0.2 * bend:
        share = 0.8 * bend / (bend - along)
        change = share * change + (1.0 - share) * image
        along = float(step @ change)
    if along > 0.0:
        search.curvature = search.curvature + np.outer(change, change) / along - np.outer(image, image) / bend


def _cap(step: Array, theta: Array, capped: NDArray[np.bool_]) -> float:
    """Return the factor, at most one, that keeps Cholesky entries from jumping."""
    if not capped.any():
        return 1.0
    limit = 1.5 * np.maximum(1.0, np.abs(theta[capped]))
    return min(1.0, float(np.min(limit / np.maximum(np.abs(step[capped]), 1e-300))))


def try_step(objective: Smooth, search: Search, step: Array, slope: float, near: bool) -> Array | None:
    """Move along `step` as far as the log-likelihood rises enough; return the step taken, or None."""
    slack = 1e-7 + 1e-12 * abs(search.loglik)
    for _ in range(30):
        theta = search.theta + step
        loglik, gradient = objective.value_and_gradient(theta)
        search.evaluations += 1
        enough = search.loglik - slack if near else search.loglik + ARMIJO * slope
        if loglik >= enough and np.isfinite(loglik) and np.isfinite(gradient).all():
            objective.accept()
            change = search.gradient - gradient
            search.theta, search.loglik, search.gradient = theta, float(loglik), gradient
            search.iterations += 1
            _update(search, step, change)
            return step
        step = BACKTRACK * step
        slope *= BACKTRACK
    return None


def climb(
    objective: Smooth,
    search: Search,
    capped: NDArray[np.bool_],
    *,
    tolerance: float,
    limit: int,
    report: Report,
) -> Status | None:
    """Climb until the decrement falls below `tolerance`; that last step is left to the caller.

    Parameters
    ----------
    objective : Smooth
    search : Search
        Changed as the climb goes on: after an interruption it holds the best point so far.
    capped : ndarray of bool, shape (P,)
        Entries of Cholesky factors, whose steps are capped.
    tolerance : float
    limit : int
        Iterations.
    report : callable
        Told the search and its decrement before each step.

    Returns
    -------
    Status or None
        None if the tolerance was met.
    """
    fresh = False
    for _ in range(limit):
        step, decrement = newton_step(search)
        report(search, decrement)
        if decrement < tolerance:
            return None
        cap = _cap(step, search.theta, capped)
        taken = try_step(objective, search, cap * step, cap * decrement, decrement < NEAR)
        if taken is None:
            if fresh:
                return Status.LINE_SEARCH
            # forget what the curvature learnt elsewhere, once: steepest ascent on its diagonal
            search.curvature = np.diag(np.maximum(np.abs(np.diagonal(search.curvature)), 1.0))
        fresh = taken is None
    return Status.ITERATION_LIMIT


def newton_climb(
    objective: Smooth, search: Search, information: Array, free: Index, *, tolerance: float, report: Report
) -> tuple[float, float]:
    """Take Newton steps over some parameters; return the first and the last decrement.

    Parameters
    ----------
    objective : Smooth
    search : Search
        Changed as the steps are taken.
    information : ndarray, shape (F, F)
        Observed information of the parameters `free`.
    free : ndarray of intp, shape (F,)
    tolerance : float
        Decrement below which a step is the last one.
    report : callable
        As of `climb`; told after each step.
    """
    matrix = positive(information)
    search.curvature[np.ix_(free, free)] = matrix
    first = None
    for _ in range(NEWTON_STEPS):
        within = Search(search.theta[free], search.loglik, search.gradient[free], matrix)
        step, decrement = newton_step(within)
        first = decrement if first is None else first
        if decrement <= 1e-3 * tolerance:
            break
        theta = search.theta.copy()
        theta[free] += step * min(1.0, 0.5 / np.sqrt(decrement))
        loglik, gradient = objective.value_and_gradient(theta)
        search.evaluations += 1
        slack = 1e-8 + 1e-13 * abs(search.loglik)
        if not (loglik >= search.loglik - slack and np.isfinite(gradient).all()):
            break
        objective.accept()
        search.theta, search.loglik, search.gradient = theta, float(loglik), gradient
        search.iterations += 1
        report(search, decrement)
        if decrement <= tolerance:
            break
    return float(first or 0.0), decrement
