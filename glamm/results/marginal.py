"""Means of a response integrated over normally distributed linear predictors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from glamm.protocols import Family

Array = NDArray[np.float64]

__all__ = ["marginal_mean"]

# a dimension's Gauss-Hermite points by the number of random linear predictors, one pass over the rows a
# node; a single one has `_trapezoid`
POINTS = {2: 25, 3: 13, 4: 9}
MOST_DIMENSIONS_POINTS = 5

TAIL = 8.5  # the normal distribution has no more than 1e-16 beyond it
MOST_SHIFT = 20.0
WIDEST_STEP = 0.3
STEP_BY_SD = 0.4


def _roots(covariance: Array) -> Array:
    """Return square roots of positive semi-definite matrices, shape (n, s, s)."""
    if covariance.shape[-1] == 1:
        return np.sqrt(np.maximum(covariance, 0.0))
    values, vectors = np.linalg.eigh(covariance)
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return root


def _trapezoid(sd: float) -> tuple[Array, Array]:
    """Return nodes and weights of the trapezoidal rule for one normal linear predictor.

    Its error falls exponentially in ``1 / step``, but as the standard deviation grows the inverse link
    becomes a jump on the scale of the nodes, so the step shrinks with it: 1e-10 for the distribution
    functions, whose nearest singularity or growth is ``pi / 2`` away from the real line. Exponential means
    shift the mass of the integrand by `sd`, so the range grows with it.

    Parameters
    ----------
    sd : float
        Largest standard deviation of the linear predictor.
    """
    step = min(WIDEST_STEP, STEP_BY_SD / sd)
    half = int(np.ceil((TAIL + min(sd, MOST_SHIFT)) / step))
    z: Array = step * np.arange(-half, half + 1, dtype=np.float64)
    weights: Array = np.exp(-0.5 * z * z)
    return z, weights


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
    if size == 1:
        z, w = _trapezoid(float(np.sqrt(covariance[:, random[0], random[0]].max())))
    else:
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
