"""Student's t distribution of a latent variable, scaled to variance one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import betaln, polygamma

from glamm.kernels._families import capsule
from glamm.plugins.latents._functions import EXP, LOG1P
from glamm.plugins.latents._jets import variables
from glamm.protocols import Array, LatentDistribution, Parameter

__all__ = ["StudentT"]


class StudentT(LatentDistribution):
    """``t sqrt((df - 2) / df)`` with `df` degrees of freedom: mean 0, variance 1, heavy tails.

    Parameters
    ----------
    df : float or None
        More than 2, else there is no variance to scale by; None: estimated.
    """

    name = "student_t"

    def __init__(self, df: float | None = None) -> None:
        if df is not None and not (df > 2.0 and np.isfinite(df)):
            raise ValueError(f"df is {df}, it must be a finite number above 2 (the variance is scaled to 1)")
        self.parameters = (Parameter("df", transform="log_above_2", start=8.0, fixed=df, limits=(np.inf,)),)

    def log_density(self, u: Array, *parameters: Array) -> Array:
        (df,) = parameters
        with np.errstate(over="ignore"):
            kernel = np.log1p(np.square(np.asarray(u, float)) / (df - 2.0))
        return np.asarray(_constant(df) - 0.5 * np.log(np.pi * (df - 2.0)) - 0.5 * (df + 1.0) * kernel)

    def block(self, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        u, log_excess = variables(nu, order)
        df = log_excess.through(*EXP) + 2.0
        kernel = (u * u * (log_excess * -1.0).through(*EXP)).through(*LOG1P)
        constant = df.through(_constant, *(partial(_constant_slope, degree=k) for k in (1, 2, 3)))
        half = (df + 1.0) * -0.5
        return (constant - log_excess * 0.5 - 0.5 * float(np.log(np.pi)) + half * kernel).block()

    def kernel(self) -> Any:
        return capsule("latent student_t", "identity")

    def simulate(self, rng: np.random.Generator, size: int, *parameters: float) -> Array:
        (df,) = parameters
        return np.asarray(rng.standard_t(df, size) * np.sqrt((df - 2.0) / df))


def _constant(df: Array) -> Array:
    """Return ``log(Gamma((df + 1) / 2) / Gamma(df / 2))``, whose parts cancel for many degrees of freedom."""
    return np.asarray(0.5 * np.log(np.pi) - betaln(0.5 * df, 0.5))


def _constant_slope(df: Array, degree: int) -> Array:
    """Return a derivative of `_constant`; of degree 1 it takes digamma functions."""
    upper, lower = polygamma(degree - 1, 0.5 * (df + 1.0)), polygamma(degree - 1, 0.5 * df)
    return np.asarray(0.5**degree * (upper - lower))
