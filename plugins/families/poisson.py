"""The Poisson distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from glamm.plugins.families._common import LogMeanFamily, compiled, stirling
from glamm.protocols import Array, Column, Encoded, Interval, ResponseError

__all__ = ["Poisson", "log_poisson", "need_events"]


def log_poisson(y: Array, log_mu: Array) -> Array:
    """Return the Poisson log density from ``log(mu)``.

    The deviance form ``-y (expm1(d) - d)``, ``d = log(mu / y)``, plus the saturated log density keeps
    ``y * nu - exp(nu)`` from cancelling for large counts.
    """
    positive = np.where(y > 0.0, y, 1.0)
    d = log_mu - np.log(positive)
    saturated = stirling(positive) - np.log(positive)
    return np.where(y > 0.0, saturated - positive * (np.expm1(d) - d), -np.exp(log_mu))


def need_events(column: Column, encoded: Encoded) -> Encoded:
    """Return `encoded`, or raise ResponseError if all counts are zero."""
    if encoded.y.size and not encoded.y[:, 0].any():
        raise ResponseError(f"constant response: every count in {column.name!r} is 0")
    return encoded


class Poisson(LogMeanFamily):
    """Counts with variance ``mu``.

    Channels: ``mu``. Columns of y: the count.
    """

    name = "poisson"
    links = ("log", "identity", "sqrt")
    support = Interval(0.0, np.inf, closed="left", integer=True)
    mean: ClassVar[Interval] = Interval(0.0, np.inf)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_events(columns[0], super().encode(form, columns))

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        return log_poisson(y, log_mu)

    def cumulant(self) -> str:
        return "exponential" if self.link.name == "log" else ""

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        return rng.poisson(self.link.inverse(nu[0])).astype(float)[:, None]
