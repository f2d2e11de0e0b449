"""What a link must be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from glamm.numdiff import differentiate
from glamm.protocols.values import Array, Interval

__all__ = ["Link"]


class Link(ABC):
    """A monotone map from the mean to the linear predictor.

    Attributes
    ----------
    name : str
        Given by the registry.
    mean : Interval
        Values that `inverse` takes.
    """

    name: str = ""
    mean: ClassVar[Interval]

    @abstractmethod
    def link(self, mu: Array) -> Array:
        """Return the linear predictor of the mean `mu`, any shape."""

    @abstractmethod
    def inverse(self, nu: Array) -> Array:
        """Return the mean of the linear predictor `nu`, any shape."""

    def derivative(self, nu: Array) -> Array:
        """Return d mu / d nu, any shape (default: numerical)."""
        return differentiate(lambda nus: self.inverse(nus[0]), (np.asarray(nu, float),), 1)[1][0]

    def radius(self, nu: Array) -> Array:
        """Return how far from `nu` the mean is a smooth function of it, at most 1 (default: 1).

        Numerical derivatives take steps in proportion, so that they do not cross a pole.
        """
        return np.ones_like(np.asarray(nu, float))

    def start(self, mean: float) -> float:
        """Return the linear predictor of `mean`, or of a value near it inside the link's range."""
        low, high = self.mean.low, self.mean.high
        margin = 0.1 * min(1.0, high - low)
        inside = low + margin if mean <= low else high - margin if mean >= high else mean
        return float(self.link(np.asarray(inside)))

    # What families need where the mean itself under- or overflows. Each default follows from `inverse`.

    def log_inverse(self, nu: Array) -> Array:
        """Return the logarithm of the mean, NaN where the mean is negative."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log(self.inverse(nu)))

    def log_complement(self, nu: Array) -> Array:
        """Return ``log(1 - mean)``, for links whose mean is a probability."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log1p(-self.inverse(nu)))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        """Return ``log(inverse(upper) - inverse(lower))``, NaN unless ``lower < upper``.

        For links whose mean is a probability. The default subtracts in the smaller tail.
        """
        with np.errstate(all="ignore"):
            left_low, left_high = self.log_inverse(lower), self.log_inverse(upper)
            right_low, right_high = self.log_complement(lower), self.log_complement(upper)
            left = left_high + np.log(-np.expm1(left_low - left_high))
            right = right_low + np.log(-np.expm1(right_high - right_low))
            return np.asarray(np.where(left_high < right_low, left, right))
