"""Gaussian responses without a structure: the models that fit measures compare a fitted model with.

The unrestricted model regresses every response on every covariate and leaves the residual covariance matrix
free. With missing responses its maximum is found by the EM algorithm (Little and Rubin 2019, section 11.2),
accelerated by squared extrapolation (Varadhan and Roland 2008). Both work on sums of products of the rows
with the same responses observed, so that an iteration does not depend on the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.errors import DataError, FitError

Array = NDArray[np.float64]

__all__ = ["Moments", "Unrestricted", "independence", "unrestricted"]

TOLERANCE = 1e-11
"""Log-likelihood still to be gained, relative to its size, at which EM stops."""

SINGULAR = 1e-11
"""Smallest eigenvalue of a residual covariance matrix of responses with unit variances."""

_MAX_CYCLES = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of p responses given k covariates.

    Attributes
    ----------
    coefficients : ndarray, shape (p, 1 + k)
        Intercepts and slopes.
    covariance : ndarray, shape (p, p)
        Of the residuals.
    """

    coefficients: Array
    covariance: Array

    def joint(self, covariates: Array) -> tuple[Array, Array]:
        """Return mean and covariance matrix of responses and covariates together.

        Parameters
        ----------
        covariates : ndarray, shape (n, k)

        Returns
        -------
        mean : ndarray, shape (p + k,)
        covariance : ndarray, shape (p + k, p + k)
            With the covariates' moments those of the n rows (divisor n).
        """
        slopes = self.coefficients[:, 1:]
        centre = covariates.mean(axis=0)
        spread = (covariates - centre).T @ (covariates - centre) / len(covariates)
        cross = slopes @ spread
        mean = np.concatenate([self.coefficients[:, 0] + slopes @ centre, centre])
        return mean, np.block([[cross @ slopes.T + self.covariance, cross], [cross.T, spread]])


@dataclass(frozen=True, slots=True, eq=False)
class Unrestricted:
    """The maximum of the unrestricted model.

    Attributes
    ----------
    loglik : float
    parameters : int
    moments : Moments
    """

    loglik: float
    parameters: int
    moments: Moments


@dataclass(frozen=True, slots=True, eq=False)
class _Patterns:
    """Sums over the rows with the same responses observed, G sets of rows.

    Attributes
    ----------
    rows : ndarray, shape (G,)
    observed : ndarray, shape (G, p)
        1 and 0.
    products : ndarray, shape (G, p + 1 + k, p + 1 + k)
        Of the responses (0 where missing), 1 and the covariates.
    """

    rows: Array
    observed: Array
    products: Array


def independence(responses: Array) -> float:
    """Return the log-likelihood of responses that are independent of each other and of all covariates.

    Parameters
    ----------
    responses : ndarray, shape (n, p)
        NaN where missing.
    """
    rows = np.isfinite(responses).sum(axis=0)
    return float(-0.5 * (rows * (np.log(2.0 * np.pi * _scales(responses) ** 2) + 1.0)).sum())


def unrestricted(responses: Array, covariates: Array) -> Unrestricted:
    """Return the maximum of the unrestricted model.

    Parameters
    ----------
    responses : ndarray, shape (n, p)
        NaN where missing; at least one observed in every row.
    covariates : ndarray, shape (n, k)
        Complete, without an intercept.

    Raises
    ------
    DataError
        If the likelihood has no maximum at a residual covariance matrix that is positive definite.
    FitError
        If the EM algorithm does not converge.
    """
    p = responses.shape[1]
    # In standard units, so that sums of products lose no digits and one tolerance suits all.
    centre, scale = np.nanmean(responses, axis=0), _scales(responses)
    middle, spread = covariates.mean(axis=0), covariates.std(axis=0)
    spread = np.where(spread > 0.0, spread, 1.0)
    design = np.column_stack([np.ones(len(responses)), (covariates - middle) / spread])
    patterns = _patterns((responses - centre) / scale, design)
    try:
        loglik, state = _em(patterns)
    except np.linalg.LinAlgError:
        raise DataError(
            "the unrestricted covariance matrix of the responses is singular: some are linear functions "
            "of others, or too few are observed together"
        ) from None

    slopes = state[:, p + 1 :] * scale[:, None] / spread
    intercepts = centre + state[:, p] * scale - slopes @ middle
    moments = Moments(np.column_stack([intercepts, slopes]), state[:, :p] * np.outer(scale, scale))
    jacobian = float(patterns.rows @ patterns.observed @ np.log(scale))
    parameters = p * int(np.linalg.matrix_rank(design)) + p * (p + 1) // 2
    return Unrestricted(loglik - jacobian, parameters, moments)


def _scales(responses: Array) -> Array:
    """Return the standard deviation (divisor n) of each response."""
    scales: Array = np.nanstd(responses, axis=0)
    # Rounding leaves a constant column with a deviation of some units in its last place.
    if not (scales > 1e-13 * np.nanmax(np.abs(responses), axis=0)).all():
        raise DataError("a response is constant: the likelihood of a model with a free variance is unbounded")
    return scales


def _patterns(responses: Array, design: Array) -> _Patterns:
    seen = np.isfinite(responses)
    observed, which = np.unique(seen, axis=0, return_inverse=True)
    which = which.reshape(-1)
    variables = np.column_stack([np.where(seen, responses, 0.0), design])
    order = np.argsort(which, kind="stable")
    rows = np.bincount(which)
    groups = np.split(variables[order], np.cumsum(rows)[:-1])
    products = np.stack([group.T @ group for group in groups])
    return _Patterns(rows.astype(float), observed.astype(float), products)


def _em(patterns: _Patterns) -> tuple[float, Array]:
    """Return the maximum and where: covariance matrix (p, p) beside coefficients (p, 1 + k).

    Raises `numpy.linalg.LinAlgError` where the covariance matrix becomes singular.
    """
    p = patterns.observed.shape[1]
    q = patterns.products.shape[1] - p
    state = np.column_stack([np.eye(p), np.zeros((p, q))])
    loglik, first = _step(patterns, state)
    for _ in range(_MAX_CYCLES):
        if np.linalg.eigvalsh(first[:, :p])[0] < SINGULAR:
            raise np.linalg.LinAlgError
        between, second = _step(patterns, first)
        change, bend = first - state, second - 2.0 * first + state
        length, rest = float(np.linalg.norm(change)), float(np.linalg.norm(second - first))
        # Near the maximum every step gains the same share of what is left.
        share = max(1.0 - (rest / length) ** 2, 1e-4) if length > 0.0 else 1.0
        if between - loglik <= TOLERANCE * share * (1.0 + abs(between)):
            return between, first
        stretch = max(1.0, length / max(float(np.linalg.norm(bend)), 1e-300))
        state = state + 2.0 * stretch * change + stretch**2 * bend
        try:
            loglik, first = _step(patterns, state)
        except np.linalg.LinAlgError:
            loglik = -np.inf
        if not loglik >= between:
            state = second
            loglik, first = _step(patterns, state)
    raise FitError("the EM algorithm for the unrestricted model did not converge")


def _step(patterns: _Patterns, state: Array) -> tuple[float, Array]:
    """Return the log-likelihood at a state and the next state of EM.

    Raises `numpy.linalg.LinAlgError` where the covariance matrix is not positive definite.
    """
    rows, seen, products = patterns.rows, patterns.observed, patterns.products
    p = seen.shape[1]
    covariance, coefficients = state[:, :p], state[:, p:]
    both = seen[:, :, None] * seen[:, None, :]
    # A missing response is in these matrices as a variable of variance one, independent of the others.
    padded = covariance * both + np.eye(p) * (1.0 - seen[:, :, None])
    root = np.linalg.cholesky(padded)
    precision = np.linalg.inv(padded) * both
    residual = np.column_stack([np.eye(p), -coefficients])
    crossed = residual @ products
    errors = (crossed @ residual.T) * both
    determinant = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    constant = rows @ (determinant + seen.sum(axis=1) * np.log(2.0 * np.pi))
    loglik = -0.5 * float(constant + (precision * errors).sum())

    predict = covariance @ precision
    design = products[:, p:, p:].sum(axis=0)
    found = (predict @ (crossed[:, :, p:] * seen[:, :, None])).sum(axis=0)
    shift = found @ np.linalg.pinv(design, hermitian=True)
    total = (predict @ errors @ predict.transpose(0, 2, 1)).sum(axis=0)
    total += rows.sum() * covariance - np.tensordot(rows, predict, 1) @ covariance
    updated = (total - shift @ design @ shift.T) / rows.sum()
    updated = 0.5 * (updated + updated.T)
    return loglik, np.column_stack([updated, coefficients + shift])
