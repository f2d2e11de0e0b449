"""The negative binomial distribution of counts, quadratic variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from glamm.plugins.families._common import LogMeanFamily, compiled, log_rising, weighted_moments
from glamm.plugins.families.poisson import need_events
from glamm.protocols import Array, Column, Encoded, Interval, Parameter

__all__ = ["NegativeBinomial"]

_LARGEST_LOG_SIZE = 690.0  # exp() of it is finite; the Poisson limit is reached long before


class NegativeBinomial(LogMeanFamily):
    """Counts with variance ``mu + mu ** 2 / size``.

    Channels: ``mu``, ``log size``. Columns of y: the count.
    """

    name = "negative_binomial"
    links = ("log",)
    support = Interval(0.0, np.inf, closed="left", integer=True)
    mean: ClassVar[Interval] = Interval(0.0, np.inf)
    parameters = (Parameter("size", limits=(np.inf,)),)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_events(columns[0], super().encode(form, columns))

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        (size,) = parameters
        log_size = np.minimum(np.log(size), _LARGEST_LOG_SIZE)
        size = np.exp(log_size)
        # log(mu / (mu + size)) and log(size / (mu + size)) from the log odds
        odds = log_mu - log_size
        success = np.where(y > 0.0, y * np.logaddexp(0.0, -odds), 0.0)
        failure = size * np.logaddexp(0.0, odds)
        return np.asarray(log_rising(size, y) - gammaln(y + 1.0) - success - failure)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        mean, variance = weighted_moments(encoded.y[:, 0], weight)
        size = np.clip(mean**2 / max(variance - mean, 1e-3 * mean), 0.05, 100.0)
        return super().start(encoded, weight)[0], float(np.log(size))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        size = np.exp(nu[1])
        rate = rng.gamma(size, self.link.inverse(nu[0]) / size)
        return rng.poisson(rate).astype(float)[:, None]
