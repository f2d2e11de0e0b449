"""What the checks of plugins share: examples, extremes, maps of real numbers into an interval."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings

from glamm.protocols import Array, Interval

__all__ = ["EXAMPLES", "EXTREMES", "close", "inside", "stretch"]

EXAMPLES = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
EXTREMES = np.array([-1e300, -1e4, -745.0, -300.0, -40.0, 40.0, 300.0, 745.0, 1e4, 1e300])


def close(actual: Array, expected: Array, rtol: float, atol: float, what: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=what)


def inside(interval: Interval, t: Array, centre: float = 0.0, spread: float = 1.0) -> Array:
    """Map real numbers smoothly and one-to-one into the interior of `interval`."""
    low, high = interval.low, interval.high
    if np.isfinite(low) and np.isfinite(high):
        return np.asarray(low + (high - low) / (1.0 + np.exp(-t)))
    if np.isfinite(low):
        return np.asarray(low + max(spread, 1e-300) * np.exp(t))
    if np.isfinite(high):
        return np.asarray(high - max(spread, 1e-300) * np.exp(t))
    return np.asarray(centre + spread * np.sinh(t))


def stretch(interval: Interval, t: Array, spread: float) -> Array:
    """Return the derivative of `_inside` in `t`."""
    low, high = interval.low, interval.high
    if np.isfinite(low) and np.isfinite(high):
        p = 1.0 / (1.0 + np.exp(-np.abs(t)))
        return np.asarray((high - low) * p * (1.0 - p))
    if np.isfinite(low) or np.isfinite(high):
        return np.asarray(max(spread, 1e-300) * np.exp(t))
    return np.asarray(spread * np.cosh(t))
