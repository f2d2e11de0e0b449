"""Survival times with right censoring: Weibull and exponential, as accelerated failure times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import gamma

from glamm.plugins.families._common import LogMeanFamily, compiled, encode_flags, need_variation
from glamm.protocols import Array, Column, Encoded, Interval, Parameter, ResponseError

__all__ = ["Exponential", "Weibull"]


class Weibull(LogMeanFamily):
    """``P(T > t) = exp(-(t / scale) ** shape)``; with the link log ``mu`` is ``log scale``.

    ``surv(time, event)``: `event` 1 (or True) where the time was observed, 0 where it is censored;
    ``surv(time)`` or a plain column: all observed. The response scale of predictions is the mean time,
    ``scale * Gamma(1 + 1 / shape)``.

    Channels: ``mu``, ``log shape``. Columns of y: time, event.
    """

    name = "weibull"
    responses = {"": 1, "surv": 2}  # noqa: RUF012
    links = ("log",)
    support = Interval(0.0, np.inf)
    mean: ClassVar[Interval] = Interval(0.0, np.inf)
    parameters: ClassVar[tuple[Parameter, ...]] = (Parameter("shape"),)

    def takes(self, form: str, columns: int) -> bool:
        return (form == "surv" and columns == 1) or super().takes(form, columns)

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        time = columns[0]
        time.need_numbers(self.name)
        inside = self.support.contains(time.values)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ResponseError(
                f"{time.name!r} is {time.values[row]:g}, but a survival time is positive", row
            )
        event = np.ones(inside.size)
        if len(columns) == 2:
            event = encode_flags(columns[1], "surv()", "1 (event) or 0 (censored)")
        if event.size and not event.any():
            raise ResponseError(f"every time of {time.name!r} is censored: no event to learn from")
        encoded = Encoded(np.column_stack((np.asarray(time.values, float), event)))
        # times that are all the same have no finite shape
        return need_variation(time, encoded) if self.parameters else encoded

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        return self._log_likelihood(y, np.ones_like(y), log_mu, np.log(parameters[0]))

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            log_scale = self.link.log_inverse(np.asarray(nu[0], float))
            log_shape = np.asarray(nu[1] if len(nu) > 1 else 0.0, float)
            ll = self._log_likelihood(y[:, 0], y[:, 1], log_scale, log_shape)
            return np.where(np.isnan(ll), -np.inf, ll)

    @staticmethod
    def _log_likelihood(time: Array, event: Array, log_scale: Array, log_shape: Array) -> Array:
        log_time = np.log(time)
        log_hazard = np.exp(log_shape) * (log_time - log_scale)  # of the integrated hazard
        observed = np.where(event > 0.0, log_shape - log_time + log_hazard, 0.0)
        return observed - np.exp(log_hazard)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        time, event = encoded.y.T
        scale = float(np.sum(weight * time) / max(np.sum(weight * event), 0.5))
        return (self.link.start(scale), *(0.0 for _ in self.parameters))

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        shape = np.exp(np.asarray(nu[1], float))
        return np.asarray(self.link.inverse(nu[0]) * gamma(1.0 + 1.0 / shape))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        """Draw times; a row that was censored stays so where the new time exceeds its censoring time."""
        shape = np.exp(nu[1]) if len(nu) > 1 else 1.0
        drawn = self.link.inverse(nu[0]) * rng.exponential(size=y.shape[0]) ** (1.0 / shape)
        limit = np.where(y[:, 1] > 0.0, np.inf, y[:, 0])
        return np.column_stack((np.minimum(drawn, limit), drawn <= limit)).astype(float)


class Exponential(Weibull):
    """`Weibull` with shape 1: ``P(T > t) = exp(-t / scale)``.

    Channels: ``mu``. Columns of y: time, event.
    """

    name = "exponential"
    parameters = ()

    def log_density_at(self, y: Array, log_mu: Array, *parameters: Array) -> Array:
        return self._log_likelihood(y, np.ones_like(y), log_mu, np.zeros(()))

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        return self.link.inverse(np.asarray(nu[0], float))
