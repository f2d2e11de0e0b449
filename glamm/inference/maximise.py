"""The maximum-likelihood fit of a plan: as many starts as its classes need, within its constraints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.errors import FitError
from glamm.inference.blas import one_thread
from glamm.inference.fit import Fit
from glamm.inference.gaussian import objective_of
from glamm.inference.multistart import search, uncertain_classes
from glamm.inference.optimum import Optimum, Solution
from glamm.inference.options import FitOptions
from glamm.inference.restricted import Reduction, within_constraints

Array = NDArray[np.float64]

__all__ = ["Optimum", "maximise"]


def maximise(plan: Plan, options: FitOptions | None = None, objective_type: Any = objective_of) -> Optimum:
    """Return the maximum-likelihood fit of `plan`.

    Parameters
    ----------
    plan : Plan
    options : FitOptions, optional
    objective_type : callable
        Called as ``objective_type(plan, points, threads=...)``; `objective_of` by default.

    Raises
    ------
    FitError
        There is nothing to estimate, or the options do not fit the plan.
    """
    options = FitOptions() if options is None else options
    if plan.n_parameters == 0:
        raise FitError("the model has no parameter to estimate")
    if not any(response.cluster.shape[0] for response in plan.responses):
        raise FitError("no response value is left to fit the model to")
    if options.start is not None and np.shape(options.start) != (plan.n_parameters,):
        raise FitError(
            f"start has shape {np.shape(options.start)}: "
            f"expected ({plan.n_parameters},), one value a parameter"
        )
    with one_thread():
        return _maximum(plan, options, objective_type)


def _maximum(plan: Plan, options: FitOptions, objective_type: Any) -> Optimum:
    """Return the best of the fits from all starts."""
    starts: list[Array | None] = [options.start]
    solutions: tuple[Solution, ...] = ()
    if options.start is None and uncertain_classes(plan):
        found = search(plan, options, objective_type(plan, 1, threads=options.threads))
        starts, solutions = list(found.starts), found.solutions

    def gradient(theta: Array, points: tuple[int, ...]) -> Array:
        return np.asarray(objective_type(plan, points, threads=options.threads).value_and_gradient(theta)[1])

    def fitted(start: Array | None) -> Optimum:
        def fit(reduction: Reduction | None) -> Optimum:
            return _fitted(plan, replace(options, start=start), objective_type, reduction)

        return fit(None) if plan.constraints is None else within_constraints(plan, fit, gradient)

    best = max((fitted(start) for start in starts), key=lambda one: (one.converged, one.loglik))
    if not solutions:
        return best
    first = replace(solutions[0], theta=best.theta, loglik=best.loglik, converged=best.converged)
    return replace(best, solutions=(first, *solutions[1:]))


def _fitted(plan: Plan, options: FitOptions, objective_type: Any, reduction: Reduction | None) -> Optimum:
    fit = Fit(plan, options, objective_type, reduction)
    fit.run()
    return fit.optimum()
