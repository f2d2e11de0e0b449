"""Observed information by Louis's formula, with sums over nodes that all clusters share.

The scores of a cluster at node k are ``T_jk = sum_u c_ju S_u(k)``, c its counts of distinct units and S the
scores of these. What is missing of the complete-data information,

    sum_j w_j (sum_k p_jk T_jk T_jk' - M_j M_j'),    M_j = sum_k p_jk T_jk,

needs of the clusters only the weighted cross-products of their counts at each node, and these are small where
distinct units are few.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from glamm.inference.discrete_units import Densities
from glamm.inference.louis import subtract_bending
from glamm.inference.shared import SharedObjective
from glamm.numdiff import pairs

Array = NDArray[np.float64]

__all__ = ["complete_information", "shared_information"]

NEGLIGIBLE = 1e-11
"""Posterior probability of a node, relative to a cluster's weight, that is left out of cross-products."""

COLUMNS = 2.0
"""Distinct units for each parameter up to which cross-products of counts are the short way."""

NODES_AT_A_TIME = 200_000
"""Numbers of cross-products that are worked on at once."""

MOST_PRODUCTS = 20_000_000
"""Numbers that cross-products of counts at all nodes may have."""


def shared_information(objective: SharedObjective, theta: Array, every: int = 1) -> Array | None:
    """Return the observed information (P, P) by the objective's nodes; None where that takes too long.

    Parameters
    ----------
    objective : SharedObjective
    theta : ndarray, shape (P,)
    every : int
        Of so many clusters one stands for the others: 1 for the information itself, more for a rough one.
    """
    columns = len(objective.counts.kept) + 1
    many = columns > COLUMNS * len(theta) or columns**2 * len(objective.nodes) > MOST_PRODUCTS
    at = None if many else objective.densities(theta)
    if at is None:
        return None
    value = np.concatenate([d.value for d in at])
    blocks = _Blocks(objective, theta, at)
    weight, missing = _missing(objective, value, blocks, every)
    found = blocks.complete(weight) - missing
    adjoints = objective.adjoints(at, weight)
    subtract_bending(objective.plan, theta, found, lambda near: objective.chain.pull(near, adjoints)[0])
    return found


def complete_information(objective: SharedObjective, theta: Array) -> Array:
    """Return the information (P, P) there would be if posterior probabilities of the nodes were data."""
    at = objective.densities(theta)
    assert at is not None
    found = objective.sweep(np.concatenate([d.value for d in at]))
    return _Blocks(objective, theta, at).complete(found.weight)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Scores of the distinct units of a response by way of one offset or slope.

    Attributes
    ----------
    response, channel : int
    rows : slice
        Of the units among all distinct ones.
    jacobian : csr_array, shape (n, P)
        What the offset or slope of each unit means for theta.
    basis : ndarray, shape (K,)
        Ones for an offset, the coordinate at the nodes for a slope.
    factor : ndarray, shape (n, K)
        First derivatives in the channel times the basis.
    """

    response: int
    channel: int
    rows: slice
    jacobian: sparse.csr_array
    basis: Array
    factor: Array


class _Blocks:
    """Scores of the distinct units at the nodes."""

    def __init__(self, objective: SharedObjective, theta: Array, at: list[Densities]) -> None:
        self._at, self._counts, self.size = at, objective.counts, len(theta)
        chain, nodes = objective.chain, objective.nodes
        self._blocks: list[_Block] = []
        for r, (units, rows) in enumerate(zip(chain.units, chain.rows, strict=True)):
            for channel in range(units.channels):
                for k in range(-1, nodes.shape[1] if channel in units.active else 0):
                    adjoints = [
                        (np.zeros((u.channels, u.n)), np.zeros((len(u.active), u.n, nodes.shape[1])))
                        for u in chain.units
                    ]
                    if k < 0:
                        adjoints[r][0][channel] = 1.0
                    else:
                        adjoints[r][1][np.searchsorted(units.active, channel), :, k] = 1.0
                    jacobian = sparse.csr_array(chain.pull(theta, adjoints, chain.size)[rows])
                    if jacobian.nnz:
                        basis = np.ones(len(nodes)) if k < 0 else nodes[:, k]
                        factor = at[r].first[channel] * basis
                        self._blocks.append(_Block(r, channel, rows, jacobian, basis, factor))

    def means(self, p: Array, counts: Array) -> Array:
        """Return posterior means (P, n) of clusters' scores for probabilities (n, K) and counts (U, n)."""
        total = np.zeros((self.size, len(p)))
        for block in self._blocks:
            total += block.jacobian.T @ (counts[block.rows] * (block.factor @ p.T))
        return total

    def crossed(self, products: Array) -> Array:
        """Return weighted cross-products of scores (P, P) from those of counts at each node.

        Parameters
        ----------
        products : ndarray, shape (K, 1 + V, 1 + V)
            Of ones and of the counts that are summed.
        """
        lower = [(block, other) for b, block in enumerate(self._blocks) for other in self._blocks[: b + 1]]
        totals = [np.zeros((len(block.factor), len(other.factor))) for block, other in lower]
        step = max(1, NODES_AT_A_TIME // products[0].size)
        for first in range(0, len(products), step):
            nodes = slice(first, first + step)
            whole = self._counts.whole_products(products[nodes])
            for total, (block, other) in zip(totals, lower, strict=True):
                weighted = whole[:, block.rows, other.rows] * block.factor.T[nodes, :, None]
                weighted *= other.factor.T[nodes, None, :]
                total += weighted.sum(axis=0)
        found = np.zeros((self.size, self.size))
        for total, (block, other) in zip(totals, lower, strict=True):
            part = block.jacobian.T @ (other.jacobian.T @ total.T).T
            found += part if block is other else part + part.T
        return found

    def complete(self, weight: Array) -> Array:
        """Return the information (P, P) there would be if weights (U, K) of units at nodes were data."""
        out = np.zeros((self.size, self.size))
        for block, other in itertools.product(self._blocks, repeat=2):
            if block.response != other.response or block.channel > other.channel:
                continue
            of = pairs(len(self._at[block.response].first)).index((block.channel, other.channel))
            curve = -weight[block.rows] * self._at[block.response].second[of]
            bent = block.jacobian.multiply((curve @ (block.basis * other.basis))[:, None])
            part = (bent.T @ other.jacobian).toarray()
            out += part if block.channel == other.channel else part + part.T
        return out


def _missing(objective: SharedObjective, value: Array, blocks: _Blocks, every: int) -> tuple[Array, Array]:
    """Return the weights (U, K) of the units at nodes, and the missing information (P, P)."""
    counts, nodes = objective.counts, len(objective.nodes)
    width = len(counts.kept) + 1
    products = np.zeros((nodes, width, width))
    between = np.zeros((blocks.size, blocks.size))
    taken = objective.weight[::every].sum()
    scale = objective.weight.sum() / taken if taken > 0.0 else 1.0
    for rows in objective.chunks(every):
        _, p = objective.probabilities(value, rows)
        weight = scale * objective.weight[rows]
        summed = np.ones((len(weight), width))
        summed[:, 1:] = counts.matrix[rows]
        mean = blocks.means(p, counts.full[rows].T.toarray(order="C")) * np.sqrt(weight)
        between += mean @ mean.T
        for k in range(nodes):
            near = np.flatnonzero(p[:, k] > NEGLIGIBLE)
            part = summed[near]
            part *= np.sqrt(p[near, k] * weight[near])[:, None]
            products[k] += part.T @ part
    weights = counts.whole(products[:, 1:, 0].T, products[:, 0, 0])
    return weights, blocks.crossed(products) - between
