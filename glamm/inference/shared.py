"""The log-likelihood with nodes shared by all clusters, where many units are the same.

Distinct units (`glamm.inference.distinct`) meet K equally spaced nodes once. A matrix of counts, clusters by
distinct units, turns their log densities into those of the clusters, and posterior probabilities of the nodes
into the weights of the units' derivatives: two matrix products in the place of a sum over units and nodes.
Nodes are fixed, so the gradient is that of the sum without adjoints of modes; the error of the trapezoidal
rule falls exponentially in the square of posterior standard deviation over spacing.
"""

from __future__ import annotations

import itertools
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from glamm.compile.plan import Plan
from glamm.inference.discrete_units import Densities, LogDensities
from glamm.inference.distinct import Distinct
from glamm.inference.distinct_chain import DistinctChain
from glamm.inference.objective import Objective

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Posterior", "SharedObjective", "shared_objective"]

REACH = 6.5
"""Nodes lie between minus this and this: the normal distribution has 8e-11 of itself beyond."""

SPACING = 0.5
"""Of the nodes to begin with."""

MOST_NODES = 4000
"""Most nodes in all, before those far from 0 in both dimensions are left out."""

BEYOND = 1e-5
"""Largest posterior probability of nodes at the margin."""

REPEATS = 16
"""How often a distinct unit must be met, on the average: nodes are more than those of adaptive quadrature."""

MANY = 2_000
"""Units from which a fit takes long enough to be shortened."""

COLUMNS, COLUMNS_VECTORISED = 25, 5
"""Distinct units for each unit of a cluster up to which sweeps are faster than either engine."""

MOST_COUNTS = 40_000_000
"""Numbers that the matrix of counts may have."""

CHUNK = 400_000
"""Clusters times nodes at a time."""

LOWEST = -1e5
"""Log density in the place of minus infinity, which 0 times would not be a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What a sweep over clusters found.

    Attributes
    ----------
    loglik : ndarray, shape (clusters,)
    weight : ndarray, shape (U, K)
        Expected number of distinct units at each node.
    narrowest : float
        Smallest posterior standard deviation of a cluster in any direction; infinite if not looked at.
    beyond : float
        Largest posterior probability of the nodes at the margin; 0 if not looked at.
    """

    loglik: Array
    weight: Array
    narrowest: float
    beyond: float


class Counts:
    """How often each cluster has each distinct unit.

    Where all clusters have as many units of a response, one of its columns follows from the others, and only
    differences from its log densities are summed.

    Parameters
    ----------
    plan : Plan
        Of one level.
    distinct : Distinct

    Attributes
    ----------
    full : csr_array, shape (N, U)
    kept : ndarray of intp, shape (V,)
        Columns that are summed.
    reference : ndarray of intp, shape (V,)
        The column that each is compared with; -1 for none.
    matrix : ndarray, shape (N, V)
        Those columns.
    """

    def __init__(self, plan: Plan, distinct: Distinct) -> None:
        clusters, columns = plan.levels[0].clusters, distinct.plan.levels[0].clusters
        weights = [np.ones(len(r.cluster)) if r.weight is None else r.weight for r in plan.responses]
        place = np.concatenate([r.cluster for r in plan.responses]), np.concatenate(distinct.numbers)
        self.full = sparse.coo_array((np.concatenate(weights), place), shape=(clusters, columns)).tocsr()
        often = np.bincount(place[1], minlength=columns)
        reference = np.full(columns, -1, dtype=np.intp)
        total = np.zeros(columns)
        for response, weight, number in zip(plan.responses, weights, distinct.numbers, strict=True):
            if len(number):
                every = np.bincount(response.cluster, weight, minlength=clusters)
                own = slice(int(number.min()), int(number.max()) + 1)
                if every[0] > 0.0 and (every == every[0]).all():
                    first = own.start + int(np.argmax(often[own]))
                    reference[own], total[first] = first, every[0]
        self.kept = np.flatnonzero(reference != np.arange(columns)).astype(np.intp)
        self.reference = reference[self.kept]
        self._total = total
        # those that others are compared with, or would be were there others
        self._compared = np.flatnonzero(total).astype(np.intp)
        # columns of a response stand next to each other
        self._with_reference = np.flatnonzero(self.reference >= 0).astype(np.intp)
        change = np.diff(self.reference[self._with_reference], prepend=-1)
        self._begin = np.flatnonzero(change).astype(np.intp)
        self.matrix: Array = self.full[:, self.kept].toarray()

    def differences(self, values: Array) -> tuple[Array, Array]:
        """Return what all clusters have (1, ...) and what is to be summed (V, ...) of values (U, ...)."""
        found = values[self.kept]
        found[self._with_reference] -= values[self.reference[self._with_reference]]
        return np.tensordot(self._total, values, 1)[None], found

    def whole(self, sums: Array, total: Array) -> Array:
        """Return weighted sums of counts (U, K) from those of the kept columns (V, K) and of ones (K,)."""
        found = np.zeros((self.full.shape[1], sums.shape[1]))
        found[self._compared] = self._total[self._compared, None] * total
        found[self.kept] = sums
        if len(self._begin):
            places = self._with_reference
            found[self.reference[places[self._begin]]] -= np.add.reduceat(sums[places], self._begin)
        return found

    def whole_products(self, products: Array) -> Array:
        """Return cross-products of all counts, (k, U, U), from those of ones and kept ones, (k, V', V')."""
        for _ in range(2):
            nodes, width, other = products.shape
            flat = np.moveaxis(products, 1, 0).reshape(width, -1)
            products = self.whole(flat[1:], flat[0]).reshape(-1, nodes, other)
            # rows first, then columns
            products = np.moveaxis(products, 0, 2)
        return products


class SharedObjective:
    """Log-likelihood of a plan with nodes shared by all clusters.

    It has what the maximiser needs of the interface of `Objective`.

    Parameters
    ----------
    plan : Plan
        Of one level, see `shared_objective`.
    chain : DistinctChain
        Of its distinct units.
    spacing : float
        Of the nodes of a coordinate.
    """

    exact = False
    summed = False
    integration = ""

    def __init__(self, plan: Plan, chain: DistinctChain, spacing: float = SPACING) -> None:
        self.plan = plan
        self.n_parameters = plan.n_parameters
        level = plan.levels[0]
        self.weight = np.ones(level.clusters) if level.weight is None else level.weight
        self.chain = chain
        self.counts = Counts(plan, chain.distinct)
        self._densities = [
            LogDensities(units.plan.family, np.ascontiguousarray(units.plan.encoded.y, dtype=float))
            for units in self.chain.units
        ]
        self._set_nodes(spacing)

    def _set_nodes(self, spacing: float) -> None:
        self.spacing = spacing
        q, most = len(self.plan.levels[0].factor), int(np.ceil(REACH / spacing))
        line = spacing * np.arange(-most, most + 1)
        self.points = (len(line),)
        nodes = np.array(list(itertools.product(line, repeat=q)))
        square = np.einsum("ki,ki->k", nodes, nodes)
        near = square <= line[-1] ** 2
        self.nodes, square = nodes[near], square[near]
        self.log_weight = q * (np.log(spacing) - 0.5 * np.log(2.0 * np.pi)) - 0.5 * square
        self._margin = square > (line[-1] - 0.5 * spacing) ** 2

    def with_spacing(self, spacing: float) -> SharedObjective:
        """Return the same with other nodes."""
        other = copy(self)
        other._densities = [LogDensities(own.family, own.y) for own in self._densities]
        other._set_nodes(spacing)
        return other

    # ------------------------------------------------ evaluation

    def densities(self, theta: Array) -> list[Densities] | None:
        """Return log densities of the distinct units at the nodes, by response; None where there are none."""
        forms = self.chain.forms(theta)
        if forms is None:
            return None
        found = []
        for units, densities, (offset, slope) in zip(self.chain.units, self._densities, forms, strict=True):
            nu = np.repeat(offset[:, :, None], len(self.nodes), axis=2)
            nu[units.active] += slope @ self.nodes.T
            at = densities(nu)
            lost = ~(at.value > LOWEST)
            if lost.all(axis=1).any():
                return None
            if lost.any():
                value = np.where(lost, LOWEST, at.value)
                at = Densities(value, np.where(lost, 0.0, at.first), np.where(lost, 0.0, at.second))
            found.append(at)
        return found

    def chunks(self, every: int = 1) -> list[slice]:
        """Return ranges of clusters, or of one in `every`, that are taken at a time."""
        clusters = len(self.weight)
        step = every * max(1, CHUNK // len(self.nodes))
        return [slice(first, min(first + step, clusters), every) for first in range(0, clusters, step)]

    def probabilities(self, value: Array, rows: slice) -> tuple[Array, Array]:
        """Return log-likelihoods (n,) and posterior probabilities of nodes (n, K) of some clusters.

        Parameters
        ----------
        value : ndarray, shape (U, K)
            Log densities of the distinct units.
        rows : slice
        """
        every, differences = self.counts.differences(value)
        joint = self.counts.matrix[rows] @ differences
        joint += every + self.log_weight
        top = joint.max(axis=1)
        joint -= top[:, None]
        np.exp(joint, out=joint)
        total = joint.sum(axis=1)
        joint /= total[:, None]
        return top + np.log(total), joint

    def sweep(self, value: Array, judge: bool = False) -> Posterior:
        """Return the posterior of all clusters from log densities (U, K) of the distinct units.

        If not to `judge` the nodes, what tells how good they are is left out.
        """
        counts = self.counts
        loglik = np.empty(len(self.weight))
        sums, total = np.zeros((len(counts.kept), len(self.nodes))), np.zeros(len(self.nodes))
        narrowest, beyond = np.inf, 0.0
        for rows in self.chunks():
            loglik[rows], p = self.probabilities(value, rows)
            if judge:
                beyond = max(beyond, float(p[:, self._margin].sum(axis=1).max(initial=0.0)))
                narrowest = min(narrowest, self._narrowest(p))
            p *= self.weight[rows, None]
            sums += counts.matrix[rows].T @ p
            total += p.sum(axis=0)
        return Posterior(loglik, counts.whole(sums, total), narrowest, beyond)

    def _narrowest(self, p: Array) -> float:
        """Return the smallest posterior standard deviation that probabilities (n, K) of nodes have."""
        q = self.nodes.shape[1]
        products = np.einsum("ki,kj->kij", self.nodes, self.nodes).reshape(-1, q * q)
        mean = p @ self.nodes
        covariance = (p @ products).reshape(-1, q, q) - mean[:, :, None] * mean[:, None, :]
        variance = covariance.ravel() if q == 1 else np.linalg.eigvalsh(covariance)[:, 0]
        return float(np.sqrt(max(variance.min(initial=np.inf), 0.0)))

    def resolving(self, theta: Array, ratio: float) -> tuple[SharedObjective, float] | None:
        """Return the objective with nodes close and wide enough for the posteriors at theta, and its value.

        None where there are no such nodes, or too many.

        Parameters
        ----------
        theta : ndarray, shape (P,)
        ratio : float
            Largest spacing over the smallest posterior standard deviation of a cluster: its likelihood has a
            relative error of 9e-5 at 1.4, 2e-7 at 1.1, 6e-9 at 1.
        """
        objective = self
        while True:
            at = objective.densities(theta)
            if at is None:
                return None
            found = objective.sweep(np.concatenate([d.value for d in at]), judge=True)
            value = objective.total(found)
            if not np.isfinite(value) or found.beyond > BEYOND:
                return None
            if objective.spacing <= ratio * found.narrowest:
                return objective, value
            # a standard deviation much below the spacing is not to be trusted
            spacing = max(0.9 * ratio * found.narrowest, 0.5 * objective.spacing)
            if (2.0 * REACH / spacing) ** self.nodes.shape[1] > MOST_NODES:
                return None
            objective = objective.with_spacing(spacing)

    def value(self, theta: Array) -> float:
        """Return the log-likelihood; -inf where it cannot be computed."""
        at = self.densities(np.asarray(theta, float))
        if at is None:
            return -np.inf
        return self.total(self.sweep(np.concatenate([d.value for d in at])))

    def total(self, found: Posterior) -> float:
        """Return the log-likelihood that a sweep found."""
        return float(np.where(self.weight > 0.0, self.weight * found.loglik, 0.0).sum())

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, shape (n_parameters,)."""
        theta = np.asarray(theta, float)
        at = self.densities(theta)
        if at is None:
            return -np.inf, np.full(self.n_parameters, np.nan)
        found = self.sweep(np.concatenate([d.value for d in at]))
        return self.total(found), self.chain.pull(theta, self.adjoints(at, found.weight))[0]

    def adjoints(self, at: list[Densities], weight: Array) -> list[tuple[Array, Array]]:
        """Return adjoints of offsets (K, n) and slopes (active, n, q) by response, for weights (U, K)."""
        found = []
        for units, rows, d in zip(self.chain.units, self.chain.rows, at, strict=True):
            weighted = d.first * weight[rows]
            found.append((weighted.sum(axis=2), weighted[units.active] @ self.nodes))
        return found

    def accept(self) -> None:
        """Do nothing: nodes stay where they are."""


def shared_objective(objective: Objective) -> SharedObjective | None:
    """Return an objective's log-likelihood with shared nodes, or None where that would not be the faster way.

    There must be one or two coordinates of one level, many units for each distinct one, and few distinct ones
    beside those of a cluster.
    """
    plan = objective.plan
    count = sum(units.n for units in objective.units)
    if count < MANY or not 1 <= objective.space.width <= 2:
        return None
    chain = objective.distinct
    if chain is None or chain.size * REPEATS > count:
        return None
    clusters = plan.levels[0].clusters
    most = COLUMNS_VECTORISED if objective.vectorised else COLUMNS
    if chain.size * clusters > min(most * count, MOST_COUNTS):
        return None
    return SharedObjective(plan, chain)
