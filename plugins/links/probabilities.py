"""Links whose mean is a probability: the inverse is a distribution function ``F``.

Tails are kept apart: ``log F``, ``log(1 - F)`` and ``log(F(b) - F(a))`` never pass through a difference
of numbers near one, so they stay finite and accurate where ``F`` itself is 0 or 1 in double precision.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import erfcx, expit, log_ndtr, ndtr, ndtri

from glamm.protocols import Array, Interval, Link

__all__ = ["Cloglog", "Logit", "Loglog", "Probit"]

UNIT = Interval(0.0, 1.0)
_LOG_SQRT_2PI = 0.5 * np.log(2.0 * np.pi)
# below this width the distribution function's rounding exceeds the error of the midpoint rule
_NARROW = 1e-6


def _float(x: Array) -> Array:
    return np.asarray(x, float)


class Logit(Link):
    """``F(nu) = 1 / (1 + exp(-nu))``."""

    name = "logit"
    mean: ClassVar[Interval] = UNIT

    def link(self, mu: Array) -> Array:
        mu = _float(mu)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mu) - np.log1p(-mu))

    def inverse(self, nu: Array) -> Array:
        return np.asarray(expit(_float(nu)))

    def derivative(self, nu: Array) -> Array:
        t = np.exp(-np.abs(_float(nu)))
        return np.asarray(t / np.square(1.0 + t))

    def log_inverse(self, nu: Array) -> Array:
        return np.asarray(-np.logaddexp(0.0, -_float(nu)))

    def log_complement(self, nu: Array) -> Array:
        return np.asarray(-np.logaddexp(0.0, _float(nu)))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        lower, upper = _float(lower), _float(upper)
        with np.errstate(all="ignore"):
            width = np.log(-np.expm1(lower - upper))
            return np.asarray(width - np.logaddexp(0.0, lower) - np.logaddexp(0.0, -upper))


class Probit(Link):
    """``F`` is the standard normal distribution function."""

    name = "probit"
    mean: ClassVar[Interval] = UNIT

    def link(self, mu: Array) -> Array:
        return np.asarray(ndtri(_float(mu)))

    def inverse(self, nu: Array) -> Array:
        return np.asarray(ndtr(_float(nu)))

    def derivative(self, nu: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.exp(-0.5 * np.square(_float(nu)) - _LOG_SQRT_2PI))

    def log_inverse(self, nu: Array) -> Array:
        return np.asarray(log_ndtr(_float(nu)))

    def log_complement(self, nu: Array) -> Array:
        return np.asarray(log_ndtr(-_float(nu)))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        lower, upper = np.broadcast_arrays(_float(lower), _float(upper))
        # reflect into the lower tail: a < b, a + b <= 0
        flip = lower + upper > 0.0
        a, b = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
        with np.errstate(all="ignore"):
            # F(b) - F(a) = exp(-b^2/2)/2 * (erfcx(-b/sqrt2) - exp((b^2 - a^2)/2) erfcx(-a/sqrt2)), b <= 0
            decay = np.exp(0.5 * (b - a) * (b + a))
            gap = erfcx(-b * np.sqrt(0.5)) - decay * erfcx(-a * np.sqrt(0.5))
            tail = -0.5 * np.square(b) + np.log(0.5 * gap)
            straddling = np.log(ndtr(b) - ndtr(a))
            middle = 0.5 * (a + b)
            narrow = -0.5 * np.square(middle) - _LOG_SQRT_2PI + np.log(b - a)
            wide = np.where(b <= 0.0, tail, straddling)
            flat = (b - a) * np.maximum(1.0, np.abs(middle)) < _NARROW
            return np.asarray(np.where(flat, narrow, wide))


class Cloglog(Link):
    """``F(nu) = 1 - exp(-exp(nu))``, the link of grouped proportional hazards."""

    name = "cloglog"
    mean: ClassVar[Interval] = UNIT

    def link(self, mu: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(-np.log1p(-_float(mu))))

    def inverse(self, nu: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(-np.expm1(-np.exp(_float(nu))))

    def derivative(self, nu: Array) -> Array:
        nu = _float(nu)
        with np.errstate(all="ignore"):
            return np.asarray(np.exp(nu - np.exp(nu)))

    def log_inverse(self, nu: Array) -> Array:
        return _log1mexp_exp(_float(nu))

    def log_complement(self, nu: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(-np.exp(_float(nu)))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        lower, upper = _float(lower), _float(upper)
        with np.errstate(all="ignore"):
            # exp(-e^a) - exp(-e^b) = exp(-e^a) (1 - exp(-(e^b - e^a)))
            log_gap = np.where(np.isneginf(lower), upper, upper + np.log(-np.expm1(lower - upper)))
            return np.asarray(-np.exp(lower) + _log1mexp_exp(log_gap))


class Loglog(Link):
    """``F(nu) = exp(-exp(-nu))``, the mirror image of `Cloglog`."""

    name = "loglog"
    mean: ClassVar[Interval] = UNIT
    _mirror = Cloglog()

    def link(self, mu: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(-np.log(_float(mu))))

    def inverse(self, nu: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(-np.exp(-_float(nu))))

    def derivative(self, nu: Array) -> Array:
        return self._mirror.derivative(-_float(nu))

    def log_inverse(self, nu: Array) -> Array:
        return self._mirror.log_complement(-_float(nu))

    def log_complement(self, nu: Array) -> Array:
        return self._mirror.log_inverse(-_float(nu))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        return self._mirror.log_difference(-_float(upper), -_float(lower))


def _log1mexp_exp(x: Array) -> Array:
    """Return ``log(1 - exp(-exp(x)))`` without cancellation at either end."""
    with np.errstate(all="ignore"):
        t = np.exp(x)
        large = np.log1p(-np.exp(-t))
        middle = np.log(-np.expm1(-t))
        # t below the square root of the rounding unit: log(t - t^2/2) = x - t/2
        return np.asarray(np.where(x < -20.0, x - 0.5 * t, np.where(t < np.log(2.0), middle, large)))
