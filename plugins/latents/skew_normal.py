"""The skew normal distribution of a latent variable, scaled to mean zero and variance one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from glamm.kernels._families import capsule
from glamm.plugins.latents._functions import LOG, LOG_NDTR, SQRT
from glamm.plugins.latents._jets import variables
from glamm.protocols import Array, LatentDistribution, Parameter

__all__ = ["SkewNormal"]

_ROOT = float(np.sqrt(2.0 / np.pi))
_CONSTANT = float(np.log(2.0) - 0.5 * np.log(2.0 * np.pi))


class SkewNormal(LatentDistribution):
    """``(z - m) / w``, z of density ``2 phi(z) Phi(shape z)``, m and w its mean and standard deviation.

    At shape 0, the normal distribution, the likelihood is flat in the shape: its third power is what the data
    tell about.

    Parameters
    ----------
    shape : float or None
        Its sign is that of the skewness; None: estimated.
    """

    name = "skew_normal"

    def __init__(self, shape: float | None = None) -> None:
        if shape is not None and not np.isfinite(shape):
            raise ValueError(f"shape is {shape}, it must be a finite number")
        self.parameters = (Parameter("shape", transform="identity", start=1.0, fixed=shape),)

    def log_density(self, u: Array, *parameters: Array) -> Array:
        (shape,) = (np.asarray(p, float) for p in parameters)
        mean = _ROOT * _delta(shape)
        sd = np.sqrt(1.0 - np.square(mean))
        with np.errstate(over="ignore"):
            z = mean + sd * np.asarray(u, float)
            return np.asarray(_CONSTANT + np.log(sd) - 0.5 * np.square(z) + log_ndtr(shape * z))

    def block(self, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        u, shape = variables(nu, order)
        mean = shape.through(_delta, _delta1, _delta2, _delta3) * _ROOT
        sd = (mean * mean * -1.0 + 1.0).through(*SQRT)
        z = mean + sd * u
        return (sd.through(*LOG) + z * z * -0.5 + (shape * z).through(*LOG_NDTR) + _CONSTANT).block()

    def kernel(self) -> Any:
        return capsule("latent skew_normal", "identity")

    def simulate(self, rng: np.random.Generator, size: int, *parameters: float) -> Array:
        delta = float(_delta(np.asarray(parameters[0])))
        first, second = rng.standard_normal((2, size))
        z = delta * np.abs(first) + np.sqrt(1.0 - delta**2) * second
        return np.asarray((z - _ROOT * delta) / np.sqrt(1.0 - (_ROOT * delta) ** 2))


def _delta(shape: Array) -> Array:
    """Return ``shape / sqrt(1 + shape ** 2)``; the next three are its derivatives."""
    return np.asarray(shape / np.hypot(1.0, shape))


def _delta1(shape: Array) -> Array:
    return np.asarray(np.hypot(1.0, shape) ** -3.0)


def _delta2(shape: Array) -> Array:
    return np.asarray(-3.0 * shape * np.hypot(1.0, shape) ** -5.0)


def _delta3(shape: Array) -> Array:
    return np.asarray((12.0 * np.square(shape) - 3.0) * np.hypot(1.0, shape) ** -7.0)
