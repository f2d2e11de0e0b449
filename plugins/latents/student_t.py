"""Student's t distribution of a latent variable, scaled to variance one."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from glamm.protocols import Array, LatentDistribution

__all__ = ["StudentT"]


class StudentT(LatentDistribution):
    """``t sqrt((df - 2) / df)`` with `df` degrees of freedom: mean 0, variance 1, heavy tails.

    Parameters
    ----------
    df : float
        More than 2, else there is no variance to scale by.
    """

    name = "student_t"

    def __init__(self, df: float) -> None:
        if not df > 2.0 or not np.isfinite(df):
            raise ValueError(f"df is {df}, it must be a finite number above 2 (the variance is scaled to 1)")
        self.df = float(df)

    def log_density(self, u: Array) -> Array:
        df = self.df
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * (df - 2.0))
        with np.errstate(over="ignore"):
            kernel = np.log1p(np.square(np.asarray(u, float)) / (df - 2.0))
        return np.asarray(constant - 0.5 * (df + 1.0) * kernel)

    def simulate(self, rng: np.random.Generator, size: int) -> Array:
        return np.asarray(rng.standard_t(self.df, size) * np.sqrt((self.df - 2.0) / self.df))
