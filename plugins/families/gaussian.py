"""The normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from glamm.plugins.families._common import compiled, need_variation, normalised, weighted_moments
from glamm.protocols import Array, Column, Encoded, Interval, MeanFamily, Parameter

__all__ = ["Gaussian"]

_LOG_SQRT_2PI = 0.5 * np.log(2.0 * np.pi)


class Gaussian(MeanFamily):
    """Normal with mean ``mu`` and standard deviation ``sigma``.

    Channels: ``mu``, ``log sigma``. Columns of y: the value.
    """

    name = "gaussian"
    links = ("identity", "log", "reciprocal")
    support = Interval(-np.inf, np.inf)
    mean: ClassVar[Interval] = Interval(-np.inf, np.inf)
    parameters = (Parameter("sigma"),)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_variation(columns[0], super().encode(form, columns))

    def log_density(self, y: Array, mu: Array, *parameters: Array) -> Array:
        (sigma,) = parameters
        return np.asarray(-0.5 * np.square((y - mu) / sigma) - np.log(sigma) - _LOG_SQRT_2PI)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        log_sigma = np.asarray(nu[1], float)
        with np.errstate(all="ignore"):
            mu = self.link.inverse(np.asarray(nu[0], float))
            z = (y[:, 0] - mu) * np.exp(-log_sigma)
            return normalised(-0.5 * np.square(z) - log_sigma - _LOG_SQRT_2PI)

    def is_quadratic(self, channel: int) -> bool:
        return channel == 0 and self.link.name == "identity"

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        mu = super().start(encoded, weight)[0]
        _, variance = weighted_moments(encoded.y[:, 0], weight)
        return mu, 0.5 * float(np.log(max(variance, np.finfo(float).tiny)))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        return rng.normal(self.link.inverse(nu[0]), np.exp(nu[1]))[:, None]
