"""Data of any data frame library behind one face: columns on demand, nothing else copied."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeVar

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from glamm.data.fields import Field, field_of_narwhals, field_of_pandas
from glamm.errors import DataError, Problem, Span, nearest

__all__ = ["Store"]

Self = TypeVar("Self", bound="Store")


def _mapping_columns(data: Mapping[Any, Any]) -> tuple[dict[str, Any], int]:
    """Return the arrays of a mapping as pandas columns and their common length."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise DataError(f"the column {str(key)!r} is {value!r}; a column must be a list or an array")
        if getattr(value, "ndim", 1) != 1:
            raise DataError(f"the column {str(key)!r} has {value.ndim} dimensions; a column has one")
        found[str(key)] = value if isinstance(value, pd.Series) else pd.Series(value)
    lengths = {name: len(value) for name, value in found.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r}: {length}" for name, length in lengths.items())
        raise DataError(f"the columns have different lengths ({listed})")
    return found, next(iter(lengths.values()), 0)


class Store:
    """Columns of a data frame, read one by one when they are asked for.

    Parameters
    ----------
    series : mapping of str to pandas or narwhals Series
    n_rows : int
    index : pandas Index or None
        Labels of the rows; None where rows are known by their position only.
    """

    def __init__(self, series: Mapping[str, Any], n_rows: int, index: pd.Index | None = None) -> None:
        self._series = series
        self._fields: dict[str, Field] = {}
        self._index = index
        self.n_rows = n_rows
        self.columns: tuple[str, ...] = tuple(series)

    @classmethod
    def from_any(cls: type[Self], data: Any) -> Self:
        """Return `data` as a table.

        Parameters
        ----------
        data : pandas, polars or pyarrow table, mapping of arrays, or a table already made

        Raises
        ------
        DataError
            The data cannot be read as a table, or have no rows.
        """
        if isinstance(data, cls):
            return data
        if isinstance(data, Mapping):
            series, n_rows = _mapping_columns(data)
            table = cls(series, n_rows)
        elif isinstance(data, pd.DataFrame):
            table = cls._from_pandas(data)
        else:
            try:
                frame = nw.from_native(data, eager_only=True)
            except TypeError:
                hint = "give a pandas, polars or pyarrow table or a dict of arrays"
                if isinstance(data, str | PathLike):
                    hint = f"read the file first: glamm.data.read({str(data)!r})"
                elif hasattr(data, "collect"):
                    hint = "it is a lazy frame: collect it first"
                message = f"data of type {type(data).__name__} cannot be read as a table"
                raise DataError(Problem(message, hint=hint)) from None
            native = frame.to_native()
            if isinstance(native, pd.DataFrame):
                table = cls._from_pandas(native)
            else:
                table = cls({name: frame[name] for name in frame.columns}, len(frame))
        if table.n_rows == 0:
            raise DataError("the data have no rows")
        return table

    @classmethod
    def _from_pandas(cls: type[Self], frame: pd.DataFrame) -> Self:
        names = [str(name) for name in frame.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"several columns have the same name: {', '.join(map(repr, twice))}")
        # `items` hands out views: nothing is copied here.
        series = {str(name): column for name, column in frame.items()}
        plain = isinstance(frame.index, pd.RangeIndex) and frame.index.start == 0 and frame.index.step == 1
        return cls(series, len(frame), None if plain else frame.index)

    def __contains__(self, name: object) -> bool:
        return name in self._series

    def __repr__(self) -> str:
        return f"Table({self.n_rows} rows, columns {', '.join(self.columns)})"

    def label(self, row: int) -> str:
        """Return what to call a row in a message: its index label, or its position from 0."""
        if self._index is None:
            return f"row {row}"
        name = self._index[row]
        return f"row {name.item() if isinstance(name, np.generic) else name!r}"

    def name_row(self, position: int, rows: np.ndarray | None) -> str:
        """Return what to call the row at `position` of the selection `rows` of the data."""
        return self.label(position if rows is None else int(rows[position]))

    def no_column(self, name: str, span: Span | None = None) -> Problem:
        """Return the problem of a name that is no column, with the nearest column as hint."""
        hint = nearest(name, self.columns)
        if not hint:
            listed = ", ".join(self.columns[:12]) + (", ..." if len(self.columns) > 12 else "")
            hint = f"the columns are {listed}" if listed else "they have no columns at all"
        return Problem(f"the data have no column {name!r}", span, hint)

    def field(self, name: str) -> Field:
        """Return a column in normalised form.

        Raises
        ------
        DataError
            There is no such column, or its values cannot enter a model.
        """
        found = self._fields.get(name)
        if found is None:
            if name not in self._series:
                raise DataError(self.no_column(name))
            series = self._series[name]
            read = field_of_narwhals if isinstance(series, nw.Series) else field_of_pandas
            found = self._fields[name] = read(name, series)
        return found
