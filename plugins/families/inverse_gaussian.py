"""The inverse Gaussian distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from glamm.plugins.families._common import LogMeanFamily, compiled, need_variation, weighted_moments
from glamm.protocols import Array, Column, Encoded, Interval, Parameter

__all__ = ["InverseGaussian"]


class InverseGaussian(LogMeanFamily):
    """Positive values with variance ``mu ** 3 / shape``.

    Channels: ``mu``, ``log shape``. Columns of y: the value.
    """

    name = "inverse_gaussian"
    links = ("log", "inverse_square")
    support = Interval(0.0, np.inf)
    mean: ClassVar[Interval] = Interval(0.0, np.inf)
    parameters = (Parameter("shape"),)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_variation(columns[0], super().encode(form, columns))

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        (shape,) = parameters
        log_y = np.log(y)
        relative = np.expm1(log_y - log_mu)  # (y - mu) / mu
        constant = 0.5 * (np.log(shape) - np.log(2.0 * np.pi)) - 1.5 * log_y
        return np.asarray(constant - shape * np.square(relative) / (2.0 * y))

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        y = encoded.y[:, 0]
        mean, _ = weighted_moments(y, weight)
        # maximum likelihood without covariates: 1 / shape = average of 1 / y - 1 / mean
        inverse = float(np.average(1.0 / y - 1.0 / mean, weights=weight))
        return super().start(encoded, weight)[0], -float(np.log(max(inverse, 1e-8 / mean)))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        return rng.wald(self.link.inverse(nu[0]), np.exp(nu[1]))[:, None]
