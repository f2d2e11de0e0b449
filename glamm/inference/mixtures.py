"""Class variables of a plan: where their classes are, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.discrete_units import Combinations

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "Classes",
    "class_sizes",
    "classes_of",
    "clusters_at",
    "complete_curvature",
    "responsibilities",
]


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """A class variable of a plan.

    Attributes
    ----------
    number : int
        Position of its membership model.
    level : int
    count : int
        K, the number of classes.
    state : ndarray of intp, shape (clusters,)
        Class of each cluster of its level.
    """

    number: int
    level: int
    count: int
    state: Index


def clusters_at(plan: Plan, cluster: Index, level: int, begin: int = 0) -> Index:
    """Return the clusters at `level` of rows that lie in clusters of the level `begin`."""
    for below in plan.levels[begin:level]:
        assert below.parent is not None
        cluster = below.parent[cluster]
    return cluster


def classes_of(plan: Plan) -> tuple[Classes, ...]:
    """Return the class variables of a plan, in the order of its membership models."""
    found = []
    for number, membership in enumerate(plan.memberships):
        code, others = membership.encoded.y[0, 0], membership.encoded.y[:, 1]
        count = int(others[0]) + 1
        # the reference has code 0 and is the last class
        code = (membership.encoded.y[:, 0].astype(np.intp) - 1) % count
        for level, plan_level in enumerate(plan.levels):
            own = clusters_at(plan, membership.cluster, level)
            if plan_level.group is not None and len(own) == plan_level.clusters == len(np.unique(own)):
                state = np.empty(plan_level.clusters, dtype=np.intp)
                state[own] = code
                found.append(Classes(number, level, count, state))
                break
    return tuple(found)


def responsibilities(plan: Plan, shares: Sequence[Array]) -> list[Array]:
    """Return the probability of each cluster's classes, those above included, given the data, by level."""
    found: list[Array] = []
    above: Array | None = None
    for level, share in zip(reversed(plan.levels), reversed(list(shares)), strict=True):
        own = share if above is None or level.parent is None else share * above[level.parent]
        found.append(own)
        above = own
    return found[::-1]


def class_sizes(plan: Plan, classes: Classes, shares: Sequence[Array]) -> Array:
    """Return the estimated proportion of each class, shape (K,): posterior probabilities on average."""
    weight = responsibilities(plan, shares)[classes.level].copy()
    cluster = np.arange(len(weight), dtype=np.intp)
    for number, level in enumerate(plan.levels[classes.level :], start=classes.level):
        above = clusters_at(plan, cluster, number, classes.level)
        if level.weight is not None:
            weight *= level.weight[above]
    total = np.bincount(classes.state, weights=weight, minlength=classes.count)
    return np.asarray(total / total.sum())


def complete_curvature(plan: Plan, theta: Array, shares: Sequence[Array]) -> Array:
    """Return the information (P,) on each coefficient by itself if the posterior classes were known.

    Continuous latent variables are left out; parameters that enter through them only have infinity.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,)
    shares : list of ndarray, shape (clusters,)
        As of ``Objective.shares``.
    """
    lowest = responsibilities(plan, shares)[0]
    total = np.zeros(len(theta))
    met = np.zeros(len(theta), dtype=bool)
    for response in plan.units:
        units = Combinations(response)
        weight = lowest[response.cluster]
        if response.weight is not None:
            weight = weight * response.weight
        counts = np.bincount(units.number, weights=weight, minlength=units.size)
        at = units.densities(theta[:, None])
        place = 0
        for k, (design, coefficient) in enumerate(zip(units.designs, units.coefficients, strict=True)):
            curvature = np.maximum(-np.nan_to_num(at.second[place][:, 0]), 0.0)
            np.add.at(total, coefficient, (counts * curvature) @ design**2)
            met[coefficient] = True
            place += len(units.designs) - k
    return np.where(met, total, np.inf)
