"""Quadrature rules for standard normal latent variables.

Up to `MOST_POINTS` a number of points counts the nodes of one dimension of a product rule; a larger one, a
power of two, counts nodes in all, scattered evenly over the dimensions. Product rules win in up to about
four dimensions; from there on their nodes are too many.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

Array = NDArray[np.float64]

__all__ = ["MOST_POINTS", "product_rule", "rule", "scattered_rule"]

MOST_POINTS = 200
"""Most points of a dimension; weights of rules much finer are too small to be numbers."""

FEWEST_SCATTERED = 32
"""Fewest nodes of a scattered rule."""

SEED = 20_060
"""Of the scrambling: the nodes are the same in every fit."""

WIDER = 1.15
"""Spread of scattered nodes relative to the normal with the integrand's curvature, whose tails are often
heavier."""


def rule(dimension: int, points: int, share: float = 1.0) -> tuple[Array, Array]:
    """Return nodes (M, dimension) and log weights (M,), see `product_rule`, that a number of points means.

    Parameters
    ----------
    dimension : int
    points : int
        Nodes of a dimension up to `MOST_POINTS`, nodes in all beyond; these are Gauss-Hermite's in one
        dimension.
    share : float
        Part of the dimensions of the level, where others are integrated one inside the other with these:
        the nodes in all are those of the level.
    """
    if points <= MOST_POINTS:
        return product_rule(dimension, points)
    nodes = points**share
    if dimension <= 1:
        return product_rule(dimension, min(round(nodes), MOST_POINTS))
    return scattered_rule(dimension, max(2 ** round(np.log2(nodes)), FEWEST_SCATTERED))


@lru_cache(maxsize=64)
def scattered_rule(dimension: int, nodes: int) -> tuple[Array, Array]:
    """Return a quasi-random rule in the form of `product_rule`.

    Half of the nodes are Sobol points, scrambled once and for all, mapped to the normal; the others are
    opposite to them. Importance weights account for their wider spread, and a linear map makes the second
    moments those of the normal, so that the rule is exact for polynomials of degree 3.

    Parameters
    ----------
    dimension : int
    nodes : int
        A power of two.
    """
    half: Array = ndtri(qmc.Sobol(dimension, scramble=True, rng=SEED).random(nodes // 2))
    z = WIDER * np.concatenate([half, -half])
    log_density = -0.5 * (1.0 - 1.0 / WIDER**2) * np.einsum("ni,ni->n", z, z)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    spread = np.linalg.cholesky(np.einsum("n,ni,nj->ij", weights, z, z))
    z = np.asarray(np.linalg.solve(spread, z.T).T)
    log_weights = np.log(weights) + 0.5 * np.einsum("ni,ni->n", z, z)
    for array in (z, log_weights):
        array.flags.writeable = False
    return z, log_weights


@lru_cache(maxsize=256)
def product_rule(dimension: int, points: int) -> tuple[Array, Array]:
    """Return the Gauss-Hermite product rule for adaptive quadrature.

    Parameters
    ----------
    dimension : int
        Number of latent coordinates, 0 gives one node without weight.
    points : int
        Nodes a coordinate; 1 is the Laplace approximation.

    Returns
    -------
    nodes : ndarray, shape (points ** dimension, dimension)
    log_weights : ndarray, shape (points ** dimension,)
        Log weights of the standard normal plus ``z'z / 2``, so that
        ``sum(exp(log_weights) * h(z))`` approximates the integral of ``h`` times
        ``exp(z'z / 2)`` under the normal density (Pinheiro and Chao 2006, eq. 8).
    """
    z, w = np.polynomial.hermite_e.hermegauss(points)
    log_w = np.log(w) - 0.5 * np.log(2.0 * np.pi) + 0.5 * z**2
    nodes = np.array(list(product(z, repeat=dimension))).reshape(points**dimension, dimension)
    log_weights = np.array([sum(pick) for pick in product(log_w, repeat=dimension)], dtype=float)
    for array in (nodes, log_weights):
        array.flags.writeable = False
    return nodes, log_weights
