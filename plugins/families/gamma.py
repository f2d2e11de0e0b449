"""The gamma distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from glamm.plugins.families._common import (
    LogMeanFamily,
    compiled,
    need_variation,
    stirling,
    weighted_moments,
)
from glamm.protocols import Array, Column, Encoded, Interval, Parameter

__all__ = ["Gamma"]


class Gamma(LogMeanFamily):
    """Positive values with variance ``mu ** 2 / shape``.

    Channels: ``mu``, ``log shape``. Columns of y: the value.
    """

    name = "gamma"
    links = ("log", "reciprocal", "identity")
    support = Interval(0.0, np.inf)
    mean: ClassVar[Interval] = Interval(0.0, np.inf)
    parameters = (Parameter("shape"),)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_variation(columns[0], super().encode(form, columns))

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        (shape,) = parameters
        log_y = np.log(y)
        d = log_y - log_mu
        return stirling(shape) - log_y - shape * (np.expm1(d) - d)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        mean, variance = weighted_moments(encoded.y[:, 0], weight)
        shape = np.clip(mean**2 / max(variance, 1e-300), 0.1, 1e4)
        return super().start(encoded, weight)[0], float(np.log(shape))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        shape = np.exp(nu[1])
        return rng.gamma(shape, self.link.inverse(nu[0]) / shape)[:, None]
