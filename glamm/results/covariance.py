"""Names of covariance estimators, and the delta method that carries theta's to the reported scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glamm.errors import FitError, Problem, nearest

Array = NDArray[np.float64]

__all__ = ["COVARIANCES", "check_covariance", "delta_method"]

COVARIANCES = ("nonrobust", "robust", "opg")


def check_covariance(cov_type: str) -> None:
    """Raise an error unless `cov_type` is the name of a covariance estimator."""
    if cov_type not in COVARIANCES:
        message = f"cov_type={cov_type!r} is not known: expected one of {', '.join(COVARIANCES)}"
        raise FitError(Problem(message, hint=nearest(cov_type, COVARIANCES)))


def delta_method(covariance: Array, jacobian: Array) -> Array:
    """Return ``J V J'``; a result that depends on a parameter without variance (NaN) is NaN.

    Parameters
    ----------
    covariance : ndarray, shape (P, P)
    jacobian : ndarray, shape (m, P)
    """
    missing = np.isnan(np.diagonal(covariance))
    known = np.where(missing[:, None] | missing[None, :], 0.0, covariance)
    result: Array = jacobian @ known @ jacobian.T
    lost = np.any(jacobian[:, missing] != 0.0, axis=1) | ~np.isfinite(jacobian).all(axis=1)
    result[lost, :] = np.nan
    result[:, lost] = np.nan
    return result
