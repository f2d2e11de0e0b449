"""The standard normal distribution of a latent variable."""

from __future__ import annotations

import numpy as np

from glamm.protocols import Array, LatentDistribution

__all__ = ["Normal"]


class Normal(LatentDistribution):
    """Normal with mean 0 and variance 1."""

    name = "normal"

    def log_density(self, u: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(-0.5 * np.square(np.asarray(u, float)) - 0.5 * np.log(2.0 * np.pi))

    def simulate(self, rng: np.random.Generator, size: int) -> Array:
        return rng.standard_normal(size)
