"""Many short runs of EM at once, for models whose latent variables are all discrete.

The E-step counts how often each combination of a response and its design is expected in each class. The
M-step is one Newton step of the complete-data log-likelihood (the gradient form of EM: Lange, 1995), whose
gradient is that of the log-likelihood itself: an iteration costs one evaluation for all runs together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from glamm.inference.discrete import DiscreteObjective, Posterior
from glamm.inference.mixtures_permutations import Labelling
from glamm.inference.multistart_space import Space
from glamm.inference.optimize import Search, newton_step

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "SOFT",
    "Runs",
    "expectation_maximisation",
    "first_steps",
    "nearest_of_distant",
    "polish",
]

REACH = 20.0
"""Longest step of a linear predictor, in units of the precision of one observation."""

SOFT = 0.1
"""Share of a cluster that a random assignment leaves to chance."""

RIDGE = 1e-9

POLISHED = 1e-6
"""Decrement below which a local maximum is known well enough to be compared with others."""


@dataclass(slots=True, eq=False)
class Runs:
    """Where S runs stand.

    Attributes
    ----------
    theta : ndarray, shape (P, S)
    value : ndarray, shape (S,)
        Log-likelihoods.
    gain : ndarray, shape (S,)
        Rise of the log-likelihood in the last step.
    """

    theta: Array
    value: Array
    gain: Array

    def best(self, count: int) -> Runs:
        """Return the `count` runs with the largest log-likelihoods, the best first."""
        order = np.argsort(-self.value, kind="stable")[:count]
        return Runs(self.theta[:, order], self.value[order], self.gain[order])


def random_shares(
    objective: DiscreteObjective, start: Array, count: int, rng: np.random.Generator
) -> list[Array]:
    """Return random posterior probabilities of classes, (clusters, count) for each stage.

    A third of them are drawn from a uniform Dirichlet distribution, a third assigns clusters at random, the
    others assign those of the highest level to the nearest of some clusters drawn far apart.

    Parameters
    ----------
    objective : DiscreteObjective
    start : ndarray, shape (P,)
        A point that does not tell classes apart.
    count : int
    rng : numpy Generator
    """
    found = []
    for number, stage in enumerate(objective.stages):
        clusters = stage.units.shape[0]
        chance = rng.standard_exponential((clusters, count))
        kind = np.arange(count) % 3
        hard = chance ** np.where(kind == 0, 1.0, 8.0)
        if number == len(objective.stages) - 1:
            near = np.flatnonzero(kind == 2)
            hard[:, near] = _nearest(objective, start, len(near), rng)
        first, group = stage.alternatives.first, stage.alternatives.group
        hard /= np.add.reduceat(hard, first)[group]
        chance /= np.add.reduceat(chance, first)[group]
        found.append((1.0 - SOFT) * hard + SOFT * chance)
    return found


def _nearest(objective: DiscreteObjective, start: Array, count: int, rng: np.random.Generator) -> Array:
    """Return assignments (clusters, count) of the top-level clusters to the nearest of some of them.

    Distances are those of the sums of scores by response and channel.
    """
    stage = objective.stages[-1]
    alternatives = stage.alternatives
    densities = objective.posterior_at(start[:, None]).densities
    columns: list[Array] = []
    for k, at in enumerate(densities[: len(objective.plan.responses)]):
        for first in at.first:
            values = np.zeros(int(objective.edges[-1]))
            values[objective.edges[k] : objective.edges[k + 1]] = np.nan_to_num(first[:, 0])
            columns.append((stage.units @ values)[alternatives.first])
    features = np.column_stack(columns)
    features /= np.maximum(features.std(axis=0), 1e-12)
    classes = int(alternatives.counts.max())
    weight = np.maximum(objective.frequency, 0.0)
    assigned = np.empty((len(alternatives.group), count))
    for run in range(count):
        own = nearest_of_distant(features, weight, classes, rng)
        assigned[:, run] = own[alternatives.group] == alternatives.position
    # a cluster with fewer classes may not have the nearest one
    return assigned + 1e-3


def nearest_of_distant(features: Array, weight: Array, classes: int, rng: np.random.Generator) -> Index:
    """Return which of some rows of `features` (n, m), drawn far apart, each row is nearest to, shape (n,).

    A row is drawn with a probability proportional to its weight and to its squared distance from those drawn
    before (Arthur and Vassilvitskii, 2007).
    """
    distance = np.empty((len(features), classes))
    nearest = np.ones(len(features))
    for c in range(classes):
        chance = weight * nearest
        total = chance.sum()
        chance = chance / total if total > 0.0 else weight / weight.sum()
        centre = features[rng.choice(len(features), p=chance)]
        distance[:, c] = ((features - centre) ** 2).sum(axis=1)
        nearest = distance[:, : c + 1].min(axis=1)
    return np.asarray(distance.argmin(axis=1))


# ---------------------------------------------------------------- steps


class _Blocks:
    """Coordinates that no unit brings together, by size: their systems are solved side by side.

    Parameters
    ----------
    objective : DiscreteObjective
    moves : ndarray of bool, shape (P, Q)
        Which coordinates move which entries of theta.
    """

    def __init__(self, objective: DiscreteObjective, moves: NDArray[np.bool_]) -> None:
        size = moves.shape[1]
        rows, columns = [np.arange(size)], [np.arange(size)]
        for response in objective.responses:
            met = np.flatnonzero(moves[np.unique(np.concatenate(response.coefficients))].any(axis=0))
            rows.append(met)
            columns.append(np.full(len(met), met[0] if len(met) else 0))
        together = sparse.coo_array(
            (np.ones(sum(map(len, rows))), (np.concatenate(rows), np.concatenate(columns))),
            shape=(size, size),
        )
        _, label = connected_components(together, directed=False)
        parts: dict[int, list[Index]] = {}
        for k in np.unique(label):
            members = np.flatnonzero(label == k)
            parts.setdefault(len(members), []).append(members)
        self.parts = [np.array(members) for members in parts.values()]

    def directions(self, information: Array, gradient: Array) -> Array:
        """Return the Newton steps (Q, S) of information (S, Q, Q) and gradient (Q, S)."""
        steps = np.zeros_like(gradient)
        for members in self.parts:
            block = information[:, members[:, :, None], members[:, None, :]]
            right = np.moveaxis(gradient[members], 2, 0)
            steps[members] = np.moveaxis(_solve(block, right), 0, 2)
        return steps


def _solve(matrix: Array, right: Array) -> Array:
    """Return ``|H|^-1 g`` of many small systems, (..., m, m) and (..., m); flat directions are left alone."""
    scale = np.sqrt(np.abs(np.einsum("...ii->...i", matrix)))
    scale = np.where(scale > 1e-8 * max(float(scale.max(initial=0.0)), 1e-300), scale, np.inf)
    scaled = matrix / scale[..., :, None] / scale[..., None, :] + RIDGE * np.eye(matrix.shape[-1])
    inner = right / scale
    values, vectors = np.linalg.eigh(np.where(np.isfinite(scaled), scaled, 0.0))
    values = np.abs(values)
    floor = 1e-7 * values.max(axis=-1, keepdims=True)
    inverse = np.where(values > floor, 1.0 / np.maximum(values, 1e-300), 0.0)
    along = np.einsum("...ij,...i->...j", vectors, inner)
    return np.asarray(np.einsum("...ij,...j->...i", vectors, inverse * along) / scale)


def _within_reach(
    objective: DiscreteObjective, found: Posterior, weights: Sequence[Array], step: Array
) -> Array:
    """Return the share (S,) of each step that moves no linear predictor too far."""
    share = np.ones(step.shape[1])
    for response, at, weight in zip(objective.responses, found.densities, weights, strict=True):
        total = np.maximum(weight.sum(axis=0), 1e-300)
        place = 0
        for k, (design, coefficient) in enumerate(zip(response.designs, response.coefficients, strict=True)):
            curvature = (weight * np.maximum(-at.second[place], 0.0)).sum(axis=0) / total
            place += len(response.designs) - k
            limit = REACH / np.sqrt(np.where(curvature > 1e-4, curvature, 1.0))
            moved = np.abs(design @ step[coefficient]).max(axis=0, initial=0.0)
            share = np.minimum(share, limit / np.maximum(moved, 1e-300))
    return share


Evaluate = Callable[[Array, Index], tuple[Posterior, list[Array], Array]]


def _ascend(
    objective: DiscreteObjective,
    space: Space,
    begin: Array,
    evaluate: Evaluate,
    iterations: int,
    tolerance: float,
) -> Runs:
    """Take Newton steps of the complete-data log-likelihood in all runs until none gains `tolerance`."""
    count = begin.shape[1]
    place = space.reduce(begin)
    blocks = _Blocks(objective, space.moves(space.expand(place[:, :1])[:, 0]))
    runs = Runs(space.expand(place).copy(), np.full(count, -np.inf), np.full(count, np.inf))
    step = np.zeros_like(place)
    place, trial = place.copy(), place.copy()
    going = np.arange(count)
    shortened = np.zeros(count, dtype=np.intp)
    for iteration in range(iterations):
        theta = space.expand(trial[:, going])
        found, weights, value = evaluate(theta, going)
        slack = 1e-9 + 1e-12 * np.abs(value)
        with np.errstate(invalid="ignore"):
            better = value >= runs.value[going] - slack
        better |= iteration == 0
        taken = going[better]
        with np.errstate(invalid="ignore"):
            runs.gain[taken] = value[better] - runs.value[taken]
        place[:, taken] = trial[:, taken]
        runs.theta[:, taken], runs.value[taken] = theta[:, better], value[better]
        shortened[taken] = 0
        shortened[going[~better]] += 1
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = np.nan_to_num(objective.gradients(found, weights))
            information = np.nan_to_num(objective.complete_information(found, weights))
            gradient, information = space.pull(theta, gradient, information)
            fresh = blocks.directions(information, gradient)
            fresh *= _within_reach(objective, found, weights, space.push(theta, fresh))
        step[:, taken] = fresh[:, better]
        step[:, going[~better]] *= 0.3
        done = (
            (runs.gain[going] < tolerance) & better
            | (shortened[going] > 12)
            | ~np.isfinite(runs.value[going])
        )
        going = going[~done]
        if not len(going):
            break
        trial[:, going] = place[:, going] + step[:, going]
    return runs


def permuted_shares(
    objective: DiscreteObjective, shares: Sequence[Array], labelling: Labelling
) -> list[Array]:
    """Return probabilities of classes, (clusters, S) for each stage, after clusters have changed places."""
    found = list(shares)
    for number, stage in enumerate(objective.stages):
        if stage.level == labelling.level:
            place = np.empty(len(labelling.moved), dtype=np.intp)
            place[stage.clusters] = np.arange(len(stage.clusters))
            found[number] = np.empty_like(shares[number])
            found[number][place[labelling.moved[stage.clusters]]] = shares[number]
    return found


def first_steps(
    objective: DiscreteObjective,
    space: Space,
    start: Array,
    count: int,
    labellings: Sequence[Labelling],
    rng: np.random.Generator,
) -> Array:
    """Return thetas (P, count) that fit random probabilities of classes.

    Parameters
    ----------
    objective : DiscreteObjective
    space : Space
    start : ndarray, shape (P,)
        A point that does not tell classes apart.
    count : int
    labellings : sequence of Labelling
        Other places that classes may have: each start takes those which fit best.
    rng : numpy Generator
    """
    shares = random_shares(objective, start, count, rng)
    begin = np.repeat(start[:, None], count, axis=1)
    best = maximise_complete(objective, space, begin, shares)
    for labelling in labellings:
        other = maximise_complete(objective, space, begin, permuted_shares(objective, shares, labelling))
        better = other.value > best.value
        best.theta[:, better], best.value[better] = other.theta[:, better], other.value[better]
    return best.theta


def maximise_complete(
    objective: DiscreteObjective, space: Space, start: Array, shares: Sequence[Array], iterations: int = 8
) -> Runs:
    """Return where M-steps from `start` (P, S) end: at the thetas that fit given probabilities best."""
    expected = objective.weights(shares)

    def evaluate(theta: Array, going: Index) -> tuple[Posterior, list[Array], Array]:
        densities = [response.densities(theta) for response in objective.responses]
        weights = [weight[:, going] for weight in expected]
        value = np.zeros(len(going))
        for at, weight in zip(densities, weights, strict=True):
            with np.errstate(invalid="ignore"):
                value += np.where(weight > 0.0, weight * at.value, 0.0).sum(axis=0)
        return Posterior(np.empty((0, 0)), [], densities), weights, value

    return _ascend(objective, space, start, evaluate, iterations, 1e-6)


def expectation_maximisation(
    objective: DiscreteObjective, space: Space, start: Array, iterations: int, tolerance: float
) -> Runs:
    """Return where EM stands after some iterations from each column of `start` (P, S)."""

    def evaluate(theta: Array, going: Index) -> tuple[Posterior, list[Array], Array]:
        del going
        found = objective.posterior_at(theta)
        return found, objective.weights(found.shares), objective.values(found)

    return _ascend(objective, space, start, evaluate, iterations, tolerance)


def _between(observed: Array, complete: Array, gradient: Array) -> tuple[Array, float]:
    """Return a step between Newton's and that of EM, as near to Newton's as rises, and its decrement.

    What the complete data would add to the observed information is not negative, so mixtures of the two
    lead from one that may be indefinite to one that is not.
    """
    scale = np.sqrt(np.maximum(np.diagonal(complete), 1e-300))
    scale[scale < 1e-8 * scale.max()] = np.inf
    for share in (0.0, 0.1, 0.3, 0.6, 1.0):
        mixed = ((1.0 - share) * observed + share * complete) / scale[:, None] / scale
        mixed[np.diag_indices(len(scale))] += np.where(np.isinf(scale), 1.0, RIDGE)
        try:
            factor = np.linalg.cholesky(mixed)
        except np.linalg.LinAlgError:
            continue
        half = np.linalg.solve(factor, gradient / scale)
        return np.linalg.solve(factor.T, half) / scale, float(half @ half)
    return newton_step(Search(gradient, 0.0, gradient, observed))


def polish(
    objective: DiscreteObjective, space: Space, theta: Array, iterations: int = 40
) -> tuple[Array, float, bool]:
    """Return where Newton steps from theta (P,) end, its log-likelihood, and whether it is a maximum."""
    value, gradient = objective.value_and_gradient(theta)
    place = space.reduce(theta[:, None])[:, 0]
    for _ in range(iterations):
        informations = objective.informations(theta)
        if informations is None or not np.isfinite(informations).all():
            return theta, value, False
        both = np.repeat(theta[:, None], 2, axis=1)
        slopes, matrices = space.pull(both, np.repeat(gradient[:, None], 2, axis=1), np.stack(informations))
        step, decrement = _between(matrices[0], matrices[1], slopes[:, 0])
        if decrement < POLISHED:
            return theta, value, True
        found = objective.posterior_at(theta[:, None])
        pushed = space.push(theta[:, None], step[:, None])
        step *= _within_reach(objective, found, objective.weights(found.shares), pushed)[0]
        for _ in range(12):
            trial = space.expand((place + step)[:, None])[:, 0]
            after, slope = objective.value_and_gradient(trial)
            if after >= value - 1e-9 - 1e-13 * abs(value) and np.isfinite(slope).all():
                break
            step *= 0.3
        else:
            return theta, value, False
        place, theta, value, gradient = place + step, trial, after, slope
    return theta, value, False
