"""Quadrature rules for standard normal latent variables."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

__all__ = ["product_rule"]


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
