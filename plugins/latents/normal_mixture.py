"""A mixture of two normal distributions of a latent variable, scaled to mean zero and variance one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glamm.kernels._families import capsule
from glamm.plugins.latents._functions import EXP, EXPIT, LOG, SOFTPLUS, SQRT
from glamm.plugins.latents._jets import variables
from glamm.protocols import TRANSFORMS, Array, LatentDistribution, Parameter

__all__ = ["NormalMixture"]

_NARROWEST = 0.01
"""Variance of a component over that of the mixture."""

_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


class NormalMixture(LatentDistribution):
    """Two normal components, the first with the lower mean.

    Before it is scaled the first component is standard normal, the second has the mean `separation` and the
    standard deviation `ratio`. Without separation it is a mixture of scales. A component has at least a tenth
    of the standard deviation of the whole: quadrature would count a spike as its nodes hit it or not, and a
    search for the maximum would find what it counts too often.

    Parameters
    ----------
    weight : float or None
        Probability of the first component; each parameter that is None is estimated.
    separation : float or None
        Distance of the means in standard deviations of the first component, positive.
    ratio : float or None
        Standard deviation of the second component over that of the first.
    """

    name = "normal_mixture"

    def __init__(
        self, weight: float | None = None, separation: float | None = None, ratio: float | None = None
    ) -> None:
        if weight is not None and not 0.0 < weight < 1.0:
            raise ValueError(f"weight is {weight}, it must lie between 0 and 1")
        for name, value in (("separation", separation), ("ratio", ratio)):
            if value is not None and not (value > 0.0 and np.isfinite(value)):
                raise ValueError(f"{name} is {value}, it must be a positive number")
        self.parameters = (
            Parameter("weight", transform="logit", start=0.5, fixed=weight),
            Parameter("separation", start=2.0, fixed=separation),
            Parameter("ratio", start=1.0, fixed=ratio),
        )

    def log_density(self, u: Array, *parameters: Array) -> Array:
        linear = [
            TRANSFORMS[p.transform].forward(v) for p, v in zip(self.parameters, parameters, strict=True)
        ]
        with np.errstate(over="ignore", invalid="ignore"):
            ll = self.block([u, *linear])[0][0]
            return np.where(np.isnan(ll), -np.inf, ll)  # both components are nothing

    def block(self, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        u, log_odds, log_separation, log_ratio = variables(nu, order)
        first, second = log_odds.through(*EXPIT), (log_odds * -1.0).through(*EXPIT)
        separation, ratio = log_separation.through(*EXP), log_ratio.through(*EXP)
        mean = second * separation
        variance = first + second * (ratio * ratio + first * separation * separation)
        sd = variance.through(*SQRT)
        z = mean + sd * u
        far = (z - separation) * (log_ratio * -1.0).through(*EXP)
        lower = z * z * -0.5
        # log odds of the second component given z
        gap = far * far * -0.5 - log_ratio - log_odds - lower
        ll = lower - (log_odds * -1.0).through(*SOFTPLUS) + gap.through(*SOFTPLUS)
        made = (ll + sd.through(*LOG) - _HALF_LOG_2PI).block()
        narrow = np.minimum(1.0, ratio.value) ** 2 < _NARROWEST * variance.value
        made[0][0] = np.where(narrow, -np.inf, made[0][0])
        return made

    def kernel(self) -> Any:
        return capsule("latent normal_mixture", "identity")

    def simulate(self, rng: np.random.Generator, size: int, *parameters: float) -> Array:
        weight, separation, ratio = parameters
        in_second = rng.random(size) >= weight
        z = rng.standard_normal(size)
        z = np.where(in_second, separation + ratio * z, z)
        mean = (1.0 - weight) * separation
        variance = weight + (1.0 - weight) * (ratio**2 + weight * separation**2)
        return np.asarray((z - mean) / np.sqrt(variance))
