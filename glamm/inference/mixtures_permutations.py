"""Permutations of classes: the theta that says of other classes what the present one says of these.

Data know theta by the linear predictors as functions of the standard coordinates, by the probabilities of
ordered categories, and by the log odds of classes. The permuted theta gives every row of the extended data
those that its counterpart in the other class had; Gauss-Newton steps find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan, ResponsePlan
from glamm.inference.chain import Chain
from glamm.inference.discrete_units import distinct_rows
from glamm.inference.mixtures import Classes, classes_of, clusters_at
from glamm.inference.mixtures_nodes import home_level
from glamm.inference.units import Units

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Labelling", "counterparts", "moved_clusters", "nearest_permuted", "permute"]

TOLERANCE = 1e-7
"""What predictors may differ by after a permutation, relative to the largest."""

STEPS, SHORTEST = 40, 1e-4
"""Gauss-Newton steps, and the share of one below which no step helps."""

SLOW, ROUNDING = 1e-3, 1e-12
"""Gain, of the sum of squares that is left, and root of that, relative to the largest, at which they end."""

DEPENDENT = 1e-8
"""Relative singular value below which a direction of theta moves nothing."""

DIFFERENCE = 1e-7
"""Step of derivatives by parameters that latent variables depend on."""

NODES = 3
"""Random standard coordinates at which probabilities of categories are compared, beside 0."""


# ---------------------------------------------------------------- counterparts


@dataclass(frozen=True, slots=True, eq=False)
class Labelling:
    """A permutation of the classes of a variable, by what becomes of clusters.

    Attributes
    ----------
    level : int
    moved : ndarray of intp, shape (clusters,)
        Cluster that each cluster of the level becomes.
    """

    level: int
    moved: Index


def counterparts(cluster: Index, moved: Index) -> Index | None:
    """Return the row each row becomes when its cluster becomes another, None where those differ in size.

    Parameters
    ----------
    cluster : ndarray of intp, shape (n,), ascending
    moved : ndarray of intp, shape (clusters,)
    """
    first = np.searchsorted(cluster, np.arange(len(moved) + 1))
    size = np.diff(first)
    if not np.array_equal(size[moved], size):
        return None
    return np.asarray(np.arange(len(cluster)) - first[cluster] + first[moved[cluster]], dtype=np.intp)


def moved_clusters(plan: Plan, classes: Classes, permutation: Index) -> Index | None:
    """Return the cluster that each cluster of the variable's level becomes; None where classes are known.

    Parameters
    ----------
    plan : Plan
    classes : Classes
    permutation : ndarray of intp, shape (K,)
        What each class becomes.
    """
    group = plan.levels[classes.level].group
    assert group is not None
    rest = np.zeros(len(group), dtype=np.intp)
    for other in classes_of(plan):
        if other.level == classes.level and other.number != classes.number:
            rest = rest * other.count + other.state
    becomes = permutation[classes.state]
    wanted = np.lexsort((becomes, rest, group))
    present = np.lexsort((classes.state, rest, group))
    moved = np.empty(len(group), dtype=np.intp)
    moved[wanted] = present
    same = np.array_equal(rest[moved], rest) and np.array_equal(group[moved], group)
    return moved if same and np.array_equal(classes.state[moved], becomes) else None


def _of_response(plan: Plan, response: ResponsePlan, classes: Classes, moved: Index) -> Index | None:
    """Return the unit that each unit becomes."""
    if home_level(plan, response) > classes.level:
        return np.arange(len(response.cluster), dtype=np.intp)
    found = counterparts(clusters_at(plan, response.cluster, classes.level), moved)
    if found is None or not np.array_equal(response.encoded.y[found], response.encoded.y):
        return None
    return found


# ---------------------------------------------------------------- what data know theta by


class _Predictors:
    """Linear predictors of one response as functions of theta.

    Parameters
    ----------
    units : Units
    nodes : ndarray, shape (Z, W), or None
        Standard coordinates, and products of them, at which log densities are compared; None: offsets and
        slopes are.
    """

    def __init__(self, units: Units, nodes: Array | None) -> None:
        self.units = units
        self.nodes = nodes
        self.random = bool(len(units.active))

    def compared(self, offset: Array, slope: Array) -> Array:
        """Return what is compared, shape (n, m)."""
        if self.nodes is None:
            wide = np.moveaxis(slope, 1, 0).reshape(self.units.n, -1)
            return np.concatenate([offset.T, wide], axis=1)
        plan = self.units.plan
        found = plan.family.block(plan.encoded.y, list(self._at_nodes(offset, slope)))[0][0]
        return np.asarray(np.broadcast_to(found, (len(self.nodes), self.units.n)).T)

    def _at_nodes(self, offset: Array, slope: Array) -> Array:
        """Return the channels (K, Z, n)."""
        nodes = np.zeros((0, 0)) if self.nodes is None else self.nodes
        channels = np.repeat(offset[:, None, :], len(nodes), axis=1)
        if self.random:
            channels[self.units.active] += np.einsum("zw,anw->azn", nodes, slope)
        return channels

    def moved(self, offset: Array, slope: Array) -> Array:
        """Return derivatives (n, m, p) of what is compared by coefficients of fixed parts, (p,) below."""
        derivative = self._offset_derivatives()
        if self.nodes is None:
            wide = np.zeros((self.units.n, slope.shape[0] * slope.shape[2], derivative.shape[2]))
            return np.concatenate([np.swapaxes(derivative, 0, 1), wide], axis=1)
        plan = self.units.plan
        first = plan.family.block(plan.encoded.y, list(self._at_nodes(offset, slope)), order=1)[1]
        shape = (len(self.nodes), self.units.n)
        by_channel = np.stack([np.broadcast_to(part, shape) for part in first])
        return np.asarray(np.einsum("kzn,knp->nzp", np.nan_to_num(by_channel), derivative))

    @property
    def coefficients(self) -> Index:
        """Coefficients of the fixed parts, shape (p,)."""
        parts = [p.coefficient for p in self.units.plan.predictors]
        return np.unique(np.concatenate([*parts, np.zeros(0, dtype=np.intp)])).astype(np.intp)

    def _offset_derivatives(self) -> Array:
        """Return derivatives (K, n, p) of the channels' offsets."""
        plan, own = self.units.plan, self.coefficients
        found = np.zeros((len(plan.predictors) + 1, self.units.n, len(own)))
        for k, predictor in enumerate(plan.predictors):
            found[k][:, np.searchsorted(own, predictor.coefficient)] = predictor.design
        if plan.channels is None:
            return found[:-1]
        # channels that a unit does not use take the last, which is 0
        return found[plan.channels.T, np.arange(self.units.n)]


def _coefficients(predictor: PredictorPlan, *, fixed: bool) -> list[Index]:
    parts = [term.coefficient[term.coefficient >= 0] for term in predictor.terms]
    return [*parts, predictor.coefficient] if fixed else parts


def _of_latents(plan: Plan) -> Index:
    """Return the parameters that latent variables and their coefficients depend on."""
    parts = [part for unit in plan.units for p in unit.predictors for part in _coefficients(p, fixed=False)]
    for latent in plan.latents:
        parts += _coefficients(latent.predictor, fixed=True)
        parts += [] if latent.scale is None else _coefficients(latent.scale, fixed=True)
        parts += [] if latent.points is None else [latent.points.location, latent.points.log_odds]
    for level in plan.levels:
        parts += [level.factor.ravel(), *(block.index.ravel() for block in level.blocks)]
    found = np.unique(np.concatenate([*parts, np.zeros(0, dtype=np.intp)])).astype(np.intp)
    return found[found >= 0]


class _Known:
    """What data know theta by, row by row, and its counterpart after a permutation of classes.

    Parameters
    ----------
    plan : Plan
    classes : Classes
    permutation : ndarray of intp, shape (K,)
    goals : list of ndarray of intp, shape (n,)
        Row that each row of each response becomes.
    """

    def __init__(self, plan: Plan, classes: Classes, permutation: Index, goals: Sequence[Index]) -> None:
        self.plan = plan
        self.goals = goals
        self.own = len(plan.responses) + classes.number
        self.origin = np.argsort(permutation)
        self.chain = Chain(plan)
        self.space = self.chain.space
        self.inner = _of_latents(plan)
        nodes = np.zeros((1, self.space.slopes))
        if self.space.slopes:
            drawn = np.random.default_rng(0).standard_normal((NODES, self.space.width))
            products = [drawn[:, x] * drawn[:, y] for x, y in self.space.pairs]
            nodes = np.vstack([nodes, np.column_stack([drawn, *products])])
        self.parts = [
            # thresholds and a location that all shift say the same of categories
            _Predictors(one, nodes if number < len(plan.responses) and one.plan.encoded.categories else None)
            for number, one in enumerate(self.chain.units)
        ]

    def _forms(self, theta: Array, *, random: bool = False) -> list[tuple[Array, Array]]:
        factors = self.chain.factors(theta)
        latents = self.chain.latent_forms(theta, factors)
        return [
            part.units.forms(self.space, theta, factors, latents)
            for part in self.parts
            if part.random or not random
        ]

    def _compared(self, forms: Sequence[tuple[Array, Array]], parts: Sequence[_Predictors]) -> list[Array]:
        with np.errstate(all="ignore"):
            return [part.compared(*form) for part, form in zip(parts, forms, strict=True)]

    def values(self, theta: Array) -> list[Array]:
        """Return what is compared of each response, shape (n, m)."""
        return self._compared(self._forms(theta), self.parts)

    def wanted(self, theta: Array) -> list[Array]:
        """Return what the values at the permuted theta are."""
        found = []
        for number, (value, goal) in enumerate(zip(self.values(theta), self.goals, strict=True)):
            if number == self.own:
                found.append(self._permuted_odds(value))
                continue
            wanted = np.empty_like(value)
            wanted[goal] = value
            found.append(wanted)
        return found

    def _permuted_odds(self, value: Array) -> Array:
        """Return offsets, then slopes, of the log odds against the class that becomes the last."""
        part = self.parts[self.own]
        count, active = len(part.units.predictors), part.units.active
        cube = np.zeros((len(value), count + 1, 1 + self.space.slopes))
        cube[:, :count, 0] = value[:, :count]
        cube[:, active, 1:] = value[:, count:].reshape(len(value), len(active), self.space.slopes)
        cube = cube[:, self.origin] - cube[:, self.origin[-1:]]
        wide = cube[:, active, 1:].reshape(len(value), len(active) * self.space.slopes)
        return np.concatenate([cube[:, :count, 0], wide], axis=1)

    def system(self, theta: Array, rest: Sequence[Array]) -> tuple[Array, Array]:
        """Return distinct rows of the derivatives (R, P) of all values and of what is left of each, (R,)."""
        forms = self._forms(theta)
        random = [part for part in self.parts if part.random]
        beside = dict(zip(map(id, random), self._moved_by_latents(theta, forms, random), strict=True))
        rows, right = [], []
        for part, form, left in zip(self.parts, forms, rest, strict=True):
            if not left.size:
                continue
            coefficient, derivative = part.coefficients, part.moved(*form)
            if part.random:
                outer = ~np.isin(coefficient, self.inner)
                derivative = np.concatenate([derivative[:, :, outer], beside[id(part)]], axis=2)
                coefficient = np.concatenate([coefficient[outer], self.inner])
            flat = derivative.reshape(left.size, -1)
            first, _ = distinct_rows([*flat.T, left.ravel()])
            filled = np.zeros((len(first), len(theta)))
            filled[:, coefficient] = flat[first]
            rows.append(filled)
            right.append(left.ravel()[first])
        return np.vstack(rows), np.concatenate(right)

    def _moved_by_latents(
        self, theta: Array, forms: Sequence[tuple[Array, Array]], random: Sequence[_Predictors]
    ) -> list[Array]:
        """Return derivatives (n, m, p) by the parameters of latent variables where these enter."""
        at = self._compared([f for f, p in zip(forms, self.parts, strict=True) if p.random], random)
        found = [np.empty((*value.shape, len(self.inner))) for value in at]
        if not random:
            return found
        for k, place in enumerate(self.inner):
            trial = theta.copy()
            trial[place] += DIFFERENCE * max(1.0, abs(theta[place]))
            moved = self._compared(self._forms(trial, random=True), random)
            for out, value, before in zip(found, moved, at, strict=True):
                out[:, :, k] = (value - before) / (trial[place] - theta[place])
        return [np.nan_to_num(derivative, posinf=0.0, neginf=0.0) for derivative in found]

    def constraints(self, theta: Array) -> tuple[Array, Array]:
        """Return the gradients (e, P) of the equalities, and what is left of each."""
        plan = self.plan.constraints
        if plan is None:
            return np.zeros((0, len(theta))), np.zeros(0)
        return plan.equality_slopes(theta), plan.value - plan.equalities @ plan.natural(theta)


# ---------------------------------------------------------------- the permuted theta


def _known(plan: Plan, classes: Classes, permutation: Index) -> _Known | None:
    moved = moved_clusters(plan, classes, permutation)
    if moved is None:
        return None
    goals = []
    for number, response in enumerate(plan.units):
        if number == len(plan.responses) + classes.number:
            # log odds of the variable's own classes change their places within a row
            goals.append(np.arange(len(response.cluster), dtype=np.intp))
            continue
        goal = _of_response(plan, response, classes, moved)
        if goal is None:
            return None
        goals.append(goal)
    return _Known(plan, classes, permutation, goals)


def _left(wanted: Array, value: Array) -> Array:
    """Return what is left of wanted values; equal infinities leave nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(wanted == value, 0.0, wanted - value))


def _solved(known: _Known, theta: Array) -> tuple[Array, float]:
    """Return the permuted theta, or the nearest there is, and how far values are from the wanted ones."""
    wanted = known.wanted(theta)
    size = max(float(np.abs(part[np.isfinite(part)]).max(initial=1.0)) for part in wanted)

    def left(at: Array) -> tuple[list[Array], float]:
        rest = [_left(goal, value) for goal, value in zip(wanted, known.values(at), strict=True)]
        square = sum(float((part**2).sum()) for part in [*rest, known.constraints(at)[1]])
        return rest, square if np.isfinite(square) else np.inf

    rest, square = left(theta)
    for _ in range(STEPS):
        rows, right = known.system(theta, rest)
        own, short = known.constraints(theta)
        rows, right = np.vstack([rows, own]), np.concatenate([right, short])
        length = np.linalg.norm(rows, axis=0)
        length[length == 0.0] = 1.0
        step = np.linalg.lstsq(rows / length, right, rcond=DEPENDENT)[0] / length
        share = 1.0
        trial, after = left(theta + step)
        while after >= square and share > SHORTEST:
            share *= 0.3
            trial, after = left(theta + share * step)
        if after >= square:
            break
        gained = square - after
        theta, rest, square = theta + share * step, trial, after
        if gained < SLOW * square or np.sqrt(square) < ROUNDING * size:
            break
    worst = [float(np.abs(part).max(initial=0.0)) for part in [*rest, known.constraints(theta)[1]]]
    return theta, max(worst) / size


def permute(plan: Plan, classes: Classes, theta: Array, permutation: Index) -> Array | None:
    """Return theta after class k has become class ``permutation[k]``; None where that changes the model.

    Parameters
    ----------
    plan : Plan
        Its equalities hold for the permuted theta too.
    classes : Classes
    theta : ndarray, shape (P,)
    permutation : ndarray of intp, shape (K,)
    """
    known = _known(plan, classes, permutation)
    if known is None:
        return None
    found, misfit = _solved(known, theta)
    return found if misfit <= TOLERANCE else None


def nearest_permuted(plan: Plan, classes: Classes, theta: Array, permutation: Index) -> Array | None:
    """Return the theta that comes nearest to the permuted one without constraints; None for known classes.

    Parameters
    ----------
    plan : Plan
    classes : Classes
    theta : ndarray, shape (P,)
    permutation : ndarray of intp, shape (K,)
    """
    known = _known(replace(plan, constraints=None), classes, permutation)
    return None if known is None else _solved(known, theta)[0]
