"""The order of classes: by size or location, where the model stays the same when they trade places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures import Classes, class_sizes, classes_of, clusters_at
from glamm.inference.mixtures_permutations import counterparts, moved_clusters, permute
from glamm.inference.objective import Objective
from glamm.inference.sampling import sampled

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Relabelling", "canonical_classes"]

SAMPLE = 2_000
"""Units of large data that a permutation is found from; all are asked whether it is one."""

SAME = 1e-9
"""Difference of log-likelihoods that counts as none, relative to their size."""

TOLERANCE = 1e-6
"""What the shifts of a class may differ by between rows, relative to the largest value."""


class Relabelling:
    """Permutations of the classes of a plan.

    Parameters
    ----------
    plan : Plan
    objective : Objective or DiscreteObjective
        Of the plan.
    """

    def __init__(self, plan: Plan, objective: Objective | DiscreteObjective) -> None:
        self.plan = plan
        self.objective = objective
        self.classes = classes_of(plan)
        part = sampled(plan, SAMPLE)
        self._plans = [part] if part is plan else [part, plan]
        self._variables = [classes_of(one) for one in self._plans]

    def permuted(self, variable: int, theta: Array, permutation: Index) -> Array | None:
        """Return theta after class k has become class ``permutation[k]``; None where that changes the model.

        Parameters
        ----------
        variable : int
            Position in `classes`.
        theta : ndarray, shape (P,)
        permutation : ndarray of intp, shape (K,)
        """
        before = self._loglik(theta)
        for plan, variables in zip(self._plans, self._variables, strict=True):
            found = permute(plan, variables[variable], theta, permutation)
            if found is None:
                return None
            if abs(self._loglik(found) - before) <= SAME * max(1.0, abs(before)):
                return found
        return None

    def _loglik(self, theta: Array) -> float:
        self.objective.place_nodes(theta)
        return self.objective.value(theta)


# ---------------------------------------------------------------- order


def _locations(plan: Plan, classes: Classes, theta: Array) -> Array | None:
    """Return the location of each class relative to the first where one linear predictor is shifted by it."""
    found: list[Array] = []
    cycle = np.roll(np.arange(classes.count, dtype=np.intp), -1)
    moved = moved_clusters(plan, classes, cycle)
    if moved is None:
        return None
    owners: list[tuple[Index, Sequence[PredictorPlan]]] = [
        (clusters_at(plan, r.cluster, classes.level), r.predictors) for r in plan.responses
    ]
    for v in plan.latents:
        if v.level <= classes.level:
            clusters = np.arange(plan.levels[v.level].clusters, dtype=np.intp)
            own = clusters_at(plan, clusters, classes.level, v.level)
            owners.append((own, [v.predictor] if v.scale is None else [v.predictor, v.scale]))
    for own, predictors in owners:
        counterpart = counterparts(own, moved)
        if counterpart is None:
            return None
        for predictor in predictors:
            latent = [part.design for part in predictor.loadings] + [part.design for part in predictor.terms]
            if any(not np.array_equal(design[counterpart], design) for design in latent):
                return None
            if np.array_equal(predictor.design[counterpart], predictor.design):
                continue
            values = predictor.design @ theta[predictor.coefficient] + predictor.offset
            # from each class to the one it becomes
            shift = values[counterpart] - values
            state = classes.state[own]
            means = np.array([shift[state == k].mean() for k in range(classes.count)])
            if np.abs(shift - means[state]).max(initial=0.0) > TOLERANCE * max(1.0, np.abs(values).max()):
                return None
            found.append(means)
    if len(found) != 1:
        return None
    # each class but the last becomes the next one
    return np.concatenate(([0.0], np.cumsum(found[0][:-1])))


def canonical_classes(relabelling: Relabelling, theta: Array, order: Sequence[str]) -> Array:
    """Return theta with the classes of each variable in their canonical order.

    Parameters
    ----------
    relabelling : Relabelling
    theta : ndarray, shape (P,)
    order : sequence of {"size", "location", ""}
        By class variable: ascending by size, by location where the classes have one (else by size), or left
        as they are.
    """
    plan, objective = relabelling.plan, relabelling.objective
    if not any(order):
        return theta
    objective.place_nodes(theta)
    shares = objective.shares(theta)
    for variable, (classes, wanted) in enumerate(zip(relabelling.classes, order, strict=False)):
        if not wanted:
            continue
        value = _locations(plan, classes, theta) if wanted == "location" else None
        value = class_sizes(plan, classes, shares) if value is None else value
        permutation = np.empty(classes.count, dtype=np.intp)
        permutation[np.argsort(value, kind="stable")] = np.arange(classes.count)
        if (permutation != np.arange(classes.count)).any():
            found = relabelling.permuted(variable, theta, permutation)
            theta = theta if found is None else found
    return theta
