"""Latent covariance matrices at the boundary: zero diagonal entries of their Cholesky factors.

Of correlation matrices theta holds the rows of Cholesky factors divided by their diagonal entries, which
then grow instead. All else in the maximiser's coordinates, in which the rows of a Cholesky factor are scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.coordinates import Coordinates
from glamm.inference.optimize import Search, Smooth
from glamm.inference.status import Missing

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "Boundary",
    "canonical",
    "find_boundary",
    "move",
    "nearly_singular",
    "residual_scales",
    "settle_boundary",
    "settle_correlations",
    "settle_residuals",
]

SMALL = 0.05
"""Diagonal entry, in its coordinate, below which zero is tried in its place."""

ZERO = 1e-4
"""Diagonal entry, in its coordinate, that counts as zero."""

SINGULAR = 1e-6
"""Smallest eigenvalue of a correlation matrix that counts as zero."""

LONG = 10.0
"""Length of a row of a correlation matrix's factor, over its diagonal entry, from which infinity is tried."""

INFINITE = 1e5
"""Length that counts as infinite: a correlation then differs from that at infinity by 5e-11."""

NEARLY = 1e-2
"""Residual standard deviation, relative to that of the response, below which zero is tried."""

NOTHING = 1e-4
"""The same for one that counts as zero: the log-likelihood at zero differs by its square only."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Parameters at the boundary.

    Attributes
    ----------
    zero : tuple of int
        Diagonal entries of Cholesky factors that are zero.
    missing : tuple of (int, Missing)
        Those, and the entries that lose their meaning with them.
    """

    zero: tuple[int, ...]
    missing: tuple[tuple[int, Missing], ...]


def canonical(theta: Array, factors: tuple[Index, ...]) -> Array:
    """Return theta with each Cholesky factor as the one with diagonal >= 0 of the same covariance matrix.

    The columns of diagonal entries that are zero become zero too. A factor whose pattern of fixed zeros
    does not survive that only has the signs of its columns changed.
    """
    theta = theta.copy()
    for factor in factors:
        q = factor.shape[0]
        free = factor >= 0
        given = np.where(free, theta[factor], 0.0)
        psi = given @ given.T
        lower = np.zeros((q, q))
        for k in range(q):
            own = psi[k, k] - lower[k, :k] @ lower[k, :k]
            limit = ZERO**2 if free[k, k] else 0.0
            if own > limit:
                lower[k, k] = np.sqrt(own)
                lower[k + 1 :, k] = (psi[k + 1 :, k] - lower[k + 1 :, :k] @ lower[k, :k]) / lower[k, k]
        if np.abs(lower[~free]).max(initial=0.0) > 1e-9 * np.abs(lower).max(initial=0.0):
            lower = given * np.where(np.diagonal(given) < 0.0, -1.0, 1.0)
        theta[factor[free]] = lower[free]
    return theta


def find_boundary(theta: Array, factors: tuple[Index, ...]) -> Boundary:
    """Return what is at the boundary at a canonical `theta`."""
    zero: list[int] = []
    missing: dict[int, Missing] = {}
    for factor in factors:
        for k in range(factor.shape[0]):
            own = int(factor[k, k])
            if own < 0 or abs(theta[own]) > ZERO:
                continue
            zero.append(own)
            missing[own] = Missing.BOUNDARY
            row = [int(p) for p in factor[k, :k] if p >= 0]
            if all(abs(theta[p]) <= ZERO for p in row):
                missing.update((p, Missing.FLAT) for p in row)
            missing.update((int(p), Missing.FLAT) for p in factor[k + 1 :, k] if p >= 0)
    return Boundary(tuple(zero), tuple(sorted(missing.items())))


def settle_boundary(objective: Smooth, search: Search, factors: tuple[Index, ...]) -> Boundary:
    """Set small diagonal entries to zero where that costs no log-likelihood; make the factors canonical."""
    slack = 1e-9 + 1e-14 * abs(search.loglik)
    candidates = [
        int(p) for factor in factors for p in np.diagonal(factor) if p >= 0 and abs(search.theta[p]) <= SMALL
    ]
    for k in candidates:
        theta = search.theta.copy()
        theta[k] = 0.0
        move(objective, search, theta, slack)
    theta = canonical(search.theta, factors)
    if not np.array_equal(theta, search.theta):
        move(objective, search, theta, np.inf)
    return find_boundary(search.theta, factors)


def move(objective: Smooth, search: Search, theta: Array, slack: float) -> None:
    """Move to `theta` unless it lowers the log-likelihood by more than `slack`."""
    loglik, gradient = objective.value_and_gradient(theta)
    search.evaluations += 1
    if np.isfinite(loglik) and np.isfinite(gradient).all() and loglik >= search.loglik - slack:
        objective.accept()
        flipped = (np.sign(theta) * np.sign(search.theta) < 0.0) & (np.abs(theta + search.theta) == 0.0)
        sign = np.where(flipped, -1.0, 1.0)
        search.curvature = search.curvature * np.outer(sign, sign)
        search.theta, search.loglik, search.gradient = theta, float(loglik), gradient


def settle_correlations(
    objective: Smooth,
    search: Search,
    at: Coordinates,
    blocks: Sequence[Index],
    boundary: Boundary,
    climb: Callable[[], object],
) -> Boundary:
    """Return the boundary with the correlation matrices that are singular, and put them there.

    Parameters
    ----------
    objective : Smooth
    search : Search
    at : Coordinates
    blocks : sequence of ndarray of intp, shape (k, k)
        Positions of correlation matrices' entries; those below the diagonal are of their factors' rows.
    boundary : Boundary
        What is there already.
    climb : callable
        Maximises from the point of `search`; on the way to infinity the other parameters lag behind.
    """
    missing = dict(boundary.missing)
    slack = 1e-9 + 1e-14 * abs(search.loglik)
    for block in blocks:
        for i in range(1, len(block)):
            theta = at.transform @ search.theta
            length = float(np.linalg.norm(theta[block[i, :i]]))
            if length > LONG:
                before = replace(search)
                theta[block[i, :i]] *= INFINITE / length
                move(objective, search, at.inverse @ _emptied(theta, block, i), np.inf)
                # the row may still turn, on the scale of its length
                row, usual = block[i, :i], float(np.median(np.diagonal(search.curvature)))
                search.curvature = search.curvature.copy()
                search.curvature[row] = search.curvature[:, row] = 0.0
                search.curvature[row, row] = usual / INFINITE**2
                climb()
                if search.loglik < before.loglik - slack:
                    search.become(before)
            if np.linalg.norm((at.transform @ search.theta)[block[i, :i]]) > 0.99 * INFINITE:
                missing.update((int(p), Missing.SINGULAR) for p in (*block[i, :i], *block[i + 1 :, i]))
    return Boundary(boundary.zero, tuple(sorted(missing.items(), key=lambda item: item[0])))


def _emptied(theta: Array, block: Index, i: int) -> Array:
    """Return theta with column i of a correlation matrix's factor empty below a row that ends in zero.

    Rotations move what the column holds to later diagonal entries, from which it cannot be told.
    """
    theta = theta.copy()
    rows = np.tril(theta[block], -1) + np.eye(len(block))
    for j in range(i + 1, len(block)):
        length = float(np.hypot(rows[j, i], rows[j, j]))
        cosine, sine = rows[j, j] / length, rows[j, i] / length
        rows[j:, [i, j]] = rows[j:, [i, j]] @ np.array([[cosine, sine], [-sine, cosine]])
        rows[j] /= rows[j, j]
    inside = np.tril(np.ones(block.shape, dtype=bool), -1)
    theta[block[inside]] = rows[inside]
    return theta


def nearly_singular(plan: Plan, theta: Array) -> bool:
    """Return whether covariances that theta holds make a nearly singular matrix."""
    for block in (block for level in plan.levels for block in level.blocks if not block.correlation):
        covariance = np.where(block.index < 0, block.held, theta[block.index])
        scale = np.sqrt(np.diagonal(covariance))
        if np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < SINGULAR:
            return True
    return False


def residual_scales(plan: Plan) -> dict[int, float]:
    """Return the log standard deviation of each Gaussian response by its residual one's position in theta.

    Only of responses with a latent part and one residual standard deviation for all units: another
    response's may not vanish, or the likelihood has no bound.
    """
    found: dict[int, float] = {}
    for response in plan.responses:
        if len(response.predictors) != 2 or not response.family.is_quadratic(0):
            continue
        mean, sigma = response.predictors
        constant = sigma.design.shape[1] == 1 and not (sigma.loadings or sigma.terms or np.any(sigma.offset))
        spread = float(np.std(response.encoded.y[:, 0]))
        if (mean.loadings or mean.terms) and constant and np.ptp(sigma.design) == 0.0 and spread > 0.0:
            found[int(sigma.coefficient[0])] = float(np.log(spread / sigma.design[0, 0]))
    return found


def settle_residuals(
    objective: Smooth, search: Search, at: Coordinates, scales: dict[int, float], boundary: Boundary
) -> Boundary:
    """Return the boundary with the residual variances that are zero (Heywood cases), and put them there."""
    missing = dict(boundary.missing)
    zero = list(boundary.zero)
    for k, scale in scales.items():
        theta = at.transform @ search.theta
        if theta[k] > scale + np.log(NEARLY):
            continue
        theta[k] = min(theta[k], scale + np.log(NOTHING))
        before = search.loglik
        move(objective, search, at.inverse @ theta, 1e-6 * (1.0 + 1e-3 * abs(before)))
        if (at.transform @ search.theta)[k] <= scale + np.log(NOTHING) + 1e-9:
            missing[k] = Missing.BOUNDARY
            zero.append(k)
    return Boundary(tuple(zero), tuple(sorted(missing.items(), key=lambda item: item[0])))
