"""Links whose mean is a power or the exponential of the linear predictor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from glamm.protocols import Array, Interval, Link

__all__ = ["Identity", "InverseSquare", "Log", "Power", "Reciprocal", "Sqrt"]

REAL = Interval(-np.inf, np.inf)
POSITIVE = Interval(0.0, np.inf)


class Identity(Link):
    """``mu = nu``."""

    name = "identity"
    mean: ClassVar[Interval] = REAL

    def link(self, mu: Array) -> Array:
        return np.asarray(mu, float)

    def inverse(self, nu: Array) -> Array:
        return np.asarray(nu, float)

    def derivative(self, nu: Array) -> Array:
        return np.ones_like(np.asarray(nu, float))


class Log(Link):
    """``mu = exp(nu)``."""

    name = "log"
    mean: ClassVar[Interval] = POSITIVE

    def link(self, mu: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(np.asarray(mu, float)))

    def inverse(self, nu: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.exp(np.asarray(nu, float)))

    def derivative(self, nu: Array) -> Array:
        return self.inverse(nu)

    def log_inverse(self, nu: Array) -> Array:
        return np.asarray(nu, float)


class Power(Link):
    """``nu = mu ** exponent``, so ``mu = nu ** (1 / exponent)``; the mean is positive.

    Written ``power(2)``. A linear predictor that gives no positive mean has likelihood zero.

    Parameters
    ----------
    exponent : float
        Not zero (the limit there is the link ``log``).
    """

    name = "power"
    mean: ClassVar[Interval] = POSITIVE

    def __init__(self, exponent: float) -> None:
        exponent = float(exponent)
        if exponent == 0.0 or not np.isfinite(exponent):
            raise ValueError(f"the exponent of power() is {exponent:g}, it must be finite and not 0")
        self.exponent = exponent

    def link(self, mu: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.power(np.asarray(mu, float), self.exponent))

    def inverse(self, nu: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.power(np.asarray(nu, float), 1.0 / self.exponent))

    def derivative(self, nu: Array) -> Array:
        inverse_exponent = 1.0 / self.exponent
        with np.errstate(all="ignore"):
            power = np.power(np.asarray(nu, float), inverse_exponent - 1.0)
            return np.asarray(inverse_exponent * power)

    def radius(self, nu: Array) -> Array:
        return np.asarray(np.clip(0.5 * np.abs(np.asarray(nu, float)), 1e-100, 1.0))


class Reciprocal(Power):
    """``mu = 1 / nu``."""

    name = "reciprocal"

    def __init__(self) -> None:
        super().__init__(-1.0)


class InverseSquare(Power):
    """``mu = 1 / sqrt(nu)``."""

    name = "inverse_square"

    def __init__(self) -> None:
        super().__init__(-2.0)


class Sqrt(Power):
    """``mu = nu ** 2``; one-to-one for ``nu >= 0``."""

    name = "sqrt"

    def __init__(self) -> None:
        super().__init__(0.5)
