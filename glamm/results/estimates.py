"""Reported parameters: estimates, standard errors, tests and intervals on the scale people read.

The delta method carries the covariance matrix of theta over: ``V = J Cov(theta) J'`` with
``J = d reported / d theta``. A parameter without a standard error is NaN and has a reason in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

from glamm.compile.parameters import ParameterRow
from glamm.protocols import TRANSFORMS, Transform

Array = NDArray[np.float64]

__all__ = ["Estimates", "effect_label", "tested", "wald_p_value"]

INTERCEPT = "(Intercept)"


def wald_p_value(z: Array) -> Array:
    """Return the two-sided normal tail probability of each `z`, any shape."""
    p: Array = 2.0 * np.exp(log_ndtr(-np.abs(z)))
    return p


def tested(row: ParameterRow) -> bool:
    """Return whether "it is 0" lies inside the parameter space, so that a Wald test has sense."""
    return row.kind in ("fixed", "loading", "covariance", "residual covariance", "derived")


def effect_label(term: str) -> str:
    """Return how tables call the term of an effect: ``1`` is the intercept, also in ``y: 1``."""
    return term[:-1] + INTERCEPT if term == "1" or term.endswith(": 1") else term


_ATANH = Transform("atanh", np.arctanh, np.tanh, lambda x: 1.0 - x * x)


def _transform(scale: str) -> Transform:
    """Return the map to the scale on which an interval is symmetric."""
    return _ATANH if scale == "atanh" else TRANSFORMS[scale]


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Reported parameters with their covariance matrix.

    Attributes
    ----------
    rows : tuple of ParameterRow
    values : ndarray, shape (m,)
    covariance : ndarray, shape (m, m)
        NaN in the rows and columns of parameters that have no standard error.
    reasons : tuple of str
        Why a parameter has no standard error; empty where it has one.
    """

    rows: tuple[ParameterRow, ...]
    values: Array
    covariance: Array
    reasons: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [row.name for row in self.rows]

    def standard_errors(self) -> Array:
        """Return the standard errors, shape (m,); NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diagonal(self.covariance))

    def statistics(self) -> Array:
        """Return Wald z statistics, shape (m,); NaN where "it is 0" is not a hypothesis to test."""
        sensible = np.array([tested(row) for row in self.rows], dtype=bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(sensible, self.values / self.standard_errors(), np.nan)

    def p_values(self) -> Array:
        """Return two-sided p-values of `statistics`, shape (m,)."""
        return wald_p_value(self.statistics())

    def intervals(self, alpha: float = 0.05) -> Array:
        """Return Wald confidence limits, shape (m, 2).

        Those of standard deviations are symmetric on the log scale, those of correlations on the
        atanh scale, so they stay inside the parameter's range.
        """
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha:g}, but must lie strictly between 0 and 1")
        half = -ndtri(alpha / 2.0) * self.standard_errors()
        limits = np.full((len(self.rows), 2), np.nan)
        for i, row in enumerate(self.rows):
            if not np.isfinite(half[i]):
                continue
            value = self.values[i]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                transform = _transform(row.scale)
                centre = transform.forward(value)
                width = half[i] / transform.slope(value)
                limits[i] = transform.inverse(np.array([centre - width, centre + width]))
        return limits
