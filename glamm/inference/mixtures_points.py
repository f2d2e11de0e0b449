"""Whether another mass point raises the likelihood.

With the other parameters given, the log-likelihood is concave in the distribution of the mass points. Its
derivative towards a point at u (the Gateaux derivative) is

    D(u) = sum_j w_j (f_j(u) / f_j - 1)

with f_j the likelihood of cluster j and f_j(u) that with the latent variable at u. The distribution is the
maximum-likelihood one if D is nowhere positive; otherwise no distribution is better by more than the largest
D (Lindsay, 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from glamm.compile.plan import Plan
from glamm.errors import FitError
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures import Classes, classes_of, clusters_at

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Gateaux", "point_coefficients"]

GRID = 200
"""Places at which the derivative is computed before the best of them are improved."""

BEYOND = 8.0
"""How far beyond the outermost points to look, in distances that one unit can just tell."""


def point_coefficients(plan: Plan, classes: Classes) -> Index:
    """Return the coefficients that belong to each class alone, shape (K, m); those of one effect in a column.

    Raises
    ------
    FitError
        The classes differ in their number.
    """
    own: list[list[int]] = [[] for _ in range(classes.count)]
    for response in plan.responses:
        state = classes.state[clusters_at(plan, response.cluster, classes.level)]
        for predictor in response.predictors:
            for column, place in zip(predictor.design.T, predictor.coefficient.tolist(), strict=True):
                met = np.unique(state[column != 0.0])
                if len(met) == 1 and place not in own[met[0]]:
                    own[met[0]].append(place)
    if len({len(places) for places in own}) > 1 or not own[0]:
        raise FitError("the classes do not have the same coefficients, so they are not points of one space")
    return np.array(own, dtype=np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class Largest:
    """The largest directional derivative and where it is.

    Attributes
    ----------
    value : float
    location : ndarray, shape (m,)
    """

    value: float
    location: Array


class Gateaux:
    """The directional derivative of the log-likelihood of a mixture of points.

    Parameters
    ----------
    plan : Plan
        With one class variable, at its highest level, and no continuous latent variables.
    theta : ndarray, shape (P,)
    """

    def __init__(self, plan: Plan, theta: Array) -> None:
        if not self.exists(plan):
            raise FitError(
                "the directional derivative is that of one distribution of points at the highest level, in a "
                "model without named latent variables"
            )
        (classes,) = classes_of(plan)
        self.theta = np.asarray(theta, dtype=float)
        self.objective = DiscreteObjective(plan)
        self.coefficients = point_coefficients(plan, classes)
        self.locations = self.theta[self.coefficients]
        found = self.objective.posterior_at(self.theta[:, None])
        self._loglik = found.loglik[:, 0]
        self._total = float(self.objective.frequency.sum())
        self.unit = self._unit()

    @staticmethod
    def exists(plan: Plan) -> bool:
        """Return whether a plan has one distribution of points, at its highest level, and nothing else."""
        variables = classes_of(plan)
        return not plan.latents and len(variables) == 1 and variables[0].level == len(plan.levels) - 1

    def _unit(self) -> Array:
        """Return the distance in each coordinate that one cluster can just tell, shape (m,)."""
        found = self.objective.posterior_at(self.theta[:, None])
        information = self.objective.complete_information(found, self.objective.weights(found.shares))[0]
        own = np.diagonal(information)[self.coefficients].sum(axis=0) / self._total
        return np.asarray(1.0 / np.sqrt(np.where(own > 0.0, own, 1.0)))

    def __call__(self, location: Array) -> Array:
        """Return D at locations (S, m), shape (S,)."""
        location = np.atleast_2d(np.asarray(location, dtype=float))
        theta = np.repeat(self.theta[:, None], len(location), axis=1)
        theta[self.coefficients[0]] = location.T
        first = self.objective.stages[-1].alternatives.first
        given = self.objective.conditional_logliks(theta)[first]
        with np.errstate(over="ignore"):
            ratio = np.exp(given - self._loglik[:, None])
        return np.asarray(self.objective.frequency @ ratio - self._total)

    def largest(self) -> Largest:
        """Return the largest derivative that a grid and searches from the best of its places find."""
        low = self.locations.min(axis=0) - BEYOND * self.unit
        high = self.locations.max(axis=0) + BEYOND * self.unit
        if len(self.unit) == 1:
            grid = np.linspace(low[0], high[0], GRID)[:, None]
        else:
            rng = np.random.default_rng(0)
            grid = rng.uniform(low, high, size=(GRID * len(low), len(low)))
        grid = np.vstack([grid, self.locations])
        value = np.nan_to_num(self(grid), posinf=np.finfo(float).max)
        best = Largest(float(value.max()), grid[int(value.argmax())])
        for place in np.argsort(-value)[:5]:
            found = minimize(
                lambda u: -float(self(u)[0]),
                grid[place],
                method="Nelder-Mead",
                options={"initial_simplex": self._simplex(grid[place]), "xatol": 1e-6, "fatol": 1e-9},
            )
            if -found.fun > best.value:
                best = Largest(float(-found.fun), np.asarray(found.x))
        return best

    def _simplex(self, centre: Array) -> Array:
        return np.vstack([centre, centre + np.diag(0.3 * self.unit)])
