"""Results of models at given parameters, without a fit, and integrals over dense grids to check them."""

from __future__ import annotations

import numpy as np
import pandas as pd

import glamm
from glamm.inference import Objective, Optimum, Status
from glamm.results.fitted import fitted_result


def result_at(text, data, family=None, values=None, points=25, weights=None):
    """Return the result of a model as if a fit had ended at some parameters.

    Parameters
    ----------
    values : mapping of parameter name to value
        As the result reports them; those that are left out have their starting values.
    """
    lowered = glamm.Model(text, data, family, weights).lowered
    table, plan = lowered.parameters, lowered.plan
    natural = pd.Series(table.natural(plan.start), index=table.names)
    unknown = set(values or {}) - set(table.names)
    assert not unknown, unknown
    natural.update(pd.Series(values or {}, dtype=float))
    theta = table.theta(natural.to_numpy())
    size = len(theta)
    objective = Objective(plan, points)
    optimum = Optimum(
        theta=theta,
        loglik=objective.value(theta),
        gradient=np.zeros(size),
        information=np.eye(size),
        covariance=np.diag(np.linspace(0.5, 1.0, size)) * 0.01,
        missing=(),
        boundary=(),
        flat=(),
        status=Status.CONVERGED,
        trace=(),
        iterations=0,
        evaluations=0,
        points=objective.points,
        rule="fixed",
        integration_error=None,
        relative_gradient=0.0,
        condition=1.0,
        asymmetry=0.0,
        seconds=0.0,
    )
    return fitted_result(lowered, optimum, data.index)


def grid(dimensions, half=7.0, step=0.2):
    """Return points (N, d) and standard normal weights (N,) of a dense rectangular rule."""
    one = np.arange(-half, half + step / 2, step)
    mesh = np.meshgrid(*[one] * dimensions, indexing="ij")
    points = np.stack([m.ravel() for m in mesh], axis=1)
    weight = np.exp(-0.5 * np.sum(points**2, axis=1))
    return points, weight / weight.sum()


def moments(weight, values):
    """Return mean and standard deviation of values (N,) with weights (N,) up to a factor."""
    weight = weight / weight.sum()
    mean = weight @ values
    return mean, np.sqrt(weight @ (values - mean) ** 2)
