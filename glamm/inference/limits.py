"""Auxiliary parameters at the limit of their range: no guessing, no overdispersion, normal tails.

The limit of a linear predictor is infinite there, and the density is that of a simpler distribution. A climb
towards it stops somewhere on its way; whether it leads there is seen by trying the limit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.boundary import Boundary, move
from glamm.inference.coordinates import Coordinates
from glamm.inference.optimize import Search, Smooth
from glamm.inference.restricted import Reduction
from glamm.inference.status import Missing

Array = NDArray[np.float64]

__all__ = ["bounded_ranges", "limit_places", "settle_limits"]

NEAR = 3.0
"""Linear predictor from which its limit is tried."""

PROBES = (5.0, 8.0)
"""Linear predictors that are tried in the place of the limit."""

FAR = 20.0
"""Linear predictor in the place of an infinite one: what is left of the parameter is 2e-9."""


def limit_places(plan: Plan, reduction: Reduction | None) -> dict[int, tuple[float, ...]]:
    """Return the limits, infinite, of each coefficient that is a parameter with limits, of all units or some.

    Parameters
    ----------
    plan : Plan
    reduction : Reduction or None
        Of theta; constrained parameters are left out.

    Returns
    -------
    dict of position in theta, or in the coordinates of the reduction, to tuple of float
    """
    found: dict[int, tuple[float, ...]] = {}
    for unit in plan.units:
        for known, own in zip(unit.family.predictors(unit.encoded), unit.predictors, strict=True):
            if not known.limits or own.is_random or np.any(own.offset) or not len(own.design):
                continue
            one_each = ((own.design == 0.0) | (own.design == 1.0)).all() and (
                own.design.sum(axis=1) == 1.0
            ).all()
            if one_each:
                found.update(dict.fromkeys(own.coefficient.tolist(), known.limits))
    return found if reduction is None else reduction.coordinates(found)


def settle_limits(
    objective: Smooth,
    search: Search,
    at: Coordinates,
    places: Mapping[int, tuple[float, ...]],
    boundary: Boundary,
    climb: Callable[[], object],
) -> Boundary:
    """Return the boundary with the parameters whose limit has the higher log-likelihood, and put them there.

    Parameters
    ----------
    objective : Smooth
    search : Search
    at : Coordinates
    places : mapping of position to tuple of float
        As of `limit_places`.
    boundary : Boundary
        What is at the boundary already.
    climb : callable
        Maximises from the point of `search`.
    """
    theta = at.transform @ search.theta
    near = {k: np.sign(s) for k, limits in places.items() for s in limits if np.sign(s) * theta[k] > NEAR}
    slack = 1e-6 + 1e-10 * abs(search.loglik)

    def tried(limits: Mapping[int, float]) -> bool:
        before = replace(search)
        theta = at.transform @ search.theta
        for k, sign in limits.items():
            theta[k] = sign * max(FAR, abs(theta[k]))
        move(objective, search, at.inverse @ theta, np.inf)
        climb()
        if search.loglik >= before.loglik - slack:
            return True
        search.become(before)
        return False

    alone = list(near)
    if near and tried(near):
        alone = [k for k, sign in near.items() if _released(objective, search, at, k, sign)]
        if alone:
            climb()
    for k in alone:
        if near[k] * (at.transform @ search.theta)[k] > NEAR:
            tried({k: near[k]})
    theta = at.transform @ search.theta
    missing = dict(boundary.missing)
    for k, limits in places.items():
        if any(np.sign(limit) * theta[k] > FAR - 1.0 for limit in limits):
            missing[k] = Missing.LIMIT
    return Boundary(boundary.zero, tuple(sorted(missing.items(), key=lambda item: item[0])))


def _released(objective: Smooth, search: Search, at: Coordinates, k: int, sign: float) -> bool:
    """Move a parameter back from its limit if that raises the log-likelihood; return whether it did.

    What others gained when several were moved may have hidden what this one lost.
    """
    before = search.loglik
    for value in PROBES:
        theta = at.transform @ search.theta
        theta[k] = sign * value
        move(objective, search, at.inverse @ theta, -1e-6)
    return search.loglik > before


def bounded_ranges(
    missing: dict[int, Missing], places: Mapping[int, tuple[float, ...]]
) -> dict[int, Missing]:
    """Return why parameters have no standard error, knowing which have limits that were tried.

    One that is far off but not there is no diverging one: the data tell nothing about it.
    """
    changed = {
        k: Missing.UNIDENTIFIED for k, why in missing.items() if k in places and why is Missing.DIVERGING
    }
    return missing | changed
