"""The models of the NumPy twin and its nested sum over nodes, whatever places them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Block = Callable[[Index, Sequence[Array], int], tuple[list[Array], ...]]
Rule = Callable[[int, int, Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """A level of clusters; levels are listed from the lowest (0) to the top.

    Attributes
    ----------
    clusters : int
    dimension : int
        Number ``q`` of coordinates of each cluster, possibly 0.
    parent : ndarray of intp, shape (clusters,), or None
        Cluster of the next higher level; None at the top.
    weight : ndarray, shape (clusters,), or None
        Frequency weights.
    group : ndarray of intp, shape (clusters,), or None
        Clusters of one group are alternatives of each other; they have one parent and one weight.
    """

    clusters: int
    dimension: int
    parent: Index | None = None
    weight: Array | None = None
    group: Index | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """All rows of one response.

    Attributes
    ----------
    block : callable
        ``block(rows, nu, order)`` returns ``([ll], d1, d2)`` up to `order`, arrays of shape
        (nodes, len(rows)), for channels ``nu`` of that shape; ``d2`` over pairs (0,0), (0,1) .. (1,1) ..
    offset : ndarray, shape (n, K)
    loading : ndarray, shape (n, K, Q)
        ``nu_ik = offset_ik + loading_ik' u`` with ``u`` the coordinates of all levels, level 0 first.
    cluster : ndarray of intp, shape (n,)
        Lowest-level cluster of each row.
    weight : ndarray, shape (n,), or None
    products : ndarray of intp, shape (P, 2), or None
        Pairs (x, y) of coordinates whose products ``u_x u_y`` enter the channels as well.
    coefficient : ndarray, shape (n, K, P), or None
        What the products are multiplied by.
    """

    block: Block
    offset: Array
    loading: Array
    cluster: Index
    weight: Array | None = None
    products: Index | None = None
    coefficient: Array | None = None

    def bend(self, rows: Index) -> Array:
        """Return the second derivatives of the channels in the coordinates, shape (rows, K, Q, Q)."""
        found = np.zeros((*self.loading[rows].shape, self.loading.shape[2]))
        if self.products is not None and self.coefficient is not None:
            for (x, y), c in zip(self.products, np.moveaxis(self.coefficient[rows], 2, 0), strict=True):
                found[:, :, x, y] += c
                found[:, :, y, x] += c
        return found

    def channels(self, rows: Index, u: Array) -> Array:
        """Return the channels of the rows, shape (K, N, rows), at coordinates `u`, shape (N, Q)."""
        nu: Array = self.offset[rows].T[:, None, :] + np.einsum("nq,ikq->kni", u, self.loading[rows])
        if self.products is not None and self.coefficient is not None:
            factors = u[:, self.products[:, 0]] * u[:, self.products[:, 1]]
            nu += np.einsum("np,ikp->kni", factors, self.coefficient[rows])
        return nu


@dataclass(frozen=True, slots=True, eq=False)
class Integral:
    """What the integration gives.

    Attributes
    ----------
    loglik : ndarray, shape (top clusters,)
        Log-likelihood of each top-level cluster, without its weight.
    total : float
        Sum of `loglik` times the weights of the top level.
    share : tuple of ndarray, shape (clusters,)
        Posterior probability of each cluster within its group, given that its ancestors are members of
        theirs; a level each.
    path_mean : tuple of ndarray, shape (clusters, p)
        Posterior means of the standard coordinates of each cluster and then its ancestors, given that all
        of them are members of their groups.
    path_covariance : tuple of ndarray, shape (clusters, p, p)
    mean, covariance : tuple of ndarray, shapes (clusters, q) and (clusters, q, q)
        The part of the cluster's own coordinates.
    """

    loglik: Array
    total: float
    share: tuple[Array, ...]
    path_mean: tuple[Array, ...]
    path_covariance: tuple[Array, ...]
    mean: tuple[Array, ...]
    covariance: tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Levels and responses with what the levels' parents say the other way round."""

    levels: Sequence[Level]
    responses: Sequence[Response]
    columns: list[slice]  # of each level in a row's loadings
    children: list[list[list[int]]]  # [level][cluster] -> clusters of the level below
    rows: list[list[Index]]  # [response][lowest cluster] -> rows

    def weight(self, level: int, j: int) -> float:
        """Return the frequency weight of a cluster."""
        weights = self.levels[level].weight
        return 1.0 if weights is None else float(weights[j])

    def groups(self, level: int, clusters: Sequence[int]) -> list[list[int]]:
        """Return the clusters of a level, all of one parent, in their groups."""
        group = self.levels[level].group
        if group is None:
            return [[j] for j in clusters]
        return [list(members) for _, members in itertools.groupby(clusters, key=lambda j: group[j])]


def forest_of(levels: Sequence[Level], responses: Sequence[Response]) -> Forest:
    """Return the forest of levels, lowest first, and responses."""
    ends = np.cumsum([level.dimension for level in levels])
    columns = [slice(int(e) - level.dimension, int(e)) for e, level in zip(ends, levels, strict=True)]
    children: list[list[list[int]]] = [[[] for _ in range(levels[0].clusters)]]
    for below, level in itertools.pairwise(levels):
        assert below.parent is not None
        families: list[list[int]] = [[] for _ in range(level.clusters)]
        for child, parent in enumerate(below.parent):
            families[parent].append(child)
        children.append(families)
    rows = [[np.flatnonzero(r.cluster == j) for j in range(levels[0].clusters)] for r in responses]
    return Forest(levels, responses, columns, children, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Expectations given each of N nodes of the clusters above; zero unless the cluster is a member."""

    level: int
    cluster: int
    share: Array  # (N,), of membership
    first: Array  # (N, p), of the path's coordinates
    second: Array  # (N, p, p)

    def average(self, weight: Array) -> _Moments:
        """Return the expectations over nodes given those above, `weight` of shape (N, M)."""
        n, m = weight.shape
        return _Moments(
            self.level,
            self.cluster,
            np.einsum("nm,nm->n", weight, self.share.reshape(n, m)),
            np.einsum("nm,nmq->nq", weight, self.first.reshape(n, m, -1)),
            np.einsum("nm,nmqs->nqs", weight, self.second.reshape(n, m, *self.second.shape[1:])),
        )


def _log_sum_exp(x: Array) -> Array:
    top = np.max(x, axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.sum(np.exp(x - top), axis=1)) + top[:, 0]
    return total


def _unit(forest: Forest, rule: Rule, level: int, j: int, above: Array) -> tuple[Array, list[_Moments]]:
    """Return F_j, shape (N,), and the moments in its subtree, given N nodes `above`, shape (N, Q)."""
    nodes, log_weight = rule(level, j, above)
    n, m, q = nodes.shape
    path = np.repeat(above, m, axis=0)
    path[:, forest.columns[level]] = nodes.reshape(n * m, q)
    value = np.zeros(n * m)
    inner: list[_Moments] = []
    for members in forest.groups(level - 1, forest.children[level][j]):
        parts = [_unit(forest, rule, level - 1, child, path) for child in members]
        each = np.stack([part for part, _ in parts], axis=1)
        mixed = _log_sum_exp(each)
        if forest.weight(level - 1, members[0]) > 0:
            value += forest.weight(level - 1, members[0]) * mixed
        share = np.exp(each - mixed[:, None])
        for k, (_, moments) in enumerate(parts):
            # one node for each of the nodes above: membership is a weight of its own
            inner += [x.average(share[:, k : k + 1]) for x in moments]
    if level == 0:
        for response, rows in zip(forest.responses, forest.rows, strict=True):
            i = rows[j]
            if i.size:
                nu = response.channels(i, path)
                weight = np.ones(i.size) if response.weight is None else response.weight[i]
                value += response.block(i, list(nu), 0)[0][0] @ weight
    total = log_weight + value.reshape(n, m)
    result = _log_sum_exp(total)
    coordinates = path[:, forest.columns[level].start :]
    own = _Moments(level, j, np.ones(n * m), coordinates, coordinates[:, :, None] * coordinates[:, None, :])
    weight = np.exp(total - result[:, None])
    return result, [x.average(weight) for x in (own, *inner)]


def integrate(forest: Forest, rule: Rule) -> Integral:
    """Return the nested sum over the nodes of a rule.

    Parameters
    ----------
    forest : Forest
    rule : callable
        ``rule(level, j, above)`` returns the nodes of a cluster, shape (N, M, q), and their log weights,
        broadcastable to (N, M), given N nodes of the clusters above it, shape (N, Q).
    """
    levels = forest.levels
    top = len(levels) - 1
    loglik = np.zeros(levels[top].clusters)
    width = forest.columns[-1].stop
    paths = [width - columns.start for columns in forest.columns]
    member = [np.ones(x.clusters) for x in levels]
    mean = tuple(np.zeros((x.clusters, p)) for x, p in zip(levels, paths, strict=True))
    covariance = tuple(np.zeros((x.clusters, p, p)) for x, p in zip(levels, paths, strict=True))
    for t in range(levels[top].clusters):
        value, moments = _unit(forest, rule, top, t, np.zeros((1, width)))
        loglik[t] = value[0]
        for x in moments:
            first = x.first[0] / x.share[0]
            member[x.level][x.cluster] = x.share[0]
            mean[x.level][x.cluster] = first
            covariance[x.level][x.cluster] = x.second[0] / x.share[0] - np.outer(first, first)
    weights = levels[top].weight
    total = float(loglik.sum() if weights is None else np.sum(loglik[weights > 0] * weights[weights > 0]))
    share = tuple(
        own if level.parent is None else own / above[level.parent]
        for level, own, above in zip(levels, member, [*member[1:], member[-1]], strict=True)
    )
    sizes = [level.dimension for level in levels]
    return Integral(
        loglik,
        total,
        share,
        mean,
        covariance,
        tuple(x[:, :q] for x, q in zip(mean, sizes, strict=True)),
        tuple(x[:, :q, :q] for x, q in zip(covariance, sizes, strict=True)),
    )
