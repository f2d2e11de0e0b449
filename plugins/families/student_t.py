"""Student's t distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from glamm.plugins.families._common import (
    compiled,
    log_rising,
    need_variation,
    normalised,
    weighted_moments,
)
from glamm.protocols import Array, Column, Encoded, Interval, Link, MeanFamily, Parameter, Predictor

__all__ = ["StudentT"]


class StudentT(MeanFamily):
    """Location ``mu``, scale ``sigma`` (not the standard deviation) and ``df`` degrees of freedom.

    Channels: ``mu``, ``log sigma``, ``log df``. Columns of y: the value.

    Parameters
    ----------
    link : Link
    df : float or None
        Degrees of freedom; None estimates them (or regresses them: ``df(y) ~ z``).
    """

    name = "student_t"
    links = ("identity",)
    support = Interval(-np.inf, np.inf)
    mean: ClassVar[Interval] = Interval(-np.inf, np.inf)
    parameters = (Parameter("sigma"), Parameter("df", start=8.0, limits=(np.inf,)))

    def __init__(self, link: Link, df: float | None = None) -> None:
        if df is not None and not (isinstance(df, (int, float)) and 0.0 < df < np.inf):
            raise ValueError(f"df is {df}, it must be a positive number")
        super().__init__(link)
        self.df = df

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return need_variation(columns[0], super().encode(form, columns))

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        mu, sigma, df = super().predictors(encoded)
        return mu, sigma, df if self.df is None else replace(df, fixed=float(np.log(self.df)))

    def log_density(self, y: Array, mu: Array, *parameters: Array) -> Array:
        sigma, df = parameters
        return self._log_density((y - mu) / sigma, np.log(sigma), df)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        log_sigma = np.asarray(nu[1], float)
        with np.errstate(all="ignore"):
            mu = self.link.inverse(np.asarray(nu[0], float))
            df = np.exp(np.minimum(np.asarray(nu[2], float), 690.0))
            return normalised(self._log_density((y[:, 0] - mu) * np.exp(-log_sigma), log_sigma, df))

    def radius(self, nu: Sequence[Array]) -> Array:
        # the density has its poles sqrt(df) scales away from the mean
        near = np.exp(np.asarray(nu[1], float) + 0.5 * np.minimum(np.asarray(nu[2], float), 0.0))
        with np.errstate(all="ignore"):
            slope = np.abs(self.link.derivative(np.asarray(nu[0], float)))
            return np.clip(np.where(slope > 0.0, 0.5 * near / slope, 1.0), 1e-100, self.link.radius(nu[0]))

    @staticmethod
    def _log_density(z: Array, log_sigma: Array, df: Array) -> Array:
        constant = log_rising(0.5 * df, np.asarray(0.5)) - 0.5 * np.log(np.pi * df)
        return constant - log_sigma - 0.5 * (df + 1.0) * np.log1p(np.square(z) / df)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        mu, _, log_df = super().start(encoded, weight)
        _, variance = weighted_moments(encoded.y[:, 0], weight)
        return mu, 0.5 * float(np.log(max(0.75 * variance, np.finfo(float).tiny))), log_df

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        draws = rng.standard_t(np.exp(nu[2]), size=y.shape[0])
        return (self.link.inverse(nu[0]) + np.exp(nu[1]) * draws)[:, None]
