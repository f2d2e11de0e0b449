"""The beta distribution of a proportion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from glamm.plugins.families._common import compiled, need_variation, normalised, weighted_moments
from glamm.protocols import Array, Column, Encoded, Interval, MeanFamily, Parameter

__all__ = ["Beta"]


class Beta(MeanFamily):
    """Values between 0 and 1 with variance ``mu (1 - mu) / (1 + phi)``.

    Channels: ``mu``, ``log phi``. Columns of y: the value.
    """

    name = "beta"
    links = ("logit", "probit", "cloglog")
    support = Interval(0.0, 1.0)
    mean: ClassVar[Interval] = Interval(0.0, 1.0)
    parameters = (Parameter("phi"),)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_variation(columns[0], super().encode(form, columns))

    def log_density(self, y: Array, mu: Array, *parameters: Array) -> Array:
        (phi,) = parameters
        return self._log_density(y, mu * phi, (1.0 - mu) * phi, phi)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        log_phi = np.asarray(nu[1], float)
        with np.errstate(all="ignore"):
            a = np.exp(self.link.log_inverse(nu[0]) + log_phi)
            b = np.exp(self.link.log_complement(nu[0]) + log_phi)
            return normalised(self._log_density(y[:, 0], a, b, np.exp(log_phi)))

    @staticmethod
    def _log_density(y: Array, a: Array, b: Array, phi: Array) -> Array:
        constant = gammaln(phi) - gammaln(a) - gammaln(b)
        return np.asarray(constant + (a - 1.0) * np.log(y) + (b - 1.0) * np.log1p(-y))

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        mean, variance = weighted_moments(encoded.y[:, 0], weight)
        phi = np.clip(mean * (1.0 - mean) / max(variance, 1e-300) - 1.0, 0.1, 1e4)
        return super().start(encoded, weight)[0], float(np.log(phi))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        mu, phi = self.link.inverse(nu[0]), np.exp(nu[1])
        return rng.beta(mu * phi, (1.0 - mu) * phi)[:, None]
