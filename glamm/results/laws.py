"""Distributions of standard coordinates that are not normal: their draws, nodes and descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm import registry
from glamm.protocols import LatentDistribution

Array = NDArray[np.float64]

__all__ = ["CoordinateLaw", "law_from_json", "law_to_json"]

FURTHEST = 30.0
"""Where nodes end, on the scale of ``arsinh(u)``: at 5e12."""

NOTHING = 1e-7
"""Weight, relative to the error that is accepted, below which a node is left out."""

SPACINGS = 6
"""How many are tried, each half the one before, which narrow components need."""


@dataclass(frozen=True, slots=True, eq=False)
class CoordinateLaw:
    """The distribution of a standard coordinate that is not normal.

    Attributes
    ----------
    level, coordinate : int
    distribution : LatentDistribution
    parameters : tuple of float
        On their natural scales.
    """

    level: int
    coordinate: int
    distribution: LatentDistribution
    parameters: tuple[float, ...]

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Return draws, shape (size,)."""
        return np.asarray(self.distribution.simulate(rng, size, *self.parameters))

    def nodes(self, step: float, error: float = 1e-10) -> tuple[Array, Array]:
        """Return nodes and weights of sum 1, equally spaced on the scale of ``arsinh(u)``.

        The spacing is halved until the density integrates to 1. A density whose tails fall as a power reaches
        further than its weights do: a node at every power of ten, where it has any mass, makes means that do
        not exist infinite.

        Parameters
        ----------
        step : float
            Largest spacing.
        error : float
            Of the integral of the density that is accepted.
        """
        for _ in range(SPACINGS):
            half = int(np.ceil(FURTHEST / step))
            s = step * np.arange(-half, half + 1, dtype=np.float64)
            u, weight = np.sinh(s), step * np.cosh(s) * self._density(np.sinh(s))
            if abs(weight.sum() - 1.0) < error:
                break
            step *= 0.5
        kept = weight > NOTHING * error
        powers = 10.0 ** np.arange(1, 9)
        far = np.concatenate((-powers[powers > -u[kept][0]], powers[powers > u[kept][-1]]))
        mass = np.abs(far) * self._density(far)
        far, mass = far[mass > 0.0], mass[mass > 0.0]
        return np.concatenate((u[kept], far)), np.concatenate((weight[kept] / weight[kept].sum(), mass))

    def _density(self, u: Array) -> Array:
        parameters = [np.asarray(value) for value in self.parameters]
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.exp(self.distribution.log_density(u, *parameters)))


def law_to_json(law: CoordinateLaw) -> dict[str, Any]:
    """Return a description of the distribution of a coordinate.

    Raises
    ------
    GlammError
        The distribution is not a plugin that can be found by its name.
    """
    distribution = law.distribution
    registry.latent(distribution.name, **distribution.options)
    return {
        "level": law.level,
        "coordinate": law.coordinate,
        "distribution": distribution.name,
        "options": dict(distribution.options),
        "parameters": list(law.parameters),
    }


def law_from_json(described: dict[str, Any]) -> CoordinateLaw:
    """Return what `law_to_json` described."""
    return CoordinateLaw(
        described["level"],
        described["coordinate"],
        registry.latent(described["distribution"], **described["options"]),
        tuple(described["parameters"]),
    )
