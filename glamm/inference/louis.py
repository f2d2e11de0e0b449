"""Observed information by Louis's formula, where items have no covariates.

With one level, and linear predictors that differ between responses but not between their units, theta acts
through a few numbers for each response: offsets and slopes of its predictors. The information in those is

    - sum_j (cov_j(T) + E_j(D)),

posterior covariances of a cluster's scores T and expectations of its second derivatives D over nodes. Where
coordinates are independent given others, the covariance is that within each block given the latter plus that
of the conditional expectations. It
costs as much as a few evaluations; differences of the gradient cost one evaluation for every parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.adjoints import Adjoint, Backward, Form, Sums
from glamm.inference.rules import rule
from glamm.inference.touched import touched
from glamm.kernels._block import evaluate

if TYPE_CHECKING:
    from glamm.inference.objective import Objective
    from glamm.inference.units import Units

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["applies", "louis_information", "subtract_bending"]

STEP = 1e-5
"""Of differences of what adjoints mean for theta, relative."""

CHUNK = 1_000_000
"""Node values of scores held at once."""


def applies(objective: Objective) -> bool:
    """Return whether every linear predictor is the same for all units of its response."""
    plan = objective.plan
    predictors = [p for units in objective.units for p in units.predictors]
    latent = [part for m in objective.latents for part in (m.predictor, m.scale) if part is not None]
    return (
        len(plan.levels) == 1
        and not plan.residual_covariances
        and plan.levels[0].group is None
        and _tree(objective) is not None
        and not any(units.multiplies or units.plan.weight is not None for units in objective.units)
        and not any(np.any(np.diff(units.plan.cluster) == 0) for units in objective.units)
        and all(p.same and not p.plan.loadings and p.plan.coordinate is None for p in predictors + latent)
        and all(term.constant for p in predictors + latent for term in p.terms)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """Responses that depend on the same coordinates beside those of the root.

    Attributes
    ----------
    coordinates : list of int
        Of the leaf alone; none where all are integrated jointly.
    members : list of int
        Responses.
    """

    coordinates: list[int]
    members: list[int]


def _tree(objective: Objective) -> tuple[list[int], list[_Leaf]] | None:
    """Return the root's coordinates and the leaves independent given them; None of a deeper tree."""
    layers, everything = objective.layers, list(range(objective.space.width))
    if len(layers) < 2:
        return everything, [_Leaf([], list(range(len(objective.units))))]
    if len(layers) > 2:
        return None
    root = list(layers[1].blocks[0].coordinates)
    blocks = [block.coordinates for block in layers[0].blocks]
    leaves = [_Leaf(list(own), []) for own in blocks]
    for number, reach in enumerate(_reach(objective.plan)):
        home = next(leaf for leaf in leaves if reach <= {*root, *leaf.coordinates})
        home.members.append(number)
    return root, leaves


def _reach(plan: Plan) -> list[frozenset[int]]:
    """Return the coordinates that each response depends on."""
    none: frozenset[int] = frozenset()
    return [none.union(*kinds.coordinates) for kinds in touched(plan, plan.units)]


class _Scores:
    """Log densities of the units of some clusters, and their derivatives in the predictors.

    Attributes
    ----------
    rows : ndarray of intp, shape (n,), or slice
        Cluster of each unit; a slice where each cluster has one.
    value : ndarray, shape (n, R)
    first : dict of ndarray, shape (n, R)
        By predictor.
    second : dict of ndarray, shape (n, R)
        By pairs ``p <= q`` of predictors.
    """

    def __init__(
        self, units: Units, forms: Sequence[Form], nodes: Array, coordinates: Sequence[int], first: int
    ) -> None:
        """Evaluate the units of the clusters from `first` on at `nodes`, (clusters, R, coordinates)."""
        plan = units.plan
        begin, end = np.searchsorted(plan.cluster, (first, first + len(nodes)))
        rows = plan.cluster[begin:end] - first
        self.rows: Index | slice = slice(None) if len(rows) == len(nodes) else rows
        own = nodes[self.rows]
        n, points, _ = own.shape
        nu = [form.offset[0] + own @ form.slope[0, coordinates] for form in forms]
        fed = np.zeros((units.channels, n, points))
        # the units of each channel that a predictor feeds
        feeds: list[dict[int, Index | slice]] = []
        for k in range(units.channels):
            if plan.channels is None:
                feeds.append({k: slice(None)})
            else:
                channel = plan.channels[begin:end, k]
                found = [(p, np.flatnonzero(channel == p)) for p in range(len(forms))]
                feeds.append({p: at for p, at in found if len(at)})
            for p, at in feeds[k].items():
                fed[k, at] = nu[p][at]
        y = np.repeat(plan.encoded.y[begin:end], points, axis=0)
        flat = fed.reshape(units.channels, -1)
        kernel = plan.family.kernel()
        if kernel is None:
            value, first_order, second = plan.family.block(y, list(flat[:, None]), 2)
            parts = value[0], np.concatenate(first_order), np.concatenate(second)
        else:
            parts = evaluate(kernel, y, flat)
        self.value = np.asarray(parts[0]).reshape(n, points)
        d1, d2 = (np.asarray(part).reshape(len(part), n, points) for part in parts[1:])
        self.first: dict[int, Array] = {}
        self.second: dict[tuple[int, int], Array] = {}
        for k, feeding in enumerate(feeds):
            for p, at in feeding.items():
                self.first.setdefault(p, np.zeros((n, points)))[at] += d1[k, at]
        pairs = [(k, other) for k in range(units.channels) for other in range(k, units.channels)]
        for (k, other), curve in zip(pairs, d2, strict=True):
            for p, at in feeds[k].items():
                for q, to in feeds[other].items():
                    both = _both(at, to)
                    if isinstance(both, slice) or len(both):
                        # a pair of two channels stands for both orders, also where one predictor feeds them
                        twice = 2.0 if other > k and p == q else 1.0
                        at_pair = self.second.setdefault((min(p, q), max(p, q)), np.zeros((n, points)))
                        at_pair[both] += twice * curve[both]


def _both(first: Index | slice, second: Index | slice) -> Index | slice:
    if isinstance(first, slice):
        return second
    return first if isinstance(second, slice) else np.intersect1d(first, second, assume_unique=True)


def _placed(mean: Array, cov: Array, z: Array) -> tuple[Array, Array]:
    """Return nodes (..., R, q) of normal distributions and the log of prior over placing density (..., R)."""
    root = np.linalg.cholesky(cov)
    nodes = mean[..., None, :] + z @ np.swapaxes(root, -1, -2)
    return nodes, -0.5 * np.einsum("...ri,...ri->...r", nodes, nodes)


class _Local:
    """Information (M, M) and gradient (M,) in the numbers of the responses, summed over clusters."""

    def __init__(self, objective: Objective, all_forms: Sequence[Sequence[Form]]) -> None:
        tree = _tree(objective)
        assert tree is not None
        self.objective, self.all_forms = objective, all_forms
        self.root, self.leaves = tree
        q = objective.space.width
        points, whole = objective.points[0], max(objective.dimensions[0], 1)
        self.root_rule = rule(len(self.root), points, len(self.root) / whole)
        self.leaf_rules = [
            rule(len(leaf.coordinates), points, len(leaf.coordinates) / whole) for leaf in self.leaves
        ]
        # the numbers of a predictor are its offset and q slopes; those of slopes that are always 0 stay 0
        starts = np.concatenate(([0], np.cumsum([(1 + q) * len(forms) for forms in all_forms])))
        self.size = int(starts[-1])
        self.columns: list[list[Index]] = []
        for units, leaf_of, start in zip(objective.units, self._leaf_of(), starts, strict=False):
            at = [0, *(1 + v for v in (*self.root, *leaf_of.coordinates))]
            self.columns.append(
                [
                    start + p * (1 + q) + np.array(at if predictor.latent else [0], dtype=np.intp)
                    for p, predictor in enumerate(units.predictors)
                ]
            )
        self.information = np.zeros((self.size, self.size))
        self.gradient = np.zeros(self.size)

    def _leaf_of(self) -> list[_Leaf]:
        found = {r: leaf for leaf in self.leaves for r in leaf.members}
        return [found[r] for r in range(len(self.all_forms))]

    def step(self) -> int:
        """Return how many clusters to take at a time."""
        roots = len(self.root_rule[0])
        nodes = [roots * len(z) for z, _ in self.leaf_rules]
        columns = [sum(len(c) for r in leaf.members for c in self.columns[r]) for leaf in self.leaves]
        most = max(n * c for n, c in zip(nodes, columns, strict=True))
        return max(1, CHUNK // max(most, roots * sum(columns), 1))

    def add(self, mean: Array, cov: Array, weight: Array, first: int) -> None:
        """Add the clusters from `first` on, whose coordinates have posterior `mean` and `cov`."""
        count, root = len(mean), self.root
        z, log_weight = self.root_rule
        above = cov[:, root][:, :, root]
        nodes, prior = _placed(mean[:, root], above, z)
        log_p = log_weight + prior
        leaves = []
        for leaf, (z_leaf, log_leaf) in zip(self.leaves, self.leaf_rules, strict=True):
            own = leaf.coordinates
            across = cov[:, root][:, :, own]
            slope = np.linalg.solve(above, across)
            below = cov[:, own][:, :, own] - np.swapaxes(across, 1, 2) @ slope
            centre = mean[:, None, own] + (nodes - mean[:, None, root]) @ slope
            leaf_nodes, leaf_prior = _placed(centre, below[:, None], z_leaf)
            shape = (count, len(z), len(z_leaf))
            spread = np.broadcast_to(nodes[:, :, None], (*shape, len(root)))
            path = np.concatenate([spread, leaf_nodes], axis=3).reshape(count, -1, len(root) + len(own))
            coordinates = [*root, *own]
            scores = [
                _Scores(self.objective.units[r], self.all_forms[r], path, coordinates, first)
                for r in leaf.members
            ]
            inner = log_leaf + leaf_prior
            for part in scores:
                inner[part.rows] += part.value.reshape(-1, *shape[1:])
            top = inner.max(axis=2, keepdims=True)
            inner = np.exp(inner - top)
            total = inner.sum(axis=2, keepdims=True)
            log_p += (top + np.log(total))[:, :, 0]
            leaves.append((leaf, scores, path, inner / total))
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        self._add_scores(leaves, p, weight)

    def _add_scores(
        self, leaves: list[tuple[_Leaf, list[_Scores], Array, Array]], p: Array, weight: Array
    ) -> None:
        count, roots = p.shape
        between, places = [], []
        for leaf, scores, path, inner in leaves:
            joint = (weight[:, None, None] * p[:, :, None] * inner).reshape(count, -1)
            basis = np.concatenate([np.ones((1, *path.shape[:2])), np.moveaxis(path, 2, 0)])
            at = [self.columns[r] for r in leaf.members]
            scored = np.zeros((sum(len(c) for own in at for c in own), *joint.shape))
            begin = 0
            for part, own in zip(scores, at, strict=True):
                weighted, base = joint[part.rows], basis[:, part.rows]
                for a, columns in enumerate(own):
                    if a in part.first:
                        for k in range(len(columns)):
                            scored[begin + k, part.rows] = part.first[a] * base[k]
                    begin += len(columns)
                for (a, b), curve in part.second.items():
                    bent = (base[: len(own[a])] * (curve * weighted)).reshape(len(own[a]), -1)
                    value = bent @ base[: len(own[b])].reshape(len(own[b]), -1).T
                    self.information[np.ix_(own[a], own[b])] -= value
                    if a != b:
                        self.information[np.ix_(own[b], own[a])] -= value.T
            place = np.concatenate([columns for own in at for columns in own]) if at else np.zeros(0, np.intp)
            nodes = scored.reshape(len(place), count, roots, -1)
            if nodes.shape[3] > 1:
                centre = np.einsum("mjrl,jrl->mjr", nodes, inner)
                nodes -= centre[:, :, :, None]
                nodes *= np.sqrt(joint).reshape(nodes.shape[1:])
                flat = nodes.reshape(len(place), -1)
                self.information[np.ix_(place, place)] -= flat @ flat.T
            else:
                centre = nodes[:, :, :, 0]
            between.append(centre)
            places.append(place)
        scored, place = np.concatenate(between), np.concatenate(places)
        centre = np.einsum("mjr,jr->mj", scored, p)
        self.gradient[place] += centre @ weight
        scored -= centre[:, :, None]
        scored *= np.sqrt(weight[:, None] * p)
        flat = scored.reshape(len(place), -1)
        self.information[np.ix_(place, place)] -= flat @ flat.T


def _local(objective: Objective, theta: Array, all_forms: Sequence[Sequence[Form]]) -> tuple[Array, Array]:
    """Return the information (M, M) and the gradient (M,) in the numbers of the responses."""
    level = objective.plan.levels[0]
    mean, cov = objective.standard_moments(theta)
    weight = np.ones(level.clusters) if level.weight is None else level.weight
    local = _Local(objective, all_forms)
    step = local.step()
    for first in range(0, level.clusters, step):
        chunk = slice(first, first + step)
        local.add(mean[chunk], cov[chunk], weight[chunk], first)
    return local.information, local.gradient


def louis_information(objective: Objective, theta: Array) -> Array:
    """Return the observed information, shape (P, P), of an objective to which it `applies`.

    It is that of the likelihood itself, with expectations by the objective's rule around posterior means: as
    accurate as the rule, not the exact derivative of the rule's own error.
    """
    space = objective.space

    def pulled(at: Array, adjoint: Callable[[int], tuple[Array, Array]], tops: int) -> Array:
        """Return what adjoints of every predictor's form mean for theta, (tops, P)."""
        factors = objective.factors(at)
        state = Backward([Sums(None)], at, factors, objective.latent_forms(at, factors), tops)
        predictors = (predictor for units in objective.units for predictor in units.predictors)
        for place, predictor in enumerate(predictors):
            offset, slope = adjoint(place)
            predictor.pull(space, Adjoint(offset, True, slope, True), Sums(None), state)
        objective.pull_latents(at, state)
        return state.out

    factors = objective.factors(theta)
    latents = objective.latent_forms(theta, factors)
    made = [[p.form(space, theta, factors, latents) for p in units.predictors] for units in objective.units]
    information, gradient = _local(objective, theta, made)
    width = 1 + space.width
    identity, gradients = np.eye(len(gradient)), gradient.reshape(-1, width)

    def unit(place: int) -> tuple[Array, Array]:
        rows = identity[:, place * width : (place + 1) * width]
        return rows[:, 0].copy(), rows[:, 1:].copy()

    def fixed(place: int) -> tuple[Array, Array]:
        return gradients[place, :1].copy(), gradients[place : place + 1, 1:].copy()

    jacobian = pulled(theta, unit, len(gradient))
    found: Array = jacobian.T @ information @ jacobian
    subtract_bending(objective.plan, theta, found, lambda at: pulled(at, fixed, 1)[0])
    return found


def subtract_bending(
    plan: Plan, theta: Array, information: Array, gradient: Callable[[Array], Array]
) -> None:
    """Take from an information matrix what comes of predictors that are not linear in theta.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,)
    information : ndarray, shape (P, P)
        Changed in place.
    gradient : callable
        Of theta: the gradient there for the adjoints of the predictors at `theta`.
    """
    # predictors are linear in their own coefficients: what bends them is what makes the latent variables
    inner = _inner(plan)
    curved = np.empty((len(inner), len(theta)))
    for row, k in zip(curved, inner, strict=True):
        h = STEP * max(1.0, abs(theta[k]))
        up, down = theta.copy(), theta.copy()
        up[k] += h
        down[k] -= h
        row[:] = (gradient(up) - gradient(down)) / (2.0 * h)
    outer = np.setdiff1d(np.arange(len(theta)), inner)
    information[np.ix_(inner, inner)] -= 0.5 * (curved[:, inner] + curved[:, inner].T)
    information[np.ix_(inner, outer)] -= curved[:, outer]
    information[np.ix_(outer, inner)] -= curved[:, outer].T


def _inner(plan: Plan) -> Index:
    """Return the parameters that the latent variables depend on, ascending."""
    level = plan.levels[0]
    parts = [level.factor.ravel(), *(block.index.ravel() for block in level.blocks)]
    for latent in plan.latents:
        for predictor in (latent.predictor, latent.scale):
            if predictor is not None:
                parts += [predictor.coefficient, *(term.coefficient for term in predictor.terms)]
    found = np.unique(np.concatenate(parts))
    return found[found >= 0].astype(np.intp)
