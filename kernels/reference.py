"""NumPy twin of the engine: nested adaptive quadrature, written for reading, not for speed.

A unit of the tree (a cluster ``j`` of some level) has standard normal coordinates ``u_j``. Given the
coordinates of the clusters above it, its contribution is

    F_j = log of the integral of  phi(u_j) * prod_i f(y_i | u)^w_i * prod_c exp(w_c F_c)  over u_j

where ``i`` runs over its rows (lowest level) and ``c`` over the clusters directly below. `adaptive` puts
Gauss-Hermite nodes at the mode of the joint log density ``g`` of all coordinates, scaled by the Cholesky
factor of minus its Hessian, ``H = L L'`` (a block for each top-level cluster). The coordinates are ordered
leaves first, so ``u = mode + L^{-T} z`` gives the nodes of a cluster conditional on those above it
(Pinheiro and Chao 2006). `brute` integrates the same nested form on a fixed dense grid, with nothing that
adapts to the data. Both are arrays and callables in, arrays out.
"""

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

__all__ = ["Integral", "Level", "Response", "adaptive", "brute"]


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
    """

    clusters: int
    dimension: int
    parent: Index | None = None
    weight: Array | None = None


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
    mean : tuple of ndarray, shape (clusters, q)
        Posterior means of the standard coordinates, a level each.
    covariance : tuple of ndarray, shape (clusters, q, q)
    """

    loglik: Array
    total: float
    mean: tuple[Array, ...]
    covariance: tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Forest:
    levels: Sequence[Level]
    responses: Sequence[Response]
    columns: list[slice]  # of each level in a row's loadings
    children: list[list[list[int]]]  # [level][cluster] -> clusters of the level below
    rows: list[list[Index]]  # [response][lowest cluster] -> rows

    def weight(self, level: int, j: int) -> float:
        weights = self.levels[level].weight
        return 1.0 if weights is None else float(weights[j])


def _forest(levels: Sequence[Level], responses: Sequence[Response]) -> _Forest:
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
    return _Forest(levels, responses, columns, children, rows)


# ------------------------------------------------ the nested sum, whatever the nodes


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    level: int
    cluster: int
    first: Array  # (N, q), given each of N nodes of the clusters above
    second: Array  # (N, q, q)


def _log_sum_exp(x: Array) -> Array:
    top = np.max(x, axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.sum(np.exp(x - top), axis=1)) + top[:, 0]
    return total


def _unit(forest: _Forest, rule: Rule, level: int, j: int, above: Array) -> tuple[Array, list[_Moments]]:
    """Return F_j, shape (N,), and the moments in its subtree, given N nodes `above`, shape (N, Q)."""
    nodes, log_weight = rule(level, j, above)
    n, m, q = nodes.shape
    path = np.repeat(above, m, axis=0)
    path[:, forest.columns[level]] = nodes.reshape(n * m, q)
    value = np.zeros(n * m)
    inner: list[_Moments] = []
    for child in forest.children[level][j]:
        part, moments = _unit(forest, rule, level - 1, child, path)
        if forest.weight(level - 1, child) > 0:
            value += forest.weight(level - 1, child) * part
        inner += moments
    if level == 0:
        for response, rows in zip(forest.responses, forest.rows, strict=True):
            i = rows[j]
            if i.size:
                nu = response.channels(i, path)
                weight = np.ones(i.size) if response.weight is None else response.weight[i]
                value += response.block(i, list(nu), 0)[0][0] @ weight
    total = log_weight + value.reshape(n, m)
    result = _log_sum_exp(total)
    share = np.exp(total - result[:, None])
    own = _Moments(
        level,
        j,
        np.einsum("nm,nmq->nq", share, nodes),
        np.einsum("nm,nmq,nms->nqs", share, nodes, nodes),
    )
    averaged = [
        _Moments(
            x.level,
            x.cluster,
            np.einsum("nm,nmq->nq", share, x.first.reshape(n, m, -1)),
            np.einsum("nm,nmqs->nqs", share, x.second.reshape(n, m, *x.second.shape[1:])),
        )
        for x in inner
    ]
    return result, [own, *averaged]


def _integrate(forest: _Forest, rule: Rule) -> Integral:
    levels = forest.levels
    top = len(levels) - 1
    loglik = np.zeros(levels[top].clusters)
    mean = tuple(np.zeros((x.clusters, x.dimension)) for x in levels)
    covariance = tuple(np.zeros((x.clusters, x.dimension, x.dimension)) for x in levels)
    start = np.zeros((1, forest.columns[-1].stop))
    for t in range(levels[top].clusters):
        value, moments = _unit(forest, rule, top, t, start)
        loglik[t] = value[0]
        for x in moments:
            mean[x.level][x.cluster] = x.first[0]
            covariance[x.level][x.cluster] = x.second[0] - np.outer(x.first[0], x.first[0])
    weights = levels[top].weight
    total = float(loglik.sum() if weights is None else np.sum(loglik[weights > 0] * weights[weights > 0]))
    return Integral(loglik, total, mean, covariance)


# ------------------------------------------------ adaptive nodes


@dataclass(frozen=True, slots=True, eq=False)
class _Joint:
    """The joint vector of the coordinates of all clusters, leaves first.

    A cluster counts with `weight`: the product of its own weight and of those above it, without the
    top's. `path`, shape (lowest clusters, Q), gives the positions of the coordinates that rows see.
    """

    forest: _Forest
    place: dict[tuple[int, int], slice]
    weight: dict[tuple[int, int], float]
    path: Index
    size: int

    def evaluate(self, u: Array) -> tuple[float, Array, Array]:
        """Return g, its gradient and minus its Hessian at `u`, shape (size,)."""
        prior = np.zeros(self.size)
        for unit, place in self.place.items():
            prior[place] = self.weight[unit]
        value = -0.5 * float(prior @ u**2)
        gradient = -prior * u
        hessian = np.diag(np.where(prior > 0, prior, 1.0))  # weight 0: any block that is regular
        lowest = np.array([self.weight[0, j] for j in range(len(self.path))])
        for response in self.forest.responses:
            weight = lowest[response.cluster] * (1.0 if response.weight is None else response.weight)
            rows = np.flatnonzero(weight > 0)
            w, path = weight[rows], self.path[response.cluster[rows]]
            bend = response.bend(rows)
            bent = np.einsum("nkqs,ns->nkq", bend, u[path])
            nu = response.offset[rows] + np.einsum("nkq,nq->nk", response.loading[rows] + bent / 2, u[path])
            a = response.loading[rows] + bent
            k = a.shape[1]
            (ll,), d1, d2 = response.block(rows, list(nu.T[:, None, :]), 2)
            slope = np.stack([np.broadcast_to(d, (1, rows.size))[0] for d in d1], axis=1)
            curvature = np.zeros((rows.size, k, k))
            for (r, c), d in zip(itertools.combinations_with_replacement(range(k), 2), d2, strict=True):
                curvature[:, r, c] = curvature[:, c, r] = np.broadcast_to(d, (1, rows.size))[0]
            value += float(w @ ll[0])
            np.add.at(gradient, path, np.einsum("n,nk,nkq->nq", w, slope, a))
            weighted = np.einsum("n,nkl,nls->nks", w, curvature, a)
            second = np.einsum("nkq,nks->nqs", a, weighted) + np.einsum("n,nk,nkqs->nqs", w, slope, bend)
            np.add.at(hessian, (path[:, :, None], path[:, None, :]), -second)
        return value, gradient, hessian


def _joint(forest: _Forest) -> _Joint:
    top = len(forest.levels) - 1
    units = [(top, j) for j in range(forest.levels[top].clusters)]
    weight = dict.fromkeys(units, 1.0)
    above: dict[tuple[int, int], list[tuple[int, int]]] = {unit: [] for unit in units}
    for level, j in units:  # grows while it runs: the top first
        for child in forest.children[level][j]:
            unit = (level - 1, child)
            units.append(unit)
            weight[unit] = weight[level, j] * forest.weight(*unit)
            above[unit] = [(level, j), *above[level, j]]
    place = {}
    size = 0
    for unit in reversed(units):
        place[unit] = slice(size, size + forest.levels[unit[0]].dimension)
        size = place[unit].stop
    positions = np.arange(size)
    path = [
        np.concatenate([positions[place[x]] for x in ((0, j), *above[0, j])])
        for j in range(forest.levels[0].clusters)
    ]
    return _Joint(forest, place, weight, np.array(path, dtype=np.intp), size)


def _mode(joint: _Joint) -> tuple[Array, Array]:
    """Return the mode of g, shape (size,), and minus its Hessian there."""
    u = np.zeros(joint.size)
    value, gradient, hessian = joint.evaluate(u)
    best = np.inf
    for _ in range(200):
        roots, vectors = np.linalg.eigh(hessian)
        roots = np.maximum(np.abs(roots), 1e-8)
        step = vectors @ ((vectors.T @ gradient) / roots)
        decrement = float(gradient @ step)
        if decrement < 1e-22 or (decrement < 1e-16 and decrement >= best):
            break
        best = decrement
        length = 1.0
        for _ in range(60):
            trial = joint.evaluate(u + length * step)
            if trial[0] >= value - 1e-12 * (1 + abs(value)):
                break
            length *= 0.5
        u = u + length * step
        value, gradient, hessian = trial
    return u, hessian


def gauss_hermite(points: int, dimension: int) -> tuple[Array, Array]:
    """Return nodes, shape (points**dimension, dimension), and log weights for the standard normal."""
    z, w = np.polynomial.hermite_e.hermegauss(points)
    log_w = np.log(w / w.sum())
    index = np.array(list(itertools.product(range(points), repeat=dimension)), dtype=int)
    index = index.reshape(points**dimension, dimension)
    return z[index], log_w[index].sum(axis=1)


def adaptive(levels: Sequence[Level], responses: Sequence[Response], points: Sequence[int]) -> Integral:
    """Return the adaptive Gauss-Hermite approximation of the log-likelihood and posterior moments.

    Parameters
    ----------
    levels : sequence of Level
    responses : sequence of Response
    points : sequence of int
        Points for each coordinate of each level; 1 everywhere is Laplace's approximation.
    """
    forest = _forest(levels, responses)
    rules = [gauss_hermite(p, level.dimension) for p, level in zip(points, levels, strict=True)]

    joint = _joint(forest)
    mode, hessian = _mode(joint)
    factor = np.linalg.cholesky(hessian)
    parent = [level.parent for level in levels]

    def rule(level: int, j: int, above: Array) -> tuple[Array, Array]:
        here = joint.place[level, j]
        own = factor[here, here]
        shift = np.zeros((above.shape[0], here.stop - here.start))
        upper, cluster = level, j
        while (parents := parent[upper]) is not None:
            upper, cluster = upper + 1, int(parents[cluster])
            there = joint.place[upper, cluster]
            shift -= (above[:, forest.columns[upper]] - mode[there]) @ factor[there, here]
        # The factor of a block repeated w times is sqrt(w) times that of one copy.
        root = np.sqrt(joint.weight[level, j]) or 1.0
        z, log_w = rules[level]
        right = root * z[None, :, :] + shift[:, None, :]
        nodes = mode[here] + np.einsum("pq,nmp->nmq", np.linalg.inv(own), right)
        log_det = np.sum(np.log(np.diag(own) / root))
        log_weight = log_w + 0.5 * np.sum(z**2, axis=1) - log_det - 0.5 * np.sum(nodes**2, axis=2)
        return nodes, log_weight

    return _integrate(forest, rule)


# ------------------------------------------------ a fixed grid


def brute(
    levels: Sequence[Level], responses: Sequence[Response], *, step: float = 0.1, reach: float = 9.0
) -> Integral:
    """Return the log-likelihood and posterior moments by the trapezoidal rule on a fixed grid.

    Parameters
    ----------
    levels : sequence of Level
        With one or two coordinates in all, or the grid is very large.
    responses : sequence of Response
    step : float
        Distance of grid points, in prior standard deviations; the error falls as exp(-2 (pi / step)^2)
        until the integrand is narrower than the grid.
    reach : float
        The grid spans ``[-reach, reach]``.
    """
    forest = _forest(levels, responses)
    line = np.arange(-round(reach / step), round(reach / step) + 1) * step

    def rule(level: int, j: int, above: Array) -> tuple[Array, Array]:
        del j
        q = levels[level].dimension
        grid = np.array(list(itertools.product(line, repeat=q)), dtype=float).reshape(-1, q)
        log_weight = q * np.log(step / np.sqrt(2 * np.pi)) - 0.5 * np.sum(grid**2, axis=1)
        n = above.shape[0]
        return np.broadcast_to(grid, (n, *grid.shape)), np.broadcast_to(log_weight, (n, grid.shape[0]))

    return _integrate(forest, rule)
