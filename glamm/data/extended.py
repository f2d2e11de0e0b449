"""A table in which every row stands once for each state of the discrete latent variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.data.fields import Field
from glamm.data.table import Table
from glamm.errors import DataError

__all__ = ["ExtendedTable"]


class ExtendedTable(Table):
    """Rows of another table, repeated, with further columns.

    Parameters
    ----------
    base : Table
    origin : ndarray of intp, shape (n,)
        Row of `base` that each row repeats.
    fields : mapping of str to Field
        The further columns, of n values each.
    """

    def __init__(self, base: Table, origin: NDArray[np.intp], fields: Mapping[str, Field]) -> None:
        super().__init__({}, len(origin))
        self.base = base
        self.origin = origin
        self._fields = dict(fields)
        self.columns = (*base.columns, *fields)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def label(self, row: int) -> str:
        """Return what to call a row in a message: what the row it repeats is called."""
        return self.base.label(int(self.origin[row]))

    def field(self, name: str) -> Field:
        """Return a column in normalised form."""
        found = self._fields.get(name)
        if found is None:
            column = self.base.field(name)
            missing = None if column.missing is None else column.missing[self.origin]
            values = column.values[self.origin]
            found = Field(column.name, column.kind, values, missing, column.levels, column.ordered)
            self._fields[name] = found
        return found

    def _given_weights(self, weights: Any) -> Field:
        given = self.base._given_weights(weights)
        missing = None if given.missing is None else given.missing[self.origin]
        return Field(given.name, given.kind, given.values[self.origin], missing, given.levels)


def constant_within(codes: NDArray[np.intp], field: Field, clusters: int) -> tuple[NDArray[np.intp], int]:
    """Return for each cluster the first row with a value (-1: none) and a cluster whose values differ, or -1.

    Parameters
    ----------
    codes : ndarray of intp, shape (n,)
        Cluster of each row.
    field : Field
        With n values.
    clusters : int
    """
    present = np.flatnonzero(~field.missing) if field.missing is not None else np.arange(len(codes))
    first = np.full(clusters, -1, dtype=np.intp)
    first[codes[present][::-1]] = present[::-1]
    if not len(present):
        return first, -1
    differs = field.values[present] != field.values[first[codes[present]]]
    return first, int(codes[present][int(np.argmax(differs))]) if differs.any() else -1


def refuse_varying(field: Field, cluster: Any, level: str) -> DataError:
    """Return the error for a column that varies within a cluster of the level it lives at."""
    return DataError(
        f"the column {field.name!r} lives at the level {level!r}, but differs within {level} {cluster!r}"
    )
