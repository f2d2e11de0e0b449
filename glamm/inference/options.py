"""Options of a fit, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from glamm.errors import FitError
from glamm.inference.progress import Callback
from glamm.inference.rules import MOST_POINTS

__all__ = ["AdaptiveQuadrature", "FitOptions", "Laplace", "Multistart", "Newton", "is_count"]


def is_count(value: object) -> TypeGuard[int]:
    """Return whether `value` is a whole number from 1 up."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


@dataclass(frozen=True, slots=True)
class AdaptiveQuadrature:
    """Adaptive quadrature: Gauss-Hermite's rules, or quasi-random nodes where dimensions are many.

    Parameters
    ----------
    points : "auto", int, or sequence of int
        Up to 200 Gauss-Hermite points of a dimension; or more, a power of two: quasi-random nodes in all
        (which in one dimension are Gauss-Hermite's again). A sequence gives one number for each level, lowest
        first. ``"auto"`` raises them until log-likelihood and estimates stop moving; it scatters nodes at
        levels of five dimensions or more.
    max_points : int, optional
        Largest number ``"auto"`` may use; if that is at most 200, it uses product rules only. The default
        depends on the number of dimensions and rows.
    loglik_tolerance : float
        Integration error of the log-likelihood that ``"auto"`` accepts.
    estimate_tolerance : float
        Integration error of an estimate, in its standard errors, that ``"auto"`` accepts.
    """

    points: str | int | Sequence[int] = "auto"
    max_points: int | None = None
    loglik_tolerance: float = 5e-6
    estimate_tolerance: float = 3e-4

    def __post_init__(self) -> None:
        points = self.points
        if isinstance(points, str):
            if points != "auto":
                raise FitError(f"points={points!r}: expected 'auto', a whole number, or one for each level")
        else:
            values: tuple[object, ...] = tuple(points) if isinstance(points, Sequence) else (points,)
            for value in values:
                if not is_count(value):
                    raise FitError(f"points={points!r}: a number of points is a whole number from 1 up")
            whole = tuple(int(value) for value in values)  # type: ignore[call-overload]
            for count in whole:
                if count > MOST_POINTS and count & (count - 1):
                    raise FitError(
                        f"points={points!r}: at most {MOST_POINTS} points a dimension are possible; a larger "
                        f"number counts quasi-random nodes in all and is a power of two, "
                        f"such as {2 ** (count.bit_length() - 1)}"
                    )
            object.__setattr__(self, "points", whole if isinstance(points, Sequence) else whole[0])
        if self.max_points is not None and not is_count(self.max_points):
            raise FitError(f"max_points={self.max_points!r}: a number of points is a whole number from 1 up")

    def tolerance(self, loglik: float) -> float:
        """Return the integration error of a log-likelihood that is accepted: rounding sets a limit."""
        return max(self.loglik_tolerance, 1e-10 * abs(loglik))


@dataclass(frozen=True, slots=True)
class Laplace(AdaptiveQuadrature):
    """Laplace's approximation: adaptive quadrature with one point."""

    points: str | int | Sequence[int] = 1


@dataclass(frozen=True, slots=True)
class Newton:
    """Quasi-Newton steps finished by Newton steps with the observed information.

    Parameters
    ----------
    tol : float
        Newton decrement ``g' H^-1 g`` below which the last step is taken: the log-likelihood is then
        within ``tol / 2`` of its maximum before that step.
    max_iterations : int
        Limit of quasi-Newton iterations.
    """

    tol: float = 1e-9
    max_iterations: int = 200

    def __post_init__(self) -> None:
        if not isinstance(self.tol, int | float | np.number) or not 0.0 < self.tol < np.inf:
            raise FitError(f"tol={self.tol!r}: expected a positive number")
        if not is_count(self.max_iterations):
            raise FitError(f"max_iterations={self.max_iterations!r}: expected a whole number from 1 up")


@dataclass(frozen=True, slots=True)
class Multistart:
    """Random starts of models with classes, whose likelihood has local maxima.

    Parameters
    ----------
    starts : int, optional
        Number of random starts; the default depends on what one costs.
    seed : int
        The same seed gives the same starts.
    order : tuple of {"size", "location", ""}
        By class variable: whether classes are numbered by size, by location where they have one, or stay
        as they come because they have names; missing entries are ``""``.
    """

    starts: int | None = None
    seed: int = 0
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.starts is not None and not is_count(self.starts):
            raise FitError(f"starts={self.starts!r}: expected a whole number from 1 up")
        if not is_count(self.seed) and self.seed != 0:
            raise FitError(f"seed={self.seed!r}: expected a whole number from 0 up")


@dataclass(frozen=True, slots=True, eq=False)
class FitOptions:
    """Everything that steers a fit.

    Parameters
    ----------
    integration : AdaptiveQuadrature
    optimizer : Newton
    progress : bool, callable or None
        True shows progress, False is silent, a callable receives each `Iteration`; None shows progress
        on a terminal if the fit takes more than two seconds.
    threads : int, optional
    start : ndarray, shape (P,), optional
        Starting values instead of those found from the data.
    multistart : Multistart
    """

    integration: AdaptiveQuadrature = field(default_factory=AdaptiveQuadrature)
    optimizer: Newton = field(default_factory=Newton)
    progress: bool | Callback | None = None
    threads: int | None = None
    start: NDArray[np.float64] | None = None
    multistart: Multistart = field(default_factory=Multistart)
