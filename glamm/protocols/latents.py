"""What a distribution of a latent variable must be, and how the engine integrates over it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from glamm.numdiff import differentiate_scaled
from glamm.protocols.families import Family, auxiliary_predictors
from glamm.protocols.values import TRANSFORMS, Array, Column, Encoded, Parameter, Predictor

__all__ = ["LatentDistribution", "LatentRatio", "natural"]

_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


class LatentDistribution(ABC):
    """A distribution of a standardised latent variable: mean 0, variance 1, whatever its parameters.

    Subclasses are met by name in the model language: ``student_t(1 | g, df=5)``. The normal needs no plugin
    of its own.

    Attributes
    ----------
    name : str
        Given by the registry.
    options : mapping of str to float
        What it was made with; given by the registry.
    parameters : tuple of Parameter
        Parameters of its form. One that an option holds at a value has that value as `fixed`; the others
        are estimated.
    """

    name: str = ""
    options: Mapping[str, float] = MappingProxyType({})
    parameters: tuple[Parameter, ...] = ()

    @abstractmethod
    def log_density(self, u: Array, *parameters: Array) -> Array:
        """Return the log density at `u`, any shape; natural values of the parameters, broadcastable to it."""

    @abstractmethod
    def simulate(self, rng: np.random.Generator, size: int, *parameters: float) -> Array:
        """Draw `size` values; parameters on their natural scale."""

    def block(self, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        """Return the log density and its derivatives, in the layout of `Family.block`.

        Parameters
        ----------
        nu : sequence of ndarrays, broadcastable to (nodes, n)
            The variable, then the parameters on their linear scale.
        order : {0, 1, 2, 3}

        Returns
        -------
        tuple of `order` + 1 lists of ndarrays, shape (nodes, n)
            The default differentiates `log_density` numerically with an eighth-order rule.
        """

        def at(values: Sequence[Array]) -> Array:
            with np.errstate(all="ignore"):
                return self.log_density(values[0], *natural(self.parameters, values[1:]))

        return differentiate_scaled(at, nu, self.radius(nu), order)

    def radius(self, nu: Sequence[Array]) -> Array:
        """Return how far the variable may move before the log density changes character, at most 1.

        Only the numerical derivatives of `block` use it; `nu` is as there (default: 1).
        """
        return np.ones_like(np.asarray(nu[0], float))

    def kernel(self) -> Any:
        """Return a compiled block function of the log *ratio* to the normal density, or None.

        A capsule ``glamm.block.v1`` with the channels of `LatentRatio`; it does not read the response.
        """
        return None


def natural(parameters: Sequence[Parameter], linear: Sequence[Array]) -> list[Array]:
    """Return values of parameters on their natural scale."""
    return [
        np.asarray(TRANSFORMS[p.transform].inverse(np.asarray(value, float)))
        for p, value in zip(parameters, linear, strict=True)
    ]


class LatentRatio(Family):
    """The density h of a latent variable over the normal one, as a family without a response.

    The engine integrates over standard normal coordinates. A coordinate u of density h is one of them with
    a unit of its own in each cluster, whose log density is ``log h(u) - log phi(u)``.

    Channels: ``mu``, which is u itself (a loading of 1 on the coordinate and nothing else), then the
    distribution's parameters on their linear scales. y is one column of zeros.

    Parameters
    ----------
    distribution : LatentDistribution
    """

    responses: ClassVar[Mapping[str, int]] = {}

    def __init__(self, distribution: LatentDistribution) -> None:
        self.distribution = distribution
        self.name = distribution.name

    @staticmethod
    def units(clusters: int) -> Encoded:
        """Return the response of one unit in each of a number of clusters."""
        return Encoded(np.zeros((clusters, 1)))

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        return self.units(columns[0].values.shape[0])

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        return (Predictor("mu", intercept=False), *auxiliary_predictors(self.distribution.parameters))

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        return self.block(y, nu)[0][0]

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        shape = np.broadcast_shapes(*(np.shape(value) for value in nu), y[:, 0].shape)
        u = np.asarray(nu[0], float)
        with np.errstate(all="ignore"):
            parts = self.distribution.block(nu, order)
            ratio = parts[0][0] + (0.5 * np.square(u) + _HALF_LOG_2PI)
            parts[0][0] = np.where(ratio < np.inf, ratio, -np.inf)  # u beyond 1e150
            if order > 0:
                parts[1][0] = parts[1][0] + u
            if order > 1:
                parts[2][0] = parts[2][0] + 1.0
        return tuple([np.broadcast_to(value, shape) for value in part] for part in parts)

    def radius(self, nu: Sequence[Array]) -> Array:
        return self.distribution.radius(nu)

    def kernel(self) -> Any:
        return self.distribution.kernel()

    def row_effects(self, encoded: Encoded) -> bool:
        return True

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        return np.asarray(nu[0], float)
