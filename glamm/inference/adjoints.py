"""Forms in the standard coordinates and their adjoints: the values that the chain rule passes on.

See `glamm.inference.forms` for what makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.kernels._products import times_rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Adjoint", "Backward", "Coordinates", "Form", "Sums", "product", "product_adjoint"]


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The standard coordinates of all levels side by side, and the pairs that are multiplied.

    Attributes
    ----------
    starts : tuple of int
        First coordinate of each level.
    width : int
        Q, their number.
    pairs : tuple of (int, int)
        Coordinates ``x <= y`` whose products occur.
    """

    starts: tuple[int, ...]
    width: int
    pairs: tuple[tuple[int, int], ...]

    @property
    def slopes(self) -> int:
        """Columns of a form's slopes: coordinates, then pairs."""
        return self.width + len(self.pairs)


@dataclass(slots=True, eq=False)
class Form:
    """Offset (r,) and slopes (r, W), each with a row for every unit or cluster or, where constant, one."""

    offset: Array
    offset_constant: bool
    slope: Array
    slope_constant: bool


class Sums:
    """Sums over the rows of each top-level cluster, or over all rows.

    Parameters
    ----------
    edges : ndarray of intp, shape (tops + 1,), or None
        First row of each top-level cluster; None: one sum over everything.
    """

    def __init__(self, edges: Index | None) -> None:
        self.edges = edges

    def of(self, values: Array) -> Array:
        """Return the sums of rows, shape (T, ...)."""
        if self.edges is None:
            return np.asarray(values.sum(axis=0, keepdims=True))
        sums = np.zeros((len(self.edges) - 1, *values.shape[1:]))
        filled = np.flatnonzero(np.diff(self.edges))
        if len(filled):
            sums[filled] = np.add.reduceat(values, self.edges[filled], axis=0)
        return sums

    def weighted(self, values: Array, design: Array) -> Array:
        """Return the sums of ``values * design``, shape (T, p), for values (n,) and a design (n, p)."""
        if self.edges is None:
            return np.asarray(times_rows(np.ascontiguousarray(values), design))[None]
        return self.of(values[:, None] * design)


class Backward:
    """Adjoints on their way back: of theta, of the levels' factors and of the latent variables' forms.

    Parameters
    ----------
    sums : sequence of Sums
        Of the clusters of each level.
    theta : ndarray, shape (P,)
    factors : sequence of ndarray, shape (q, q)
    forms : sequence of Form
        Of the latent variables.
    tops : int
        T, the number of sums kept apart.
    """

    def __init__(
        self, sums: Sequence[Sums], theta: Array, factors: Sequence[Array], forms: Sequence[Form], tops: int
    ) -> None:
        self.sums, self.theta, self.values, self.forms = sums, theta, factors, forms
        self.out = np.zeros((tops, len(theta)))
        self.factors = [np.zeros((tops, *factor.shape)) for factor in factors]
        self.latents = [
            Adjoint(
                np.zeros(tops if form.offset_constant else len(form.offset)),
                form.offset_constant,
                np.zeros((tops if form.slope_constant else len(form.slope), form.slope.shape[1])),
                form.slope_constant,
            )
            for form in forms
        ]

    def add_coefficients(self, coefficient: Index, part: Array) -> None:
        """Add adjoints (T, m) of the parameters at `coefficient`."""
        np.add.at(self.out.T, coefficient, part.T)


@dataclass(slots=True, eq=False)
class Adjoint:
    """Adjoint of a form; where it is constant, one row for each of the T sums."""

    offset: Array
    offset_constant: bool
    slope: Array
    slope_constant: bool

    def reduced(self, offset_constant: bool, slope_constant: bool, sums: Sums) -> Adjoint:
        """Return the adjoint summed over rows where the wanted one is constant."""
        return Adjoint(
            sums.of(self.offset) if offset_constant and not self.offset_constant else self.offset,
            offset_constant,
            sums.of(self.slope) if slope_constant and not self.slope_constant else self.slope,
            slope_constant,
        )


def product(space: Coordinates, a: Form, b: Form) -> Form:
    """Return the product of two linear forms; constant in both parts or in none."""
    constant = a.offset_constant and b.offset_constant and a.slope_constant and b.slope_constant
    offset = a.offset * b.offset
    slope = a.offset[:, None] * b.slope + b.offset[:, None] * a.slope
    n = max(len(offset), len(slope))
    slope = np.array(np.broadcast_to(slope, (n, space.slopes)))
    for p, (x, y) in enumerate(space.pairs):
        value = a.slope[:, x] * b.slope[:, y]
        slope[:, space.width + p] = value if x == y else value + a.slope[:, y] * b.slope[:, x]
    return Form(np.array(np.broadcast_to(offset, (n,))), constant, slope, constant)


def product_adjoint(space: Coordinates, b: Form, own: Adjoint) -> Adjoint:
    """Return the adjoint of `a` where `own` is that of ``a * b``."""
    q = space.width
    slope = np.zeros_like(own.slope)
    slope[:, :q] = own.slope[:, :q] * b.offset[:, None]
    offset = own.offset * b.offset + np.einsum(
        "nq,nq->n", own.slope[:, :q], np.broadcast_to(b.slope, own.slope.shape)[:, :q]
    )
    for p, (x, y) in enumerate(space.pairs):
        slope[:, x] += own.slope[:, q + p] * b.slope[:, y]
        if x != y:
            slope[:, y] += own.slope[:, q + p] * b.slope[:, x]
    return Adjoint(offset, own.offset_constant, slope, own.slope_constant)
