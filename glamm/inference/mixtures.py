"""Class variables of a plan: where their classes are, how large they are, what permuting them does.

The likelihood does not change when classes trade places. Permuted parameters are found from the designs:
those that give every row the linear predictor that its counterpart in the other class had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan, ResponsePlan
from glamm.inference.discrete_units import Combinations, distinct_rows
from glamm.inference.mixtures_nodes import home_level

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "Classes",
    "canonical_classes",
    "class_sizes",
    "classes_of",
    "complete_curvature",
    "responsibilities",
]

TOLERANCE = 1e-6
"""What linear predictors may differ by after a permutation, relative to the largest."""


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


def _at_level(plan: Plan, cluster: Index, level: int, begin: int = 0) -> Index:
    """Return the clusters at `level` of rows in clusters of the level `begin`."""
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
            own = _at_level(plan, membership.cluster, level)
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
        above = _at_level(plan, cluster, number, classes.level)
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


# ---------------------------------------------------------------- permutations


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Something linear in theta whose rows have counterparts in other classes.

    Attributes
    ----------
    design : ndarray, shape (n, p)
    coefficient : ndarray of intp, shape (p,)
    constant : ndarray, shape (n,)
        What is added to ``design @ theta[coefficient]``.
    counterpart : ndarray of intp, shape (n,)
        Row that each one becomes.
    """

    design: Array
    coefficient: Index
    constant: Array
    counterpart: Index

    def values(self, theta: Array) -> Array:
        """Return the linear function of each row, shape (n,)."""
        return np.asarray(self.design @ theta[self.coefficient] + self.constant)


def _counterparts(cluster: Index, moved: Index, clusters: int) -> Index | None:
    """Return the row each row becomes when its cluster becomes another, None where those differ in size."""
    first = np.searchsorted(cluster, np.arange(clusters + 1))
    size = np.diff(first)
    if not np.array_equal(size[moved], size):
        return None
    return np.asarray(np.arange(len(cluster)) - first[cluster] + first[moved[cluster]], dtype=np.intp)


def _moved(plan: Plan, classes: Classes, permutation: Index) -> Index | None:
    """Return the cluster that each cluster of the variable's level becomes; None where classes are known."""
    group = plan.levels[classes.level].group
    assert group is not None
    counts = np.bincount(group)
    if (counts != counts[0]).any() or counts[0] % classes.count:
        return None
    rest = np.zeros(len(group), dtype=np.intp)
    for other in classes_of(plan):
        if other.level == classes.level and other.number != classes.number:
            rest = rest * other.count + other.state
    wanted = np.lexsort((permutation[classes.state], rest, group))
    present = np.lexsort((classes.state, rest, group))
    moved = np.empty(len(group), dtype=np.intp)
    moved[wanted] = present
    return moved


def _of_predictor(predictor: PredictorPlan, counterpart: Index) -> Iterator[_Part | None]:
    n = len(counterpart)
    constant = np.array(np.broadcast_to(predictor.offset, (n,)), dtype=float)
    yield _Part(predictor.design, predictor.coefficient, constant, counterpart)
    for loading in predictor.loadings:
        if not np.array_equal(loading.design[counterpart], loading.design):
            yield None
    for term in predictor.terms:
        free = term.coefficient >= 0
        yield _Part(term.design[:, free], term.coefficient[free], term.design @ term.held, counterpart)


def _parts(plan: Plan, classes: Classes, moved: Index) -> Iterator[_Part | None]:
    """Yield everything linear in theta but the membership model itself; None for what cannot be permuted."""
    for number, response in enumerate(plan.units):
        if number == len(plan.responses) + classes.number:
            continue
        counterpart = _of_units(plan, response, classes, moved)
        if counterpart is None:
            yield None
            return
        for predictor in response.predictors:
            yield from _of_predictor(predictor, counterpart)
    for latent in plan.latents:
        clusters = np.arange(plan.levels[latent.level].clusters, dtype=np.intp)
        counterpart = clusters
        if latent.level <= classes.level:
            own = _at_level(plan, clusters, classes.level, latent.level)
            counterpart = _counterparts(own, moved, len(moved))
            if counterpart is None:
                yield None
                return
        yield from _of_predictor(latent.predictor, counterpart)
        if latent.scale is not None:
            yield from _of_predictor(latent.scale, counterpart)


def _of_units(plan: Plan, response: ResponsePlan, classes: Classes, moved: Index) -> Index | None:
    if home_level(plan, response) > classes.level:
        return np.arange(len(response.cluster), dtype=np.intp)
    own = _at_level(plan, response.cluster, classes.level)
    counterpart = _counterparts(own, moved, len(moved))
    if counterpart is None or not np.array_equal(response.encoded.y[counterpart], response.encoded.y):
        return None
    return counterpart


def permute(plan: Plan, classes: Classes, theta: Array, permutation: Index) -> Array | None:
    """Return theta after class k has become class ``permutation[k]``; None where that changes the model.

    Parameters
    ----------
    plan : Plan
    classes : Classes
    theta : ndarray, shape (P,)
    permutation : ndarray of intp, shape (K,)
    """
    moved = _moved(plan, classes, permutation)
    if moved is None:
        return None
    systems: list[tuple[Array, Index, Array]] = []
    for part in _parts(plan, classes, moved):
        if part is None:
            return None
        goal = part.values(theta) - part.constant[part.counterpart]
        systems.append((part.design[part.counterpart], part.coefficient, goal))
    membership = plan.memberships[classes.number]
    log_odds = [
        p.design @ theta[p.coefficient] + np.broadcast_to(p.offset, (len(membership.cluster),))
        for p in membership.predictors
    ]
    log_odds.append(np.zeros(len(membership.cluster)))
    origin = np.argsort(permutation)
    for k, p in enumerate(membership.predictors):
        systems.append((p.design, p.coefficient, log_odds[origin[k]] - log_odds[origin[-1]] - p.offset))
    return _solve(systems, theta)


def _solve(systems: Sequence[tuple[Array, Index, Array]], theta: Array) -> Array | None:
    """Return the theta nearest to the given one that solves all of some linear systems, or None."""
    rows, goals = [], []
    for design, coefficient, goal in systems:
        if not len(goal):
            continue
        first, _ = distinct_rows([*design.T, goal])
        filled = np.zeros((len(first), len(theta)))
        filled[:, coefficient] = design[first]
        rows.append(filled)
        goals.append(goal[first] - design[first] @ theta[coefficient])
    matrix, goal = np.vstack(rows), np.concatenate(goals)
    length = np.linalg.norm(matrix, axis=0)
    length[length == 0.0] = 1.0
    change = np.linalg.lstsq(matrix / length, goal, rcond=1e-12)[0] / length
    size = max(1.0, float(np.abs(goal).max(initial=0.0)))
    return None if np.abs(matrix @ change - goal).max(initial=0.0) > TOLERANCE * size else theta + change


def _locations(plan: Plan, classes: Classes, theta: Array) -> Array | None:
    """Return the location of each class relative to the first where one linear predictor is shifted by it."""
    found: list[Array] = []
    cycle = np.roll(np.arange(classes.count, dtype=np.intp), -1)
    moved = _moved(plan, classes, cycle)
    if moved is None:
        return None
    owners = [
        *((_at_level(plan, r.cluster, classes.level), r.predictors) for r in plan.responses),
        *(
            (
                _at_level(plan, np.arange(plan.levels[v.level].clusters), classes.level, v.level),
                (v.predictor,),
            )
            for v in plan.latents
            if v.level <= classes.level
        ),
    ]
    for own, predictors in owners:
        counterpart = _counterparts(own, moved, len(moved))
        if counterpart is None:
            return None
        for predictor in predictors:
            for part in _of_predictor(predictor, counterpart):
                if part is None:
                    return None
                if np.array_equal(part.design[part.counterpart], part.design):
                    continue
                values = part.values(theta)
                # from each class to the one it becomes
                shift = values[part.counterpart] - values
                state = classes.state[own]
                means = np.array([shift[state == k].mean() for k in range(classes.count)])
                if np.abs(shift - means[state]).max(initial=0.0) > TOLERANCE * max(1.0, np.abs(values).max()):
                    return None
                found.append(means)
    if len(found) != 1:
        return None
    # each class but the last becomes the next one
    return np.concatenate(([0.0], np.cumsum(found[0][:-1])))


def canonical_classes(plan: Plan, theta: Array, shares: Sequence[Array], order: Sequence[str]) -> Array:
    """Return theta with the classes of each variable in their canonical order.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,)
    shares : list of ndarray, shape (clusters,)
        As of ``Objective.shares``, at theta.
    order : sequence of {"size", "location", ""}
        By class variable: ascending by size, by location where the classes have one (else by size), or left
        as they are.
    """
    sizes = [class_sizes(plan, classes, shares) for classes in classes_of(plan)]
    for classes, size, wanted in zip(classes_of(plan), sizes, order, strict=False):
        if not wanted:
            continue
        value = _locations(plan, classes, theta) if wanted == "location" else None
        value = size if value is None else value
        permutation = np.empty(classes.count, dtype=np.intp)
        permutation[np.argsort(value, kind="stable")] = np.arange(classes.count)
        if (permutation != np.arange(classes.count)).any():
            found = permute(plan, classes, theta, permutation)
            theta = theta if found is None else found
    return theta
