"""Cholesky factors of the latent covariance matrices as functions of theta, and how adjoints return."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from glamm.compile.plan import CovarianceBlock, LevelPlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["cholesky", "fill_factor", "pull_factor", "store_covariance"]


def fill_factor(level: LevelPlan, theta: Array) -> Array:
    """Return the lower Cholesky factor of a level's latent covariance matrix, shape (q, q).

    It is all NaN where theta holds covariances that are no covariance matrix.
    """
    held = 0.0 if level.held is None else level.held
    factor: Array = np.where(level.factor < 0, held, theta[level.factor])
    for block in level.blocks:
        at = block.coordinates
        factor[np.ix_(at, at)] = _block_factor(block, theta)
    return factor


def _block_factor(block: CovarianceBlock, theta: Array) -> Array:
    filled: Array = np.where(block.index < 0, block.held, theta[block.index])
    if block.correlation:
        rows = np.tril(filled, -1) + np.eye(len(filled))
        scale = np.sqrt(np.diagonal(block.held)) / np.linalg.norm(rows, axis=1)
        return np.asarray(rows * scale[:, None])
    if not np.isfinite(filled).all():
        return np.full_like(filled, np.nan)
    try:
        return np.asarray(np.linalg.cholesky(filled))
    except np.linalg.LinAlgError:
        return np.full_like(filled, np.nan)


def pull_factor(level: LevelPlan, theta: Array, adjoint: Array, out: Array) -> None:
    """Add what the adjoint of a level's factor means for theta.

    Parameters
    ----------
    level : LevelPlan
    theta : ndarray, shape (P,)
    adjoint : ndarray, shape (T, q, q)
        Of T sums side by side.
    out : ndarray, shape (T, P)
    """
    rows, columns = np.nonzero(level.factor >= 0)
    np.add.at(out.T, level.factor[rows, columns], adjoint[:, rows, columns].T)
    for block in level.blocks:
        at = block.coordinates
        own = adjoint[:, at[:, None], at[None, :]]
        entries = (
            _correlation_adjoint(block, theta, own)
            if block.correlation
            else _covariance_adjoint(block, theta, own)
        )
        free = np.tril(block.index >= 0)
        np.add.at(out.T, block.index[free], entries[:, free].T)


def _correlation_adjoint(block: CovarianceBlock, theta: Array, adjoint: Array) -> Array:
    rows = np.tril(np.where(block.index < 0, 0.0, theta[block.index]), -1) + np.eye(len(block.held))
    length = np.linalg.norm(rows, axis=1)
    unit = rows / length[:, None]
    along = np.einsum("tij,ij->ti", adjoint, unit)
    scale = np.sqrt(np.diagonal(block.held)) / length
    return np.asarray((adjoint - along[:, :, None] * unit) * scale[:, None])


def _covariance_adjoint(block: CovarianceBlock, theta: Array, adjoint: Array) -> Array:
    """Return adjoints of the entries on and below the diagonal, each counted once for both triangles."""
    factor = _block_factor(block, theta)
    product = np.tril(np.einsum("ki,tkj->tij", factor, np.tril(adjoint)))
    half = product - 0.5 * np.einsum("tii->ti", product)[:, :, None] * np.eye(len(factor))
    inverse = solve_triangular(factor, np.eye(len(factor)), lower=True)
    full = np.einsum("ki,tkl,lj->tij", inverse, half, inverse)
    symmetric = full + np.swapaxes(full, 1, 2)
    return np.asarray(symmetric - 0.5 * np.einsum("tii->ti", symmetric)[:, :, None] * np.eye(len(factor)))


def store_covariance(level: LevelPlan, theta: Array, psi: Array) -> None:
    """Write a latent covariance matrix (q, q) into theta, as far as the level's structure can hold it.

    Parameters
    ----------
    level : LevelPlan
    theta : ndarray, shape (P,)
        Changed in place.
    psi : ndarray, shape (q, q)
        Positive semidefinite.
    """
    free = level.factor >= 0
    lower = cholesky(psi)
    # shared entries take the average of what each asks for
    _write(theta, level.factor[free], lower[free])
    for block in level.blocks:
        own = psi[np.ix_(block.coordinates, block.coordinates)]
        if block.correlation:
            rows = cholesky(own)
            own = rows / np.maximum(np.diagonal(rows), 1e-8)[:, None]
        inside = np.tril(block.index >= 0)
        _write(theta, block.index[inside], own[inside])


def _write(theta: Array, index: Index, values: Array) -> None:
    if len(index):
        total = np.bincount(index, weights=values, minlength=len(theta))
        count = np.bincount(index, minlength=len(theta))
        theta[count > 0] = total[count > 0] / count[count > 0]


def cholesky(covariance: Array) -> Array:
    """Return the lower Cholesky factor of a matrix that may be singular."""
    lower = np.zeros_like(covariance)
    for j in range(len(covariance)):
        pivot = covariance[j, j] - lower[j, :j] @ lower[j, :j]
        if pivot <= 1e-14 * covariance[j, j]:
            continue
        lower[j, j] = np.sqrt(pivot)
        below = covariance[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]
        lower[j + 1 :, j] = below / lower[j, j]
    return lower
