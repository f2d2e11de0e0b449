"""What families of sets of alternatives share: positions in a set, shares of its members, names of sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from glamm.protocols import Array, Column

__all__ = ["by_alternative", "name_of_set", "offered", "positions", "shares"]

Index = NDArray[np.intp]


def positions(set_of_row: Index) -> tuple[Index, Array, tuple[str, ...]]:
    """Return each row's position in its set, the sizes of the sets, and the labels ``"1" .. "K"``.

    Parameters
    ----------
    set_of_row : ndarray of intp, shape (n,)
        Ascending.
    """
    size = np.bincount(set_of_row)
    position = np.arange(set_of_row.size) - np.repeat(np.cumsum(size) - size, size)
    return position, size.astype(float), tuple(str(k + 1) for k in range(size.max(initial=0)))


def offered(size: Index, most: int) -> NDArray[np.bool_]:
    """Return whether each set has an alternative at each position, shape (S, most)."""
    return np.asarray(np.arange(most) < size[:, None])


def by_alternative(nu: Sequence[Array], shape: tuple[int, ...] = ()) -> Array:
    """Return the predictors, broadcast to at least `shape`, with the alternatives on a last axis."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in nu), shape)
    return np.stack([np.broadcast_to(np.asarray(value, float), shape) for value in nu], axis=-1)


def shares(scores: Array) -> Array:
    """Return the probabilities proportional to ``exp(scores)`` on the last axis."""
    return np.asarray(softmax(scores, axis=-1))


def name_of_set(column: Column, row: int) -> str:
    """Return how the data call the set of a row."""
    value = column.values[row]
    return repr(column.levels[int(value)]) if column.levels is not None else f"{value:g}"
