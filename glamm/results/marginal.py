"""Means of a response integrated over normally distributed linear predictors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from glamm.protocols import Family

Array = NDArray[np.float64]

__all__ = ["marginal_mean"]

# a dimension's points by the number of random linear predictors: one pass over the rows a node
POINTS = {1: 61, 2: 25, 3: 13}
MOST_DIMENSIONS_POINTS = 5


def _roots(covariance: Array) -> Array:
    """Return square roots of positive semi-definite matrices, shape (n, s, s)."""
    if covariance.shape[-1] == 1:
        return np.sqrt(np.maximum(covariance, 0.0))
    values, vectors = np.linalg.eigh(covariance)
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return root


def marginal_mean(
    family: Family, categories: tuple[str, ...], centre: Sequence[Array], covariance: Array
) -> Array:
    """Return the mean of ``family.mean_value`` over normal linear predictors.

    Parameters
    ----------
    family : Family
    categories : tuple of str
    centre : sequence of K ndarrays, shape (n,)
        Means of the linear predictors.
    covariance : ndarray, shape (n, K, K)
        Covariance matrices of the linear predictors of each row.

    Returns
    -------
    ndarray, shape (n,) or (n, categories)
    """
    random = [k for k in range(len(centre)) if np.any(covariance[:, k, k] > 0.0)]
    if not random:
        return np.asarray(family.mean_value(categories, list(centre)))
    size = len(random)
    z, w = hermegauss(POINTS.get(size, MOST_DIMENSIONS_POINTS))
    w = w / w.sum()
    root = _roots(covariance[np.ix_(range(len(covariance)), random, random)])
    total: Array | float = 0.0
    for node in np.ndindex(*(len(z),) * size):
        weight = float(np.prod(w[list(node)]))
        shift = root @ z[list(node)]
        nu = [np.asarray(value, float) for value in centre]
        for position, k in enumerate(random):
            nu[k] = nu[k] + shift[:, position]
        total = total + weight * np.asarray(family.mean_value(categories, nu))
    return np.asarray(total)
