"""Observed information, what it leaves undetermined, and covariance matrices of the estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.inference.coordinates import Coordinates
from glamm.inference.optimize import Smooth, positive
from glamm.inference.status import Missing

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Information", "Uncertainty", "observed_information", "opg", "sandwich", "uncertainty"]

STEP = 4e-4
"""Difference step in standard errors: truncation is its square, rounding far below that."""

ONE_SIDED_STEP = 3e-5

ASYMMETRIC = 1e-4
"""Asymmetry of one-sided differences from which central ones replace them."""

WIDEST = 0.05
"""Widest difference step in any coordinate."""

FLAT = 2e-3
"""Information of the whole data, relative to one observation's, below which a direction is flat."""

MEMBER = 0.05
"""Share of a flat direction's largest component from which a parameter counts as moved by it."""

FAR = 4.0
"""Distance along flat directions that only a diverging estimate goes."""


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """Observed information of some parameters.

    Attributes
    ----------
    matrix : ndarray, shape (F, F)
    asymmetry : float
        Largest difference of the differences' matrix from its transpose, relative to its size.
    evaluations : int
    """

    matrix: Array
    asymmetry: float
    evaluations: int


def observed_information(
    objective: Smooth,
    theta: Array,
    curvature: Array,
    free: Index,
    *,
    gradient: Array | None = None,
) -> Information:
    """Return the negative Hessian over the parameters `free` by differences of the exact gradient.

    The differences run along the conjugate directions of `curvature`, so that badly scaled and nearly
    collinear parameters lose no digits.

    Parameters
    ----------
    objective : Smooth
    theta : ndarray, shape (P,)
    curvature : ndarray, shape (P, P)
        Approximate information.
    free : ndarray of intp, shape (F,)
    gradient : ndarray, shape (P,), optional
        At `theta`. If given, one-sided differences, half the work, are tried first; the symmetry of the
        result shows whether they are enough.
    """
    size = free.shape[0]
    within = positive(curvature[np.ix_(free, free)])
    scale = np.sqrt(np.diagonal(within))
    lower = np.linalg.cholesky(within / np.outer(scale, scale)) * scale[:, None]
    directions = np.linalg.inv(lower).T
    reach = np.max(np.abs(directions), axis=0)
    evaluations = 0
    centre = np.zeros(size)

    def differences(sides: tuple[float, ...], length: float) -> Array:
        """Return the whitened information from the gradients at the given sides of theta."""
        nonlocal evaluations
        found = np.empty((size, size))
        for k in range(size):
            h = min(length, WIDEST / reach[k])
            for _ in range(5):
                values = []
                for side in sides:
                    moved = theta.copy()
                    moved[free] += side * h * directions[:, k]
                    values.append(objective.value_and_gradient(moved)[1][free])
                evaluations += len(sides)
                if all(np.isfinite(v).all() for v in values):
                    break
                h /= 8.0
            fall = values[1] - values[0] if len(sides) == 2 else 2.0 * (centre - values[0])
            found[:, k] = directions.T @ fall / (2.0 * h)
        return found

    if gradient is not None and size > 1:
        centre = gradient[free]
        whitened = differences((1.0,), ONE_SIDED_STEP)
        asymmetry = _asymmetry(whitened)
        if asymmetry < ASYMMETRIC:
            return Information(_back(whitened, lower), asymmetry, evaluations)
    whitened = differences((1.0, -1.0), STEP)
    return Information(_back(whitened, lower), _asymmetry(whitened), evaluations)


def _asymmetry(matrix: Array) -> float:
    size = float(np.max(np.abs(matrix), initial=0.0))
    return float(np.max(np.abs(matrix - matrix.T), initial=0.0)) / size if size > 0.0 else 0.0


def _back(whitened: Array, lower: Array) -> Array:
    result: Array = lower @ (0.5 * (whitened + whitened.T)) @ lower.T
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Covariance matrix of the estimates and what it lacks.

    Attributes
    ----------
    covariance : ndarray, shape (P, P)
        NaN in rows and columns of parameters without one.
    missing : tuple of (int, Missing)
        Parameters without a standard error, and why.
    flat : tuple of ndarray, shape (P,)
        Directions along which the log-likelihood does not change, of unit length.
    condition : float
        Condition number of the information scaled to a unit diagonal, flat parameters left out.
    """

    covariance: Array
    missing: tuple[tuple[int, Missing], ...]
    flat: tuple[Array, ...]
    condition: float


def uncertainty(information: Array, phi: Array, at: Coordinates, free: Index) -> Uncertainty:
    """Return covariances of theta from the information of phi.

    Parameters
    ----------
    information : ndarray, shape (F, F)
        Of the coordinates `free`.
    phi : ndarray, shape (P,)
    at : Coordinates
    free : ndarray of intp, shape (F,)
    """
    size = phi.shape[0]
    covariance = np.full((size, size), np.nan)
    if not np.isfinite(information).all():
        missing = tuple((int(k), Missing.NOT_COMPUTED) for k in free)
        return Uncertainty(covariance, missing, (), float("nan"))
    values, vectors = np.linalg.eigh(information)
    limit = max(FLAT, 1e-10 * float(values.max(initial=0.0)))
    steep = values >= limit
    far = bool(np.linalg.norm(vectors[:, ~steep].T @ phi[free]) > FAR)
    back = at.transform[np.ix_(free, free)]
    length = at.unit[free]
    reasons: dict[int, Missing] = {}
    flat = []
    for value, vector in zip(values[~steep], vectors.T[~steep], strict=True):
        direction = back @ vector
        share = np.abs(direction) / length
        moved = free[share > MEMBER * share.max()]
        reason = Missing.UNIDENTIFIED
        if value < -100.0 * limit:
            reason = Missing.INDEFINITE
        elif far or not (at.about_latents[moved].any() or at.deficient[moved].any()):
            # a design of full rank loses its information only where the linear predictor diverges
            reason = Missing.DIVERGING
        reasons.update((int(k), reason) for k in moved)
        full = np.zeros(size)
        full[free] = direction / np.linalg.norm(direction)
        flat.append(full)
    good = np.array([k not in reasons for k in free], dtype=bool)
    root = back @ vectors[:, steep] / np.sqrt(values[steep])
    kept = free[good]
    covariance[np.ix_(kept, kept)] = root[good] @ root[good].T
    onward = at.inverse[np.ix_(free, free)][:, good]
    condition = _condition(onward.T @ information @ onward)
    return Uncertainty(covariance, tuple(sorted(reasons.items(), key=lambda r: r[0])), tuple(flat), condition)


def _condition(information: Array) -> float:
    if not information.size:
        return float("nan")
    scale = np.sqrt(np.abs(np.diagonal(information)))
    values = np.linalg.eigvalsh(information / np.outer(scale, scale))
    return float(values[-1] / values[0]) if values[0] > 0.0 else float("inf")


def opg(scores: Array, free: Index | None = None) -> Array:
    """Return the inverse of the outer product of cluster scores (J, P), NaN outside `free`."""
    size = scores.shape[1]
    free = np.arange(size) if free is None else free
    result = np.full((size, size), np.nan)
    result[np.ix_(free, free)] = np.linalg.pinv(scores[:, free].T @ scores[:, free], hermitian=True)
    return result


def sandwich(covariance: Array, scores: Array, weight: Array | None = None) -> Array:
    """Return the robust covariance ``V (sum_j s_j s_j' / w_j) V`` of independent clusters.

    Parameters
    ----------
    covariance : ndarray, shape (P, P)
        Inverse observed information; NaN for parameters without one, which stay without.
    scores : ndarray, shape (J, P)
        Cluster scores, frequency weights multiplied in.
    weight : ndarray, shape (J,), optional
        Frequency weights of the clusters.
    """
    kept = np.flatnonzero(np.isfinite(np.diagonal(covariance)))
    inverse = covariance[np.ix_(kept, kept)]
    used = scores[:, kept]
    count = float(scores.shape[0])
    meat = used.T @ used
    if weight is not None:
        present = weight > 0.0
        meat = (used[present] / weight[present][:, None]).T @ used[present]
        count = float(weight.sum())
    result = np.full_like(covariance, np.nan)
    result[np.ix_(kept, kept)] = inverse @ meat @ inverse * (count / max(count - 1.0, 1.0))
    return result
