"""What a plugin must be: `Family`, `Link`, `LatentDistribution` and the small types they use.

The engine sees a family as a function of *channels*: numbers ``nu_0 .. nu_{K-1}`` of one response unit,
each a linear predictor or a fixed value. A family of a mean and a link has the channels ``mu`` and one
for each auxiliary parameter. A family may have more linear predictors than channels (an ordinal response
with C categories has C - 1 thresholds, but one unit meets at most two): `Family.channels` says which
predictor feeds which channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glamm.numdiff import differentiate, differentiate_scaled

Array = NDArray[np.float64]

__all__ = [
    "TRANSFORMS",
    "Column",
    "Encoded",
    "Family",
    "Interval",
    "LatentDistribution",
    "Link",
    "MeanFamily",
    "Parameter",
    "Predictor",
    "ResponseError",
    "Transform",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A set of numbers from `low` to `high`, the support of a response or the range of a mean.

    Attributes
    ----------
    low, high : float
        End points; may be infinite.
    closed : {"neither", "left", "right", "both"}
        Which finite end points belong to the set.
    integer : bool
        Whole numbers only.
    """

    low: float
    high: float
    closed: str = "neither"
    integer: bool = False

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Return, for each number in `x`, whether it is finite and in the set."""
        x = np.asarray(x, dtype=float)
        above = x >= self.low if self.closed in ("left", "both") else x > self.low
        below = x <= self.high if self.closed in ("right", "both") else x < self.high
        inside: NDArray[np.bool_] = above & below & np.isfinite(x)
        if self.integer:
            inside &= x == np.floor(x)
        return inside

    def covers(self, other: Interval) -> bool:
        """Return whether the interior of `other` lies inside this interval."""
        return self.low <= other.low and other.high <= self.high

    def __str__(self) -> str:
        left = "[" if self.closed in ("left", "both") else "("
        right = "]" if self.closed in ("right", "both") else ")"
        kind = "whole numbers in " if self.integer else ""
        return f"{kind}{left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True, slots=True)
class Transform:
    """The scale on which an auxiliary parameter is linear: ``natural = inverse(linear)``."""

    name: str
    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]


def _logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-p)


def _expit(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -x))


def _same(x: Any) -> Any:
    return x


TRANSFORMS: Mapping[str, Transform] = {
    "identity": Transform("identity", _same, _same),
    "log": Transform("log", np.log, np.exp),
    "logit": Transform("logit", _logit, _expit),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An auxiliary parameter of a family of a mean (``sigma``, ``shape``).

    Attributes
    ----------
    name : str
    transform : {"log", "identity", "logit"}
        Scale of its linear predictor.
    start : float
        Starting value on the natural scale.
    fixed : float or None
        Natural value at which it is held unless the model gives it a regression of its own.
    """

    name: str
    transform: str = "log"
    start: float = 1.0
    fixed: float | None = None


@dataclass(frozen=True, slots=True)
class Predictor:
    """One linear predictor of a family, expanded over categories.

    Attributes
    ----------
    name : str
        ``"mu"``, or the auxiliary parameter's name (``"threshold"``); predictors of one name share the
        right-hand side of their regression and have coefficients of their own.
    label : str
        What tells predictors of one name apart (``"1|2"``, ``"b"``); empty if there is one.
    transform : str
        Natural scale of the predictor; ``mu`` uses ``"identity"`` here, its link is the family's.
    start : float
        Starting value of its intercept, on the linear scale.
    fixed : float or None
        Linear-scale value it is held at unless the model gives it a regression.
    intercept : bool
        Whether it has an intercept by default (the ``mu`` of an ordinal response has none: its
        thresholds play that part).
    """

    name: str
    label: str = ""
    transform: str = "identity"
    start: float = 0.0
    fixed: float | None = None
    intercept: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A column of data as a family meets it, missing values removed.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n,)
        Numbers, or integer codes into `levels` where the column is categorical.
    levels : tuple of str or None
        Labels of a categorical, string or boolean column (``("False", "True")``); None for numbers.
    ordered : bool
        Whether the data frame says that the levels are ordered.
    """

    name: str
    values: Array
    levels: tuple[str, ...] | None = None
    ordered: bool = False

    def need_numbers(self, family: str) -> None:
        """Raise ResponseError if the column holds labels, on behalf of the family of that name."""
        if self.levels is not None:
            shown = ", ".join([*map(repr, self.levels[:3]), *["..."] * (len(self.levels) > 3)])
            raise ResponseError(
                f"{self.name!r} holds labels ({shown}), but the family {family!r} needs numbers"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A response as numbers: `y`, shape (n, ny), C order, and the labels of its categories."""

    y: Array
    categories: tuple[str, ...] = ()


class ResponseError(ValueError):
    """Raised by `Family.encode` for values outside the support; `row` is the first such position."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class Link(ABC):
    """A monotone map from the mean to the linear predictor.

    Attributes
    ----------
    name : str
        Given by the registry.
    mean : Interval
        Values that `inverse` takes.
    """

    name: str = ""
    mean: ClassVar[Interval]

    @abstractmethod
    def link(self, mu: Array) -> Array:
        """Return the linear predictor of the mean `mu`, any shape."""

    @abstractmethod
    def inverse(self, nu: Array) -> Array:
        """Return the mean of the linear predictor `nu`, any shape."""

    def derivative(self, nu: Array) -> Array:
        """Return d mu / d nu, any shape (default: numerical)."""
        return differentiate(lambda nus: self.inverse(nus[0]), (np.asarray(nu, float),), 1)[1][0]

    def radius(self, nu: Array) -> Array:
        """Return how far from `nu` the mean is a smooth function of it, at most 1 (default: 1).

        Numerical derivatives take steps in proportion, so that they do not cross a pole.
        """
        return np.ones_like(np.asarray(nu, float))

    def start(self, mean: float) -> float:
        """Return the linear predictor of `mean`, or of a value near it inside the link's range."""
        low, high = self.mean.low, self.mean.high
        margin = 0.1 * min(1.0, high - low)
        inside = low + margin if mean <= low else high - margin if mean >= high else mean
        return float(self.link(np.asarray(inside)))

    # What families need where the mean itself under- or overflows. Each default follows from `inverse`.

    def log_inverse(self, nu: Array) -> Array:
        """Return the logarithm of the mean, NaN where the mean is negative."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log(self.inverse(nu)))

    def log_complement(self, nu: Array) -> Array:
        """Return ``log(1 - mean)``, for links whose mean is a probability."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log1p(-self.inverse(nu)))

    def log_difference(self, lower: Array, upper: Array) -> Array:
        """Return ``log(inverse(upper) - inverse(lower))``, NaN unless ``lower < upper``.

        For links whose mean is a probability. The default subtracts in the smaller tail.
        """
        with np.errstate(all="ignore"):
            left_low, left_high = self.log_inverse(lower), self.log_inverse(upper)
            right_low, right_high = self.log_complement(lower), self.log_complement(upper)
            left = left_high + np.log(-np.expm1(left_low - left_high))
            right = right_low + np.log(-np.expm1(right_high - right_low))
            return np.asarray(np.where(left_high < right_low, left, right))


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
    """

    name: str = ""
    responses: ClassVar[Mapping[str, int]] = {"": 1}
    links: ClassVar[tuple[str, ...]] = ("identity",)
    mean: ClassVar[Interval | None] = None

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
        auxiliary = []
        for p in self.parameters:
            forward = TRANSFORMS[p.transform].forward
            fixed = None if p.fixed is None else float(forward(p.fixed))
            auxiliary.append(
                Predictor(p.name, transform=p.transform, start=float(forward(p.start)), fixed=fixed)
            )
        return (Predictor("mu"), *auxiliary)

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


class LatentDistribution(ABC):
    """A distribution of a standardised latent variable; the normal needs no plugin of its own.

    Subclasses are met by name in the model language: ``student_t(1 | g, df=5)``.
    """

    name: str = ""

    @abstractmethod
    def log_density(self, u: Array) -> Array:
        """Return the log density of the standardised variable, any shape."""

    @abstractmethod
    def simulate(self, rng: np.random.Generator, size: int) -> Array:
        """Draw `size` values."""
