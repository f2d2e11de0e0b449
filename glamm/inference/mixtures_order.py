"""The order of classes: by size or location, where the model stays the same when they trade places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures import Classes, class_sizes, classes_of, clusters_at
from glamm.inference.mixtures_permutations import (
    Labelling,
    counterparts,
    moved_clusters,
    nearest_permuted,
    permute,
)
from glamm.inference.objective import Objective
from glamm.inference.restricted import violation
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

ALL = 4
"""Classes up to which all permutations are tried; of more, those that exchange two classes."""


LABELLINGS = 5
"""Permutations of the classes of one variable in which a random start is tried."""

IMAGES = 24
"""Permuted thetas from which the classes of another variable are permuted too."""

NEAREST = 6
"""Points from which the best one within bounds is looked for."""


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

    def near(self, variable: int, theta: Array) -> list[Array]:
        """Return the thetas that come nearest to theta with the classes of a variable permuted.

        Constraints are left out.

        Parameters
        ----------
        variable : int
            Position in `classes`.
        theta : ndarray, shape (P,)
        """
        plan, classes = self._plans[0], self._variables[0][variable]
        found = [nearest_permuted(plan, classes, theta, p) for p in _tried_permutations(classes.count)]
        return [permuted for permuted in found if permuted is not None]

    def distinguished(self, theta: Array) -> list[int]:
        """Return the class variables whose permutations change the model, as constraints and terms may do.

        Not those whose classes are known: there the data say which is which.

        Parameters
        ----------
        theta : ndarray, shape (P,)
            Where no classes have the same parameters, and equalities hold.
        """
        found = []
        for variable, classes in enumerate(self._variables[0]):
            turn = np.roll(np.arange(classes.count, dtype=np.intp), 1)
            exchange = np.arange(classes.count, dtype=np.intp)
            exchange[:2] = exchange[1::-1]
            if moved_clusters(self._plans[0], classes, turn) is None:
                continue
            # these two generate all permutations
            both = [permute(self._plans[0], classes, theta, turned) for turned in (exchange, turn)]
            if any(permuted is None for permuted in both):
                found.append(variable)
        return found

    def labellings(self, variables: Sequence[int], rng: np.random.Generator) -> list[Labelling]:
        """Return some permutations of the classes of some variables, all of them for few classes."""
        found = []
        for classes in (self.classes[variable] for variable in variables):
            tried = _tried_permutations(classes.count)
            if len(tried) > LABELLINGS:
                tried = [rng.permutation(classes.count).astype(np.intp) for _ in range(LABELLINGS)]
            moved = [moved_clusters(self.plan, classes, permutation) for permutation in tried]
            found += [Labelling(classes.level, clusters) for clusters in moved if clusters is not None]
        return found

    def within_bounds(self, thetas: Sequence[Array]) -> list[Array]:
        """Return the first of some thetas, with classes permuted so that bounds hold, or all that may do.

        Where no permutation of the first meets the bounds, those of all that come nearest are returned.
        """
        constraints = self.plan.constraints
        if constraints is None or not len(constraints.lower):
            return [thetas[0]]
        found: list[tuple[float, Array]] = []
        for theta in thetas:
            images = self._images(theta)
            found += [(violation(constraints, image), image) for image in images]
            if theta is thetas[0]:
                least = min(found, key=lambda one: one[0])
                if least[0] == 0.0:
                    return [least[1]]
        return [image for _, image in sorted(found, key=lambda one: one[0])[:NEAREST]]

    def _images(self, theta: Array) -> list[Array]:
        """Return theta and what permutations of classes make of it without changing the model."""
        images = [theta]
        for variable, classes in enumerate(self.classes):
            if moved_clusters(self.plan, classes, np.arange(classes.count)[::-1]) is None:
                continue
            more = [
                self.permuted(variable, image, permutation)
                for image in images[:IMAGES]
                for permutation in _tried_permutations(classes.count)
            ]
            images += [image for image in more if image is not None]
        return images

    def _loglik(self, theta: Array) -> float:
        self.objective.place_nodes(theta)
        return self.objective.value(theta)


def _tried_permutations(count: int) -> list[Index]:
    """Return the permutations of classes that are tried: all but the identity, or exchanges of two."""
    if count <= ALL:
        return [np.array(p, dtype=np.intp) for p in list(permutations(range(count)))[1:]]
    found = []
    for pair in combinations(range(count), 2):
        permutation = np.arange(count, dtype=np.intp)
        permutation[list(pair)] = pair[::-1]
        found.append(permutation)
    return found


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
