"""What a family must be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glamm.numdiff import differentiate_scaled
from glamm.protocols.scales import Link
from glamm.protocols.values import (
    TRANSFORMS,
    Array,
    Column,
    Encoded,
    Interval,
    Parameter,
    Predictor,
    ResponseError,
)

__all__ = ["Family", "MeanFamily", "auxiliary_predictors"]


MOST_CHANNELS = 64
"""Most linear predictors that the log density of a unit may depend on."""


class Family(ABC):
    """A conditional distribution of a response given its linear predictors.

    A family instance is made of its options (``ordinal(probit)``): ``Ordinal(link=ProbitLink())``.
    Instances hold plain attributes only and pickle.

    Attributes
    ----------
    name : str
        Given by the registry.
    responses : mapping of str to int
        Forms of the left-hand side and their number of columns: ``{"": 1, "cbind": 2}``; the empty
        string is a plain column.
    links : tuple of str
        Names of the links that are known to fit, the default first.
    mean : Interval or None
        Any link whose mean lies in this interval fits as well; None: only those in `links` do.
    stacked : bool
        Whether a unit is a set of rows (`SetFamily`).
    """

    name: str = ""
    responses: ClassVar[Mapping[str, int]] = {"": 1}
    links: ClassVar[tuple[str, ...]] = ("identity",)
    mean: ClassVar[Interval | None] = None
    stacked: ClassVar[bool] = False

    link: Link

    # ------------------------------------------------ the response

    def takes(self, form: str, columns: int) -> bool:
        """Return whether a left-hand side of that form and number of columns is a response."""
        return self.responses.get(form) == columns

    @abstractmethod
    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        """Return the response as numbers.

        Parameters
        ----------
        form : str
            A key of `responses`.
        columns : sequence of Column
            Columns of the left-hand side, equally long, without missing values.

        Raises
        ------
        ResponseError
            A value lies outside the support.
        """

    @abstractmethod
    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        """Return the linear predictors, ``mu`` first, those of one name next to each other."""

    def channels(self, encoded: Encoded) -> NDArray[np.intp] | None:
        """Return the predictor that feeds each channel of each unit, shape (n, K).

        ``-1`` marks a channel the unit does not use (it is given 0). None: channel k is predictor k.
        """
        del encoded
        return None

    # ------------------------------------------------ the density

    @abstractmethod
    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        """Return the log density of each unit at each node.

        Parameters
        ----------
        y : ndarray, shape (n, ny)
        nu : sequence of K ndarrays, each broadcastable to (nodes, n)
            Channels.

        Returns
        -------
        ndarray, shape (nodes, n)
        """

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        """Return the log density and its derivatives in the channels.

        Parameters
        ----------
        y : ndarray, shape (n, ny)
        nu : sequence of K ndarrays, each broadcastable to (nodes, n)
        order : {0, 1, 2, 3}

        Returns
        -------
        tuple of `order` + 1 lists of ndarrays, shape (nodes, n)
            ``[ll]``; ``d1[k]``; ``d2`` over pairs (0,0), (0,1) .. (0,K-1), (1,1) ..; ``d3[pair * K + k]``
            the derivative of that pair in channel k. The default differentiates `log_likelihood`
            numerically with an eighth-order rule.
        """
        scale = self.radius(nu)
        return differentiate_scaled(lambda at: self.log_likelihood(y, at), nu, scale, order)

    def radius(self, nu: Sequence[Array]) -> Array:
        """Return how far channel 0 may move before the log density changes character, at most 1.

        Only the numerical derivatives of `block` use it (default: the link's).
        """
        return self.link.radius(nu[0])

    def is_quadratic(self, channel: int) -> bool:
        """Return whether the log density is a quadratic function of a channel, the others given.

        Adaptive quadrature over a latent variable that enters such a channel is exact with one point.
        """
        del channel
        return False

    def cumulant(self) -> str:
        """Return the name of the cumulant function K if the log density is ``y nu - m K(nu) + c(y)``.

        ``"logistic"`` is ``log(1 + exp(nu))``, its size m the second column of y; ``"exponential"`` is
        ``exp(nu)`` with m = 1. Empty for every other density. The engine has a faster path for these.
        """
        return ""

    def kernel(self) -> Any:
        """Return the compiled block function as a capsule ``glamm.block.v1``, or None.

        See ``docs/plugin-guide.md`` for the C signature.
        """
        return None

    # ------------------------------------------------ optional, with defaults

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        """Return a starting intercept for each predictor, on the linear scale."""
        del weight
        return tuple(p.start if p.fixed is None else p.fixed for p in self.predictors(encoded))

    def row_effects(self, encoded: Encoded) -> bool:
        """Return whether a random intercept for every single unit can be told from the distribution.

        It can for counts (overdispersion), not where a scale parameter or the categories already leave
        the units free.
        """
        return not encoded.categories

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        """Return what a prediction on the response scale is, given *all predictors* (not channels).

        A family with categories returns probabilities with the categories on the last axis.
        """
        del encoded_categories
        return self.link.inverse(np.asarray(nu[0], float))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        """Draw new responses, shape (n, ny); `y` gives what is not random (trials, censoring).

        `nu` holds all predictors, each of shape (n,).
        """
        raise TypeError(f"the family {self.name!r} has no simulate method")

    def decode(self, form: str, y: Array) -> Array:
        """Return the columns that `encode` made `y` of, shape (n, columns); codes of categories.

        The default takes the first columns of `y`.
        """
        return y[:, : self.responses[form]]

    def observed(self, y: Array) -> Array:
        """Return what `mean_value` predicts, as it was observed, shape (n,); the default is ``y[:, 0]``."""
        return y[:, 0]


def auxiliary_predictors(parameters: Sequence[Parameter]) -> tuple[Predictor, ...]:
    """Return the linear predictors of auxiliary parameters."""
    made = []
    for p in parameters:
        forward = TRANSFORMS[p.transform].forward
        fixed = None if p.fixed is None else float(forward(p.fixed))
        with np.errstate(divide="ignore"):
            limits = tuple(float(forward(value)) for value in p.limits)
        start = float(forward(p.start))
        made.append(Predictor(p.name, transform=p.transform, start=start, fixed=fixed, limits=limits))
    return tuple(made)


class MeanFamily(Family):
    """A family given by its density at a mean and auxiliary parameters.

    A subclass sets `support`, `mean`, `links`, `parameters` and `log_density`; everything else has a
    default.

    Parameters
    ----------
    link : Link
    """

    support: ClassVar[Interval]
    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(self, link: Link) -> None:
        self.link = link

    @abstractmethod
    def log_density(self, y: Array, mu: Array, *parameters: Array) -> Array:
        """Return the log density; `y` (n,), `mu` and parameters broadcastable to (nodes, n)."""

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        (column,) = columns
        column.need_numbers(self.name)
        inside = self.support.contains(column.values)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ResponseError(
                f"{column.name!r} is {column.values[row]:g}, "
                f"but the family {self.name!r} needs {self.support}",
                row,
            )
        return Encoded(np.ascontiguousarray(column.values[:, None], dtype=float))

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        return (Predictor("mu"), *auxiliary_predictors(self.parameters))

    def row_effects(self, encoded: Encoded) -> bool:
        return not (np.isneginf(self.support.low) and np.isposinf(self.support.high))

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        values = list(super().start(encoded, weight))
        average = float(np.average(encoded.y[:, 0], weights=weight))
        values[0] = self.link.start(average)
        return tuple(values)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            natural = [
                TRANSFORMS[p.transform].inverse(value)
                for p, value in zip(self.parameters, nu[1:], strict=True)
            ]
            ll = self.log_density(y[:, 0], self.link.inverse(np.asarray(nu[0], float)), *natural)
        return np.where(np.isnan(ll), -np.inf, ll)
