"""What a family must be whose unit is a set of rows: a choice among alternatives, a ranking of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glamm.protocols.families import Family
from glamm.protocols.values import Array, Column, Encoded, Predictor, ResponseError

__all__ = ["SetFamily"]

Index = NDArray[np.intp]


class SetFamily(Family):
    """A distribution of what is done with a set of alternatives, one row of the data an alternative.

    The left-hand side is ``form(value, set)``. A unit is a set; K is the size of the largest one. The
    predictors ``mu[1] .. mu[K]`` are those of the first to the last row of a set: they share their
    coefficients, what tells them apart is their rows' covariates. A set of fewer rows does not use the last
    channels. `Encoded.categories` are the positions ``"1" .. "K"``.

    `mean_value` and `simulate` take all K predictors; the predictor of an alternative that a set does not
    have is minus infinity.
    """

    stacked: ClassVar[bool] = True

    @abstractmethod
    def encode_sets(self, form: str, columns: Sequence[Column], set_of_row: Index) -> Encoded:
        """Return the response of each set as numbers.

        Parameters
        ----------
        form : str
            A key of `responses`.
        columns : sequence of Column
            Columns of the left-hand side: the alternatives' values, and the sets they belong to; n rows,
            those of a set next to each other.
        set_of_row : ndarray of intp, shape (n,)
            Position 0 .. S-1 of each row's set, ascending.

        Returns
        -------
        Encoded
            `y` has a row a set, shape (S, ny).

        Raises
        ------
        ResponseError
            The values of a set make no response; the message names the set.
        """

    @abstractmethod
    def decode_sets(self, y: Array) -> Array:
        """Return the values that `encode_sets` made `y` of, shape (n,), set by set."""

    @abstractmethod
    def sizes(self, y: Array) -> Index:
        """Return the number of alternatives of each set, shape (S,)."""

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        """Return the response of rows in any order; the sets are ordered by the values of their column."""
        sets = np.unique(columns[-1].values, return_inverse=True)[1].reshape(-1)
        order = np.argsort(sets, kind="stable")
        by_set = [replace(column, values=column.values[order]) for column in columns]
        try:
            return self.encode_sets(form, by_set, sets[order].astype(np.intp))
        except ResponseError as error:
            if error.row is None:
                raise
            raise ResponseError(str(error), int(order[error.row])) from None

    def decode(self, form: str, y: Array) -> Array:
        sizes = self.sizes(y)
        return np.column_stack((self.decode_sets(y), np.repeat(np.arange(sizes.size), sizes)))

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        return tuple(Predictor("mu", label, intercept=False) for label in encoded.categories)

    def channels(self, encoded: Encoded) -> Index:
        position = np.arange(len(encoded.categories))
        return np.where(position < self.sizes(encoded.y)[:, None], position, -1).astype(np.intp)

    def row_effects(self, encoded: Encoded) -> bool:
        # coefficients that vary between sets make its alternatives' predictors correlated
        return True
