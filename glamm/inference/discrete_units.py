"""Units of a model without continuous latent variables, each distinct one kept once.

In the data extended by classes the same response value meets the same design row many times. Densities and
their derivatives are needed for distinct combinations only, and for several parameter vectors at once: theta
is a matrix with one column for each of S starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import ResponsePlan
from glamm.kernels._block import evaluate
from glamm.numdiff import pairs
from glamm.protocols import Family

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Combinations", "Densities", "LogDensities", "distinct_rows"]

FEW = 16
"""Distinct rows that are looked for one by one."""

MOST_PRODUCTS = 4_000_000
"""Numbers that the products of two designs, kept for all starts, may have."""


def distinct_rows(columns: Sequence[Array]) -> tuple[Index, Index]:
    """Return the first of each distinct row of some columns (n,), and the number of every row among them."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for k, column in enumerate(columns):
        # adding 0 makes one zero of two; products of odd numbers modulo 2^64 lose nothing
        bits = np.ascontiguousarray(column + 0.0).view(np.uint64)
        mixed = (bits ^ (bits >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15 + 2 * k)
        key = (key ^ mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
    first, number = _distinct(key)
    if all(np.array_equal(column[first][number], column, equal_nan=True) for column in columns):
        return first, number
    _, first, number = np.unique(np.column_stack(columns), axis=0, return_index=True, return_inverse=True)
    return first.astype(np.intp), number.ravel().astype(np.intp)


def _distinct(key: NDArray[np.uint64]) -> tuple[Index, Index]:
    """Return the first of each value of `key` (n,), ascending, and the number of every one among them."""
    number = np.zeros(len(key), dtype=np.intp)
    left = np.arange(len(key))
    firsts: list[int] = []
    while len(left) and len(firsts) < FEW:
        # a few values are found faster one by one than by sorting
        number[left] = len(firsts)
        firsts.append(int(left[0]))
        left = left[key[left] != key[left[0]]]
    if not len(left):
        first = np.array(firsts, dtype=np.intp)
        order = np.argsort(key[first])
        return first[order], np.argsort(order)[number]
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return first.astype(np.intp), number.astype(np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """Log densities of the combinations of a response and their derivatives in its K channels.

    Attributes
    ----------
    value : ndarray, shape (U, S)
    first : ndarray, shape (K, U, S)
    second : ndarray, shape (K (K + 1) / 2, U, S)
        In the order of `glamm.numdiff.pairs`.
    """

    value: Array
    first: Array
    second: Array


class LogDensities:
    """Log densities of units as functions of their channels, several values of these at once.

    Parameters
    ----------
    family : Family
    y : ndarray, shape (U, ny)
    """

    def __init__(self, family: Family, y: Array) -> None:
        self.family, self.y = family, y
        self._kernel = family.kernel()
        self._repeated = y

    def __call__(self, nu: Array) -> Densities:
        """Return log densities and derivatives at channels (K, U, S)."""
        channels, units, starts = nu.shape
        if self._kernel is None:
            with np.errstate(all="ignore"):
                found = self.family.block(self.y, [np.ascontiguousarray(row.T) for row in nu], order=2)
            value, first, second = (
                np.stack([np.broadcast_to(a, (starts, units)).T for a in part]) for part in found
            )
            return Densities(value[0], first, second)
        if len(self._repeated) != units * starts:
            self._repeated = np.repeat(self.y, starts, axis=0)
        flat = evaluate(self._kernel, self._repeated, nu.reshape(channels, -1))
        shape = (units, starts)
        return Densities(flat[0].reshape(shape), flat[1].reshape(-1, *shape), flat[2].reshape(-1, *shape))


class Combinations:
    """The distinct units of one response.

    Parameters
    ----------
    response : ResponsePlan
        Without a latent part.

    Attributes
    ----------
    number : ndarray of intp, shape (n,)
        Combination of each unit.
    y : ndarray, shape (U, ny)
    designs, coefficients, offsets : list
        By channel: ndarray (U, p), ndarray of intp (p,), ndarray (U,).
    """

    def __init__(self, response: ResponsePlan) -> None:
        designs, self.coefficients, offsets = _by_channel(response)
        columns = [*response.encoded.y.T, *(column for design in designs for column in design.T), *offsets]
        first, self.number = distinct_rows(columns)
        self.family = response.family
        self.y = np.ascontiguousarray(response.encoded.y[first], dtype=float)
        self.designs = [np.ascontiguousarray(design[first]) for design in designs]
        self.offsets = [offset[first] for offset in offsets]
        self.size = len(first)
        self._densities = LogDensities(self.family, self.y)
        self._products: dict[tuple[int, int], Array | None] = {}

    def predictors(self, theta: Array) -> Array:
        """Return the channels (K, U, S) at theta (P, S)."""
        return np.stack(
            [
                design @ theta[coefficient] + offset[:, None]
                for design, coefficient, offset in zip(
                    self.designs, self.coefficients, self.offsets, strict=True
                )
            ]
        )

    def densities(self, theta: Array) -> Densities:
        """Return log densities and derivatives at theta (P, S)."""
        return self._densities(self.predictors(theta))

    def add_gradient(self, at: Densities, weight: Array, out: Array) -> None:
        """Add the gradient of the weighted log densities, weights (U, S), to `out` (P, S)."""
        for design, coefficient, first in zip(self.designs, self.coefficients, at.first, strict=True):
            out[coefficient] += design.T @ (weight * first)

    def add_information(self, at: Densities, weight: Array, out: Array) -> None:
        """Add the information of the weighted log densities, weights (U, S), to `out` (S, P, P)."""
        for (k, m), second in zip(pairs(len(self.designs)), at.second, strict=True):
            rows, columns = self.coefficients[k], self.coefficients[m]
            if not (len(rows) and len(columns)):
                continue
            part = self._crossed(k, m, -weight * second)
            out[:, rows[:, None], columns] += part
            if m > k:
                out[:, columns[:, None], rows] += np.swapaxes(part, 1, 2)

    def _crossed(self, k: int, m: int, weight: Array) -> Array:
        """Return ``X_k' diag(weight) X_m`` for each start, shape (S, p, q)."""
        a, b = self.designs[k], self.designs[m]
        if (k, m) not in self._products:
            small = self.size * a.shape[1] * b.shape[1] <= MOST_PRODUCTS
            self._products[k, m] = (a[:, :, None] * b[:, None, :]).reshape(self.size, -1) if small else None
        products = self._products[k, m]
        if products is not None:
            return np.asarray((weight.T @ products).reshape(-1, a.shape[1], b.shape[1]))
        return np.stack([(a * column[:, None]).T @ b for column in weight.T])

    def add_scores(self, at: Densities, out: Array) -> None:
        """Add the gradient of each combination's log density to `out` (U, P); S is 1."""
        for design, coefficient, first in zip(self.designs, self.coefficients, at.first, strict=True):
            out[:, coefficient] += first * design


def _by_channel(response: ResponsePlan) -> tuple[list[Array], list[Index], list[Array]]:
    """Return the design (n, p), coefficients and offset (n,) of each channel.

    Where units differ in the predictor that feeds a channel, its design has the columns of all predictors.
    """
    n = len(response.cluster)
    predictors = response.predictors
    offsets = [np.array(np.broadcast_to(p.offset, (n,)), dtype=float) for p in predictors]
    if response.channels is None:
        return [p.design for p in predictors], [p.coefficient for p in predictors], offsets
    union = np.unique(np.concatenate([p.coefficient for p in predictors]))
    designs, coefficients, fed_offsets = [], [], []
    for fed in response.channels.T:
        design = np.zeros((n, len(union)))
        offset = np.zeros(n)
        for k, predictor in enumerate(predictors):
            rows = np.flatnonzero(fed == k)
            places = np.searchsorted(union, predictor.coefficient)
            design[rows[:, None], places] = predictor.design[rows]
            offset[rows] = offsets[k][rows]
        designs.append(design)
        coefficients.append(union.astype(np.intp))
        fed_offsets.append(offset)
    return designs, coefficients, fed_offsets
