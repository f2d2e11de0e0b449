"""What several built-in families share: stable constants, checks of a response, compiled blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import gammaln

from glamm.kernels._families import capsule
from glamm.protocols import (
    TRANSFORMS,
    Array,
    Column,
    Encoded,
    Link,
    MeanFamily,
    ResponseError,
)

__all__ = [
    "LogMeanFamily",
    "compiled",
    "cumulative_proportions",
    "draw_categories",
    "encode_categories",
    "encode_flags",
    "log_rising",
    "need_variation",
    "normalised",
    "stirling",
    "weighted_moments",
]

_SERIES_FROM = 16.0


def compiled(family: str, link: Link, options: Mapping[str, float | str] | None = None) -> Any:
    """Return the compiled block function of a family and link, or None if there is none."""
    given: dict[str, float | str] = {} if options is None else dict(options)
    exponent = getattr(link, "exponent", None)
    if exponent is not None:
        given["power"] = exponent
    return capsule(family, link.name, given)


def normalised(ll: Array) -> Array:
    """Return `ll` with minus infinity for NaN: a log density that cannot be computed."""
    return np.where(np.isnan(ll), -np.inf, ll)


def _series(x: Array) -> Array:
    """Return ``log Gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2)`` for large `x`."""
    r = 1.0 / np.square(x)
    return np.asarray((1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / x)


def stirling(x: Array) -> Array:
    """Return ``x log x - x - log Gamma(x)`` without cancellation for large `x`; `x` is positive."""
    x = np.asarray(x, float)
    large = x > _SERIES_FROM
    s = np.where(large, 1.0, x)
    b = np.where(large, x, _SERIES_FROM)
    direct = s * np.log(s) - s - gammaln(s)
    return np.asarray(np.where(large, 0.5 * (np.log(b) - np.log(2.0 * np.pi)) - _series(b), direct))


def log_rising(x: Array, n: Array) -> Array:
    """Return ``log Gamma(x + n) - log Gamma(x)`` without cancellation for large `x`; ``x > 0``."""
    x, n = np.broadcast_arrays(np.asarray(x, float), np.asarray(n, float))
    large = x > _SERIES_FROM
    s, b = np.where(large, 1.0, x), np.where(large, x, _SERIES_FROM)
    direct = gammaln(s + n) - gammaln(s)
    series = (b - 0.5) * np.log1p(n / b) + n * (np.log(b + n) - 1.0) + _series(b + n) - _series(b)
    return np.where(large, series, direct)


def weighted_moments(y: Array, weight: Array) -> tuple[float, float]:
    """Return the weighted mean and variance of `y`, shape (n,)."""
    mean = float(np.average(y, weights=weight))
    return mean, float(np.average(np.square(y - mean), weights=weight))


def encode_categories(column: Column, family: str) -> tuple[Array, tuple[str, ...]]:
    """Return category codes 0 .. C-1 and labels; categories that do not occur are dropped.

    Labels keep the order of the column's levels, whole numbers are sorted.
    """
    values = np.asarray(column.values, float)
    present, codes = np.unique(values, return_inverse=True)
    if column.levels is None:
        fractional = present != np.floor(present)
        if fractional.any():
            row = int(np.argmax(values == present[fractional][0]))
            raise ResponseError(
                f"{column.name!r} is {values[row]:g}, but the family {family!r} needs categories: "
                "labels or whole numbers",
                row,
            )
        labels = tuple(f"{value:.0f}" for value in present)
    else:
        labels = tuple(column.levels[int(k)] for k in present)
    if present.size == 1:
        raise ResponseError(f"constant response: {column.name!r} is {labels[0]} in every row")
    return codes.reshape(-1).astype(float), labels


def encode_flags(column: Column, owner: str, meaning: str) -> Array:
    """Return 0 or 1 for each row of a column that says yes or no.

    Parameters
    ----------
    column : Column
        Numbers, or the labels ``("False", "True")``.
    owner, meaning : str
        Whose column it is and what its values stand for, for messages.
    """
    flags = np.asarray(column.values, float)
    if column.levels != ("False", "True"):
        column.need_numbers(owner)
    outside = (flags != 0.0) & (flags != 1.0)
    if outside.any():
        row = int(np.argmax(outside))
        raise ResponseError(f"{column.name!r} is {flags[row]:g}, but it must be {meaning}", row)
    return flags


def cumulative_proportions(codes: Array, categories: int, weight: Array) -> Array:
    """Return the weighted P(y <= k), k = 0 .. C-2, each category padded by a part of an observation."""
    counts = np.bincount(codes.astype(np.intp), weights=weight, minlength=categories) + 0.5 / categories
    return np.asarray(np.cumsum(counts)[:-1] / counts.sum())


def draw_categories(rng: np.random.Generator, probabilities: Array) -> Array:
    """Return one code a row of `probabilities`, shape (n, categories)."""
    below = np.cumsum(probabilities, axis=-1)[:, :-1]
    return np.asarray((below < rng.random((below.shape[0], 1))).sum(axis=1), float)


def need_variation(column: Column, encoded: Encoded) -> Encoded:
    """Return `encoded`, or raise ResponseError if its first column is constant."""
    y = encoded.y[:, 0]
    if y.size and np.all(y == y[0]):
        raise ResponseError(
            f"constant response: {column.name!r} is {y[0]:g} in every row, "
            "so there is no variation to explain and no dispersion to estimate"
        )
    return encoded


class LogMeanFamily(MeanFamily):
    """A family whose density is computed from the logarithm of the mean, so that it never overflows."""

    @abstractmethod
    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        """Return the log density given ``log(mu)``; shapes as in `log_density`."""

    def log_density(self, y: Array, mu: Array, *parameters: Array) -> Array:
        return self.log_density_at(y, np.log(mu), *parameters)

    def radius(self, nu: Sequence[Array]) -> Array:
        # half the way to where the mean is zero, whatever the link
        mu_nu = np.asarray(nu[0], float)
        with np.errstate(all="ignore"):
            relative = np.exp(self.link.log_inverse(mu_nu) - np.log(np.abs(self.link.derivative(mu_nu))))
        return np.clip(np.where(np.isnan(relative), 1.0, 0.5 * relative), 1e-100, self.link.radius(mu_nu))

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            log_mu = self.link.log_inverse(np.asarray(nu[0], float))
            natural = [
                TRANSFORMS[p.transform].inverse(np.asarray(value, float))
                for p, value in zip(self.parameters, nu[1:], strict=True)
            ]
            return normalised(self.log_density_at(y[:, 0], log_mu, *natural))
