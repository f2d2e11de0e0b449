"""Linear constraints: equalities by a map from fewer coordinates, inequalities by an active set.

Equalities ``A theta = b`` leave the freedom ``theta = K phi + k0``, where phi are some of the parameters
themselves. Inequalities ``C theta >= d`` are met by fits with some of their rows held at equality: a primal
active-set method (Nocedal and Wright 2006, section 16.5) in which a whole fit takes the place of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from glamm.errors import FitError

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Bounded", "Bounds", "Equalities", "Equality", "Fit", "LinearMap", "fit_within_bounds"]

ROUNDING = 1e-10
"""What counts as zero in a row of unit size."""

SLACK = 1e-9
"""How far outside a bound of unit length a point counts as inside, relative to its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Equalities:
    """Linear equalities, ``matrix @ theta == value``.

    Attributes
    ----------
    matrix : ndarray, shape (m, P)
    value : ndarray, shape (m,)
    names : sequence of str, length m
        What an error calls the rows.
    """

    matrix: Array
    value: Array
    names: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Linear inequalities, ``matrix @ theta >= lower``; an upper bound is the lower bound of the negative.

    Attributes
    ----------
    matrix : ndarray, shape (m, P)
    lower : ndarray, shape (m,)
    names : sequence of str, length m
        What an error calls the rows.
    """

    matrix: Array
    lower: Array
    names: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """The parameters that satisfy linear equalities, ``theta = matrix @ phi + constant``.

    Attributes
    ----------
    matrix : ndarray, shape (P, Q)
    constant : ndarray, shape (P,)
    free : ndarray of int, shape (Q,)
        The parameters that are coordinates themselves, ``theta[free] == phi``.
    """

    matrix: Array
    constant: Array
    free: Index

    @classmethod
    def of(cls, equalities: Equalities) -> LinearMap:
        """Return the map of equalities.

        Redundant rows are dropped. Of equally good choices the parameters that come first stay free.

        Raises
        ------
        FitError
            If equalities contradict each other; it names those that do.
        """
        size = equalities.matrix.shape[1]
        pivots, reduced = _eliminate(equalities)
        free = np.setdiff1d(np.arange(size), pivots)
        matrix, constant = np.zeros((size, len(free))), np.zeros(size)
        matrix[free, np.arange(len(free))] = 1.0
        for row, pivot in enumerate(pivots):
            matrix[pivot] = -reduced[row, free]
            constant[pivot] = reduced[row, size]
        return cls(matrix + 0.0, constant, free)

    def expand(self, phi: Array) -> Array:
        """Return the parameters (P,) at coordinates (Q,)."""
        theta: Array = self.matrix @ phi + self.constant
        return theta

    def reduce(self, theta: Array) -> Array:
        """Return the coordinates (Q,) of the nearest parameters (P,) that satisfy the equalities."""
        phi: Array = np.linalg.pinv(self.matrix) @ (theta - self.constant)
        return phi

    def pull(self, gradient: Array) -> Array:
        """Return the gradient by coordinates (Q,) of a function with this gradient by parameters (P,)."""
        pulled: Array = self.matrix.T @ gradient
        return pulled


def _eliminate(equalities: Equalities) -> tuple[list[int], Array]:
    """Return pivot columns and their rows of the reduced system, right-hand side as the last column.

    Gauss-Jordan elimination with complete pivoting; of equal pivots the last column is taken.
    """
    scale = np.abs(equalities.matrix).max(axis=1, initial=0.0)
    scale = np.where(scale > 0.0, scale, 1.0)
    rows, size = equalities.matrix.shape
    system = np.column_stack([equalities.matrix, equalities.value]) / scale[:, None]
    # What each row has become of the rows given, to name those that contradict each other.
    origin = np.eye(rows)
    pivots: list[int] = []
    for done in range(min(rows, size)):
        left = np.abs(system[done:, :size])
        largest = left.max()
        if largest <= ROUNDING:
            break
        # Larger pivots only by rounding are no better: the choice must not hang on it.
        column = int(np.flatnonzero(left.max(axis=0) >= (1.0 - 1e-9) * largest)[-1])
        row = done + int(left[:, column].argmax())
        for array in (system, origin):
            array[[done, row]] = array[[row, done]]
        origin[done] /= system[done, column]
        system[done] /= system[done, column]
        factors = system[:, column].copy()
        factors[done] = 0.0
        system -= np.outer(factors, system[done])
        origin -= np.outer(factors, origin[done])
        pivots.append(column)
    rest = np.abs(system[len(pivots) :, size])
    size_of_rest = np.abs(origin[len(pivots) :]) @ np.abs(equalities.value / scale)
    contradicted = np.flatnonzero(rest > ROUNDING * (1.0 + size_of_rest))
    if len(contradicted):
        involved = np.abs(origin[len(pivots) + contradicted[0]]) > ROUNDING
        _refuse(equalities.names, np.flatnonzero(involved))
    return pivots, system[: len(pivots)]


def _refuse(names: Sequence[str], rows: Index) -> None:
    listed = " and ".join(f"`{names[int(row)]}`" for row in rows)
    what, together = ("constraints", " together") if len(rows) > 1 else ("constraint", "")
    raise FitError(f"the {what} {listed} cannot hold{together}")


class Fit(Protocol):
    """What a fit is to `fit_within_bounds`: the minimum of a function of the parameters."""

    @property
    def theta(self) -> Array:
        """The parameters, shape (P,)."""

    @property
    def value(self) -> float:
        """The function there."""

    @property
    def gradient(self) -> Array:
        """Its gradient by all parameters as if no equality held, shape (P,)."""


F = TypeVar("F", bound=Fit)


@dataclass(frozen=True, slots=True, eq=False)
class Equality:
    """A row of bounds held at equality, ``coefficients @ theta == value``; coefficients of shape (P,)."""

    coefficients: Array
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Bounded(Generic[F]):
    """The end of `fit_within_bounds`.

    Attributes
    ----------
    fit : F
        The fit with the `active` rows held at equality.
    active : tuple of int
        Rows of the bounds that the fit holds at equality.
    multipliers : ndarray, shape (len(active),)
        How fast the minimum rises with each active bound; not negative where converged, but for `tolerance`.
    converged : bool
        False where the search came back to rows already tried, as it can if the function has several minima;
        the fit is then the best one within the bounds.
    fits : int
    """

    fit: F
    active: tuple[int, ...]
    multipliers: Array
    converged: bool
    fits: int


@dataclass(frozen=True, slots=True, eq=False)
class _Polyhedron:
    """Bounds in the coordinates of a map, ``matrix @ phi >= lower`` with rows of unit length.

    Attributes
    ----------
    matrix : ndarray, shape (m, Q)
    lower : ndarray, shape (m,)
    length : ndarray, shape (m,)
        Of the rows before; 1 for a row of zeros, which is kept but restricts nothing.
    names : sequence of str, length m
    """

    matrix: Array
    lower: Array
    length: Array
    names: Sequence[str]

    @classmethod
    def of(cls, bounds: Bounds, space: LinearMap) -> _Polyhedron:
        matrix = bounds.matrix @ space.matrix
        lower = bounds.lower - bounds.matrix @ space.constant
        length = np.linalg.norm(matrix, axis=1)
        # A row that the equalities decide alone.
        decided = length <= ROUNDING * np.abs(bounds.matrix).max(axis=1, initial=0.0)
        size = 1.0 + np.abs(bounds.lower)
        contradicted = np.flatnonzero(decided & (lower > ROUNDING * size))
        if len(contradicted):
            _refuse(bounds.names, contradicted[:1])
        length = np.where(decided, 1.0, length)
        matrix = np.where(decided[:, None], 0.0, matrix / length[:, None])
        return cls(matrix, np.where(decided, -np.inf, lower / length), length, bounds.names)

    def slack(self, phi: Array) -> Array:
        """Return how far inside each row's bound a point is, shape (m,)."""
        slack: Array = self.matrix @ phi - self.lower
        return slack

    def violated(self, phi: Array) -> NDArray[np.bool_]:
        """Return which rows are violated by more than rounding, shape (m,)."""
        violated: NDArray[np.bool_] = self.slack(phi) < -SLACK * (1.0 + np.abs(phi).max(initial=0.0))
        return violated

    def nearest(self, phi: Array) -> tuple[Array, list[int]]:
        """Return the nearest point inside, and the rows that hold it there, linearly independent.

        Least-distance programming by nonnegative least squares (Lawson and Hanson 1995, section 23.4).
        """
        usable = np.flatnonzero(np.isfinite(self.lower))
        # bounds that meet in a point leave room for it: by rounding alone they may cross
        room = 0.1 * SLACK * (1.0 + np.abs(phi).max(initial=0.0))
        short = self.lower[usable] - room - self.matrix[usable] @ phi
        scale = short.max()
        dual = np.vstack([self.matrix[usable].T, short / scale])
        target = np.zeros(len(phi) + 1)
        target[-1] = 1.0
        weights, distance = nnls(dual, target)
        used = usable[weights > 0.0]
        if distance <= 1e-9:
            _refuse(self.names, used)
        residual = dual @ weights - target
        return phi - scale * residual[:-1] / residual[-1], [int(row) for row in used]


def fit_within_bounds(
    fit: Callable[[Mapping[int, Equality]], F], bounds: Bounds, space: LinearMap, *, tolerance: float = 1e-5
) -> Bounded[F]:
    """Return the minimum of a function within linear bounds, found by fits with some of them held.

    For a convex function with one minimum the result is that minimum. Rows that are held are linearly
    independent of each other and of the equalities of `space`.

    Parameters
    ----------
    fit : callable
        Takes the rows of `bounds` to hold, each with its equality, returns the minimum over the parameters
        that satisfy those equalities and the ones of `space`.
    bounds : Bounds
    space : LinearMap
        Of the equalities that always hold.
    tolerance : float
        Multiplier that counts as zero, of a row of unit length, relative to 1 plus the largest derivative.

    Raises
    ------
    FitError
        If no parameters satisfy the bounds and the equalities of `space`.
    """
    inside = _Polyhedron.of(bounds, space)
    equality = [Equality(row, float(at)) for row, at in zip(bounds.matrix, bounds.lower, strict=True)]
    found = fit({})
    phi, fits = found.theta[space.free], 1
    active: list[int] = []
    if inside.violated(phi).any():
        phi, active = inside.nearest(phi)
        found = fit({row: equality[row] for row in active})
        fits += 1
    best: Bounded[F] | None = None
    tried: set[frozenset[int]] = set()
    while True:
        target = found.theta[space.free]
        blocking = inside.violated(target)
        blocking[active] = False
        if blocking.any():
            # Towards the fit as far as the bounds allow; what stops the way is held from there on.
            rows = np.flatnonzero(blocking)
            slack = np.maximum(inside.slack(phi)[rows], 0.0)
            way = slack / (slack - inside.slack(target)[rows])
            phi = phi + way.min() * (target - phi)
            active = sorted([*active, int(rows[way.argmin()])])
        else:
            phi = target
            gradient = space.pull(found.gradient)
            multipliers = np.linalg.lstsq(inside.matrix[active].T, gradient, rcond=None)[0]
            wrong = np.flatnonzero(multipliers < -tolerance * (1.0 + np.abs(gradient).max(initial=0.0)))
            here = Bounded(found, tuple(active), multipliers / inside.length[active], not len(wrong), fits)
            if best is None or found.value < best.fit.value or here.converged:
                best = here
            if here.converged or frozenset(active) in tried:
                return replace(best, fits=fits)
            tried.add(frozenset(active))
            # The first, not the worst: with that rule, no cycle where several vertices coincide.
            del active[int(wrong[0])]
        found = fit({row: equality[row] for row in active})
        fits += 1
