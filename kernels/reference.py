"""NumPy twin of the engine: nested adaptive quadrature, written for reading, not for speed.

A unit of the tree (a cluster ``j`` of some level) has standard normal coordinates ``u_j``. Given the
coordinates of the clusters above it, its contribution is

    F_j = log of the integral of  phi(u_j) * prod_i f(y_i | u)^w_i * prod_c exp(w_c F_c)  over u_j

where ``i`` runs over its rows (lowest level) and ``c`` over the clusters directly below. Clusters that are
alternatives of each other (a group) count together: the sum of the members' ``exp(F_c)``, to the power of
their weight, takes the place of ``exp(w_c F_c)``. `adaptive` puts Gauss-Hermite nodes at the mode of the
joint log density ``g`` of all coordinates, scaled by the Cholesky factor of minus its Hessian, ``H = L L'``
(a block for each top-level cluster). The coordinates are ordered leaves first, so ``u = mode + L^{-T} z``
gives the nodes of a cluster conditional on those above it (Pinheiro and Chao 2006). `brute` integrates the
same nested form on a fixed dense grid, with nothing that adapts to the data, `held` at nodes that are
given. All are arrays and callables in, arrays out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glamm.kernels.reference_tree import (
    Array,
    Block,
    Forest,
    Index,
    Integral,
    Level,
    Response,
    forest_of,
    integrate,
)

__all__ = ["Block", "Integral", "Level", "Response", "adaptive", "brute", "held"]


# ------------------------------------------------ adaptive nodes


@dataclass(frozen=True, slots=True, eq=False)
class _Joint:
    """The joint vector of the coordinates of all clusters, leaves first.

    A cluster counts with `weight`: the product of its own weight and of those above it, without the
    top's. `path`, shape (lowest clusters, Q), gives the positions of the coordinates that rows see.
    """

    forest: Forest
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


def _joint(forest: Forest) -> _Joint:
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

    Raises
    ------
    ValueError
        A level has groups: a mixture has no one mode.
    """
    if any(level.group is not None for level in levels):
        raise ValueError("groups need nodes that are given or a fixed grid")
    forest = forest_of(levels, responses)
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

    return integrate(forest, rule)


# ------------------------------------------------ given nodes


def held(
    levels: Sequence[Level],
    responses: Sequence[Response],
    points: Sequence[int],
    nodes: Sequence[tuple[Array, Array]],
) -> Integral:
    """Return the quadrature sum over given nodes and posterior moments.

    Parameters
    ----------
    levels : sequence of Level
    responses : sequence of Response
    points : sequence of int
        Points for each coordinate of each level.
    nodes : sequence of (ndarray, shape (clusters, q), ndarray, shape (clusters, p, p))
        Centres and spreads of each level: a cluster's path of p coordinates, its own first, has the nodes
        ``centre + spread z``, the centres those of the clusters along the path.
    """
    forest = forest_of(levels, responses)
    rules = [gauss_hermite(p, level.dimension) for p, level in zip(points, levels, strict=True)]
    parent = [level.parent for level in levels]

    def rule(level: int, j: int, above: Array) -> tuple[Array, Array]:
        centre, spread = nodes[level][0][j], nodes[level][1][j]
        q = centre.size
        upper, cluster, centres = level, j, [np.zeros(0)]
        while (parents := parent[upper]) is not None:
            upper, cluster = upper + 1, int(parents[cluster])
            centres.append(nodes[upper][0][cluster])
        moved = above[:, forest.columns[level].stop :] - np.concatenate(centres)
        given = np.linalg.solve(spread[q:, q:], moved.T).T
        z, log_w = rules[level]
        found = centre + z @ spread[:q, :q].T + (given @ spread[:q, q:].T)[:, None, :]
        log_det = np.linalg.slogdet(spread[:q, :q])[1]
        return found, log_w + 0.5 * np.sum(z**2, axis=1) + log_det - 0.5 * np.sum(found**2, axis=2)

    return integrate(forest, rule)


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
    forest = forest_of(levels, responses)
    line = np.arange(-round(reach / step), round(reach / step) + 1) * step

    def rule(level: int, j: int, above: Array) -> tuple[Array, Array]:
        del j
        q = levels[level].dimension
        grid = np.array(list(itertools.product(line, repeat=q)), dtype=float).reshape(line.size**q, q)
        log_weight = q * np.log(step / np.sqrt(2 * np.pi)) - 0.5 * np.sum(grid**2, axis=1)
        n = above.shape[0]
        return np.broadcast_to(grid, (n, *grid.shape)), np.broadcast_to(log_weight, (n, grid.shape[0]))

    return integrate(forest, rule)
