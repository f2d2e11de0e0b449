"""Functions of one variable with their first three derivatives, as `Jet.through` takes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, log_ndtr

from glamm.protocols import Array

__all__ = ["EXP", "EXPIT", "LOG", "LOG1P", "LOG_NDTR", "SOFTPLUS", "SQRT"]

Functions = tuple[Callable[[Array], Array], ...]


def _mills(x: Array) -> Array:
    """Return phi(x) / Phi(x)."""
    return np.asarray(np.exp(-0.5 * np.square(x) - 0.5 * np.log(2.0 * np.pi) - log_ndtr(x)))


def _mills_slope(x: Array) -> Array:
    r = _mills(x)
    return -r * (x + r)


def _mills_bend(x: Array) -> Array:
    r = _mills(x)
    return r * ((x + r) * (x + 2.0 * r) - 1.0)


def _spread(x: Array) -> Array:
    """Return the variance of an indicator of log odds x."""
    return np.asarray(expit(x) * expit(-x))


def _skew(x: Array) -> Array:
    return np.asarray(_spread(x) * (expit(-x) - expit(x)))


EXP: Functions = (np.exp, np.exp, np.exp, np.exp)
LOG: Functions = (np.log, lambda x: 1.0 / x, lambda x: -1.0 / x**2, lambda x: 2.0 / x**3)
LOG1P: Functions = (
    np.log1p,
    lambda x: 1.0 / (1.0 + x),
    lambda x: -1.0 / (1.0 + x) ** 2,
    lambda x: 2.0 / (1.0 + x) ** 3,
)
SQRT: Functions = (np.sqrt, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5, lambda x: 0.375 * x**-2.5)
EXPIT: Functions = (expit, _spread, _skew, lambda x: _spread(x) * (1.0 - 6.0 * _spread(x)))
SOFTPLUS: Functions = (lambda x: np.logaddexp(0.0, x), expit, _spread, _skew)
LOG_NDTR: Functions = (log_ndtr, _mills, _mills_slope, _mills_bend)
