"""One normalised form for a column of any data frame library: numbers, flags or labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.errors import DataError

__all__ = ["Field", "describe_refusal", "field_of_narwhals", "field_of_pandas", "used_levels"]

Kind = Literal["number", "flag", "label"]
Values = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A column as the rest of the package meets it.

    Attributes
    ----------
    name : str
    kind : {"number", "flag", "label"}
    values : ndarray, shape (n,)
        float64, int64 or uint64 of a number, bool of a flag, intp codes of a label (-1 where missing).
    missing : ndarray of bool, shape (n,), or None
        None where no value is missing.
    levels : tuple
        The values that the codes of a label stand for, as the data frame has them, in their order.
    ordered : bool
        Whether the data frame says that the levels are ordered.
    """

    name: str
    kind: Kind
    values: Values
    missing: Mask | None = None
    levels: tuple[Any, ...] = ()
    ordered: bool = False


def describe_refusal(name: str, what: str, remedy: str) -> DataError:
    """Return the error for a column whose values cannot enter a model."""
    return DataError(f"the column {name!r} holds {what}, which cannot enter a model; {remedy}")


def _or_none(missing: Mask) -> Mask | None:
    return missing if bool(missing.any()) else None


def _number(name: str, values: Values, missing: Mask | None = None) -> Field:
    """Return a number field; integers keep their type, so that identifiers of any length stay exact."""
    if values.dtype.kind == "f":
        floats = np.ascontiguousarray(values, dtype=np.float64)
        return Field(name, "number", floats, _or_none(np.isnan(floats)))
    wide = np.uint64 if values.dtype == np.uint64 else np.int64
    return Field(name, "number", np.ascontiguousarray(values, dtype=wide), missing)


def _label(name: str, values: Any) -> Field:
    """Return a label field with the sorted distinct values as levels."""
    codes, levels = pd.factorize(values, sort=True)
    codes = np.asarray(codes, dtype=np.intp)
    return Field(name, "label", codes, _or_none(codes < 0), tuple(np.asarray(levels, dtype=object)))


def _categorical(name: str, values: pd.Categorical) -> Field:
    codes = np.asarray(values.codes, dtype=np.intp)
    levels = tuple(np.asarray(values.categories, dtype=object).tolist())
    return Field(name, "label", codes, _or_none(codes < 0), levels, bool(values.ordered))


def _of_objects(name: str, values: Values) -> Field:
    """Return the field of a column of Python objects, by what the objects are."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return _label(name, values)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean", "empty"):
        missing = np.asarray(pd.isna(values))
        whole = kind in ("integer", "boolean")
        filled = np.where(missing, 0 if whole else np.nan, values)
        if kind == "boolean":
            return Field(name, "flag", filled.astype(bool), _or_none(missing))
        try:
            return _number(name, filled.astype(np.int64 if whole else np.float64), _or_none(missing))
        except OverflowError:
            text = values.astype(str).astype(object)
            text[missing] = None
            return _label(name, text)
    if kind == "decimal":
        raise describe_refusal(name, "decimals", "convert it to float")
    if kind in ("date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"):
        raise describe_refusal(name, "dates or times", "convert it to a number, such as days since a start")
    types = sorted({type(v).__name__ for v in values[~np.asarray(pd.isna(values))][:1000]})
    raise describe_refusal(name, f"values of type {', '.join(types)}", "convert it to numbers or strings")


def field_of_pandas(name: str, series: pd.Series) -> Field:
    """Return the field of a pandas column of any dtype."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(name, series.array)
    if isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary"):
        return _categorical(name, series.array.__arrow_array__().to_pandas().array)
    types = pd.api.types
    if types.is_datetime64_any_dtype(dtype) or dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
        raise describe_refusal(name, "dates or times", "convert it to a number, such as days since a start")
    if dtype.kind == "c":
        raise describe_refusal(name, "complex numbers", "take a real part of it")
    extension = not isinstance(dtype, np.dtype)
    if types.is_bool_dtype(dtype):
        missing = _or_none(series.isna().to_numpy()) if extension else None
        values = series.to_numpy(bool, na_value=False) if extension else series.to_numpy()
        return Field(name, "flag", values, missing)
    if types.is_integer_dtype(dtype):
        if not extension:
            return _number(name, series.to_numpy())
        wide = np.uint64 if "uint64" in str(dtype).lower() else np.int64
        missing = _or_none(series.isna().to_numpy())
        filled = series if missing is None else series.fillna(0)
        return _number(name, filled.to_numpy(wide), missing)
    if types.is_float_dtype(dtype):
        return _number(name, series.to_numpy(np.float64, na_value=np.nan) if extension else series.to_numpy())
    if extension and types.is_string_dtype(dtype) and "decimal" not in str(dtype):
        return _label(name, series.array)
    return _of_objects(name, series.to_numpy(object))


def field_of_narwhals(name: str, series: nw.Series[Any]) -> Field:
    """Return the field of a column of any library that narwhals knows."""
    if series.implementation.is_pandas():
        return field_of_pandas(name, series.to_native())
    if series.implementation.is_pyarrow():
        # Its own conversion keeps dictionaries.
        return field_of_pandas(name, series.to_native().to_pandas())
    if not series.implementation.is_polars():
        return field_of_pandas(name, series.to_pandas())
    # Polars needs pyarrow for `to_pandas`; its numbers and strings come over without.
    dtype = series.dtype
    missing = _or_none(series.is_null().to_numpy())
    if dtype == nw.Boolean:
        return Field(name, "flag", series.fill_null(False).to_numpy().astype(bool), missing)
    if dtype.is_integer():
        return _number(name, series.fill_null(0).to_numpy(), missing)
    if dtype.is_float():
        return _number(name, series.to_numpy())
    if isinstance(dtype, nw.Enum):
        categories = list(dtype.categories)
        codes = pd.Index(categories).get_indexer(series.cast(nw.String).to_numpy())
        ordered = nw.is_ordered_categorical(series)
        return Field(name, "label", codes.astype(np.intp), missing, tuple(categories), ordered)
    if dtype in (nw.String, nw.Categorical):
        # The categories of a polars Categorical are kept in the order met, which says nothing: sort.
        return _label(name, series.cast(nw.String).to_numpy().astype(object))
    if dtype.is_temporal():
        raise describe_refusal(name, "dates or times", "convert it to a number, such as days since a start")
    if dtype == nw.Decimal:
        raise describe_refusal(name, "decimals", "convert it to float")
    return _of_objects(name, np.array(series.to_list() or [], dtype=object))


def used_levels(field: Field, rows: NDArray[np.intp] | None) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
    """Return the codes of a label field at `rows` and its levels, without the levels that do not occur.

    Codes of missing values stay -1.
    """
    codes = field.values if rows is None else field.values[rows]
    occurs = np.bincount(codes + 1, minlength=len(field.levels) + 1)[1:] > 0
    if occurs.all():
        return codes, field.levels
    new = np.full(len(occurs) + 1, -1, dtype=np.intp)
    new[:-1][occurs] = np.arange(occurs.sum())
    # Code -1 picks the last entry, which stays -1.
    return new[codes], tuple(level for level, used in zip(field.levels, occurs, strict=True) if used)
