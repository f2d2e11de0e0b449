"""The standard normal distribution of a latent variable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glamm.plugins.latents._jets import variables
from glamm.protocols import Array, LatentDistribution

__all__ = ["Normal"]


class Normal(LatentDistribution):
    """Normal with mean 0 and variance 1."""

    name = "normal"

    def log_density(self, u: Array, *parameters: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(-0.5 * np.square(np.asarray(u, float)) - 0.5 * np.log(2.0 * np.pi))

    def block(self, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        (u,) = variables(nu, order)
        return (u * u * -0.5 - 0.5 * float(np.log(2.0 * np.pi))).block()

    def simulate(self, rng: np.random.Generator, size: int, *parameters: float) -> Array:
        return rng.standard_normal(size)
