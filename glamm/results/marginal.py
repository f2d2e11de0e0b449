"""Means of a response integrated over the distribution of its linear predictors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from glamm.inference.adjoints import Coordinates
from glamm.results.forms import Moments, RowForm
from glamm.results.laws import CoordinateLaw

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["marginal_mean", "mean_over_prior"]

Value = Callable[[list[Array]], Array]
"""A function of linear predictors: of K arrays of shape (n,), to one of shape (n, ...)."""

# a dimension's Gauss-Hermite points by the rank of the linear predictors' covariance matrix, one pass over
# the rows a node; a single dimension has `_trapezoid`
POINTS = {2: 25, 3: 13, 4: 9}
MOST_DIMENSIONS_POINTS = 5

RANK = 1e-12  # smaller eigenvalues of a covariance matrix, relative to the largest, are none
TAIL = 8.5  # the normal distribution has no more than 1e-16 beyond it
MOST_SHIFT = 20.0
WIDEST_STEP = 0.3
STEP_BY_SD = 0.4

# nodes of coordinates that are not normal, by the number of those that are integrated on their own: largest
# spacing, that by the slope of the linear predictor, error of the density's integral, and product of weights,
# relative to the largest one, of the nodes that are left out
LAW_NODES = {1: (0.1, 0.2, 1e-10, 0.0), 2: (0.25, 0.2, 1e-10, 1e-13)}
LAW_NODES_OF_MANY = (0.5, 1.0, 1e-5, 1e-8)

LIKELY = 0.5  # weights of nodes, relative to the largest, beside which one far out is kept


def _roots(covariance: Array) -> Array:
    """Return R with ``R R'`` the positive semi-definite matrices (n, s, s); shape (n, s, r), r their rank."""
    if covariance.shape[-1] == 1:
        return np.sqrt(np.maximum(covariance, 0.0))
    values, vectors = np.linalg.eigh(covariance)
    rank = int(np.sum(values > RANK * values[:, -1:], axis=1).max(initial=1))
    root: Array = vectors[:, :, -rank:] * np.sqrt(np.maximum(values[:, -rank:], 0.0))[:, None, :]
    return root


def _trapezoid(sd: float) -> tuple[Array, Array]:
    """Return nodes and weights of the trapezoidal rule for linear predictors of one normal variable.

    Its error falls exponentially in ``1 / step``, but as the standard deviation grows the inverse link
    becomes a jump on the scale of the nodes, so the step shrinks with it: 1e-10 for the distribution
    functions, whose nearest singularity or growth is ``pi / 2`` away from the real line. Exponential means
    shift the mass of the integrand by `sd`, so the range grows with it.

    Parameters
    ----------
    sd : float
        Largest standard deviation of a linear predictor, or largest norm of the predictors of a row.
    """
    step = min(WIDEST_STEP, STEP_BY_SD / sd)
    half = int(np.ceil((TAIL + min(sd, MOST_SHIFT)) / step))
    z: Array = step * np.arange(-half, half + 1, dtype=np.float64)
    weights: Array = np.exp(-0.5 * z * z)
    return z, weights


def marginal_mean(value: Value, centre: Sequence[Array], covariance: Array) -> Array:
    """Return the mean of a function of normal linear predictors.

    Parameters
    ----------
    value : callable
        Takes K ndarrays, shape (n,), and returns an ndarray, shape (n, ...).
    centre : sequence of K ndarrays, shape (n,)
        Means of the linear predictors.
    covariance : ndarray, shape (n, K, K)
        Covariance matrices of the linear predictors of each row.

    Returns
    -------
    ndarray, shape (n, ...)
    """
    random = [k for k in range(len(centre)) if np.any(covariance[:, k, k] > 0.0)]
    if not random:
        return np.asarray(value(list(centre)))
    root = _roots(covariance[np.ix_(range(len(covariance)), random, random)])
    size = root.shape[-1]
    if size == 1:
        z, w = _trapezoid(float(np.sqrt(np.sum(root**2, axis=1).max())))
    else:
        z, w = hermegauss(POINTS.get(size, MOST_DIMENSIONS_POINTS))
    w = w / w.sum()
    total: Array | float = 0.0
    for node in np.ndindex(*(len(z),) * size):
        weight = float(np.prod(w[list(node)]))
        shift = root @ z[list(node)]
        nu = [np.asarray(part, float) for part in centre]
        for position, k in enumerate(random):
            nu[k] = nu[k] + shift[:, position]
        total = total + weight * np.asarray(value(nu))
    return np.asarray(total)


def mean_over_prior(
    value: Value, forms: Sequence[RowForm], space: Coordinates, laws: Sequence[CoordinateLaw] = ()
) -> Array:
    """Return the mean of a function of linear predictors over standard coordinates.

    Given the coordinates that are not normal and those that the predictors multiply with each other, which
    have nodes of their own, the predictors are normal.

    Parameters
    ----------
    value : callable
        As in `marginal_mean`.
    forms : sequence of K RowForm
    space : Coordinates
    laws : sequence of CoordinateLaw
        Of the coordinates that are not normal.
    """
    n, width = len(forms[0].offset), space.width
    slopes = [np.zeros((n, space.slopes)) if form.slope is None else form.slope for form in forms]
    used = [pair for p, pair in enumerate(space.pairs) if any(np.any(s[:, width + p]) for s in slopes)]
    by_coordinate = {space.starts[law.level] + law.coordinate: law for law in laws}
    spread = {x: max(float(np.abs(s[:, x]).max(initial=0.0)) for s in slopes) for x in by_coordinate}
    apart = sorted({x for pair in used for x in pair} | {x for x, sd in spread.items() if sd > 0.0})
    rest = [x for x in range(width) if x not in apart]
    stacked = np.stack([slope[:, rest] for slope in slopes], axis=1)
    covariance = np.einsum("nkq,nmq->nkm", stacked, stacked)
    nodes = [_nodes_apart(x, len(apart), by_coordinate, spread) for x in apart]
    negligible = _law_nodes(len(apart))[3] if any(x in by_coordinate for x in apart) else 0.0
    total: Array | float = 0.0
    for node, weight in zip(*_products([w for _, w in nodes], negligible), strict=True):
        mean = np.zeros((1, width))
        mean[0, apart] = [z[k] for (z, _), k in zip(nodes, node, strict=True)]
        products = np.array([[mean[0, x] * mean[0, y] for x, y in space.pairs]])
        at = Moments(np.tile(mean, (n, 1)), np.tile(products.reshape(1, -1), (n, 1)))
        centre = [form.expected(at) for form in forms]
        total = total + weight * marginal_mean(value, centre, covariance)
    return np.asarray(total)


def _law_nodes(dimensions: int) -> tuple[float, float, float, float]:
    return LAW_NODES.get(dimensions, LAW_NODES_OF_MANY)


def _products(weights: Sequence[Array], negligible: float) -> tuple[Index, Array]:
    """Return the nodes of a product rule, by their numbers in each dimension (m, d), and their weights (m,).

    Parameters
    ----------
    weights : sequence of d ndarray
        Of the nodes in each dimension.
    negligible : float
        Weight, relative to the largest one, up to which a node is left out.
    """
    place, weight = np.zeros((1, 0), dtype=np.intp), np.ones(1)
    relative, least = np.ones(1), np.ones(1)
    for own in weights:
        first, second = np.repeat(np.arange(len(place)), len(own)), np.tile(np.arange(len(own)), len(place))
        size = own[second] / own.max()
        relative, least = relative[first] * size, np.minimum(least[first], size)
        # one far out says whether a mean exists
        kept = (relative > negligible) | (relative >= LIKELY * least)
        place = np.column_stack([place[first], second])[kept]
        weight, relative, least = (weight[first] * own[second])[kept], relative[kept], least[kept]
    return place, weight


def _nodes_apart(
    x: int, dimensions: int, laws: Mapping[int, CoordinateLaw], spread: Mapping[int, float]
) -> tuple[Array, Array]:
    """Return nodes and weights of coordinate x, one of several that are integrated on their own.

    Parameters
    ----------
    x, dimensions : int
    laws : mapping of coordinate to CoordinateLaw
    spread : mapping of coordinate to float
        Largest slope of a predictor in the coordinates of `laws`.
    """
    if x in laws:
        widest, by_slope, error, _ = _law_nodes(dimensions)
        return laws[x].nodes(min(widest, by_slope / max(spread[x], 1e-300)), error)
    z, w = hermegauss(POINTS.get(max(dimensions, 2), MOST_DIMENSIONS_POINTS))
    return z, w / w.sum()
