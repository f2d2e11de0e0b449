"""Small values that plugins and the rest of glamm exchange: intervals, predictors, columns of a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

__all__ = [
    "TRANSFORMS",
    "Array",
    "Column",
    "Encoded",
    "Interval",
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
    """The scale on which an auxiliary parameter is linear: ``natural = inverse(linear)``.

    `slope` is the derivative of `inverse`, as a function of the natural value.
    """

    name: str
    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    slope: Callable[[Any], Any]


def _logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-p)


def _expit(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -x))


def _logistic_slope(p: Any) -> Any:
    return p * (1.0 - p)


def _same(x: Any) -> Any:
    return x


def _one(x: Any) -> Any:
    return np.ones_like(x, dtype=float)


def _log_above_two(x: Any) -> Any:
    return np.log(x - 2.0)


def _two_and_exp(x: Any) -> Any:
    return 2.0 + np.exp(x)


def _less_two(x: Any) -> Any:
    return x - 2.0


TRANSFORMS: Mapping[str, Transform] = {
    "identity": Transform("identity", _same, _same, _one),
    "log": Transform("log", np.log, np.exp, _same),
    # degrees of freedom of a distribution that has a variance
    "log_above_2": Transform("log_above_2", _log_above_two, _two_and_exp, _less_two),
    "logit": Transform("logit", _logit, _expit, _logistic_slope),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An auxiliary parameter of a family of a mean (``sigma``, ``shape``) or of a latent distribution.

    Attributes
    ----------
    name : str
    transform : {"log", "identity", "logit", "log_above_2"}
        Scale of its linear predictor.
    start : float
        Starting value on the natural scale.
    fixed : float or None
        Natural value at which it is held unless the model gives it a regression of its own.
    limits : tuple of float
        Ends of its range at which the density is that of a simpler distribution, so that an estimate may
        lie there: infinity for the size of a negative binomial.
    """

    name: str
    transform: str = "log"
    start: float = 1.0
    fixed: float | None = None
    limits: tuple[float, ...] = ()


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
    limits : tuple of float
        Infinite values at which the density is that of a simpler distribution; see `Parameter`.
    """

    name: str
    label: str = ""
    transform: str = "identity"
    start: float = 0.0
    fixed: float | None = None
    intercept: bool = True
    limits: tuple[float, ...] = ()


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
