"""Design matrices: terms of a formula as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.data.expressions import FUNCTIONS, Expression, Rows, first_non_finite, read, series
from glamm.data.fields import Field, used_levels
from glamm.data.store import Store
from glamm.errors import DataError, Problem
from glamm.graph.model import Term

if TYPE_CHECKING:
    from glamm.data.coding import Coded

__all__ = ["Design", "DesignSpec", "Offset", "OffsetSpec", "complete", "make_design", "make_offset"]

Array = NDArray[np.float64]

BLOCK = 4096
MOST_LEVELS = 5000
SOME_LEVELS = 50


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column that a design was made of: its kind, its levels, whether whole numbers stay whole."""

    name: str
    kind: str
    levels: tuple[Any, ...]
    ordered: bool
    exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class DesignSpec:
    """How a design was made; `apply` makes it again for other data, with the same coding. Pickles.

    Attributes
    ----------
    names : tuple of str
        Names of the columns.
    columns : tuple of ColumnSpec
        Columns of data it needs.
    products : tuple of tuple of str
        For each design column the data columns it is a product of, where that is all there is to it.
    coded : Coded or None
        Everything else: the state of factor codings and transforms.
    """

    names: tuple[str, ...]
    columns: tuple[ColumnSpec, ...]
    products: tuple[tuple[str, ...], ...]
    coded: Coded | None

    def apply(self, newdata: Store, rows: Rows = None) -> Array:
        """Return the design of `newdata`, shape (n, p); a row that lacks a value is all nan.

        Raises
        ------
        DataError
            A column is missing, is of another kind than in the fit, or has a level unknown there.
        """
        absent = [newdata.no_column(c.name) for c in self.columns if c.name not in newdata]
        if absent:
            raise DataError(absent)
        length = newdata.n_rows if rows is None else len(rows)
        present = np.ones(length, dtype=bool)
        for column in self.columns:
            missing = newdata.field(column.name).missing
            if missing is not None:
                present &= ~(missing if rows is None else missing[rows])
        whole = bool(present.all())
        kept: Rows = rows if whole else np.flatnonzero(present) if rows is None else rows[present]
        if self.coded is None:
            matrix = _products(self.products, newdata, kept)
        else:
            matrix = self._recode(newdata, kept)
        if whole:
            return matrix
        filled = np.full((length, len(self.names)), np.nan)
        filled[present] = matrix
        return filled

    def _recode(self, store: Store, rows: Rows) -> Array:
        from glamm.data.coding import apply  # loads formulaic: only where a design needs it

        length = store.n_rows if rows is None else len(rows)
        if length == 0:
            return np.empty((0, len(self.names)))
        columns = {c.name: _as_before(c, store.field(c.name), store, rows) for c in self.columns}
        frame = pd.DataFrame(columns, index=pd.RangeIndex(length), copy=False)
        assert self.coded is not None
        with _explained(store, rows):
            return apply(self.coded, frame, FUNCTIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Columns of a linear predictor.

    Attributes
    ----------
    matrix : ndarray, shape (n, p), C order
    names : tuple of str
        ``"1"`` for the intercept, otherwise formulaic's: ``"x"``, ``"x:z"``, ``"period[T.2]"``.
    spec : DesignSpec
    """

    matrix: Array
    names: tuple[str, ...]
    spec: DesignSpec


@dataclass(frozen=True, slots=True, eq=False)
class OffsetSpec:
    """How an offset was made; pickles."""

    design: DesignSpec

    def apply(self, newdata: Store, rows: Rows = None) -> Array:
        """Return the offset of `newdata`, shape (n,); nan where a value is missing."""
        total: Array = self.design.apply(newdata, rows).sum(axis=1)
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Offset:
    """The sum of a predictor's offsets: `values`, shape (n,), and how they were made."""

    values: Array
    spec: OffsetSpec


class _explained:  # noqa: N801  (a context manager reads as a word)
    """Turn what goes wrong in the coding of columns into a `DataError` that names the row."""

    def __init__(self, store: Store, rows: Rows) -> None:
        self.store = store
        self.rows = rows

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from glamm.data.coding import NonFinite, Unseen  # loads formulaic, as its user did before

        if isinstance(error, NonFinite):
            row = self.store.name_row(error.row, self.rows)
            raise DataError(f"{error.factor!r} is not finite in {row}") from None
        if isinstance(error, Unseen):
            row = self.store.name_row(error.row, self.rows)
            raise _unseen(error.factor, error.level, error.known, row) from None
        if isinstance(error, (ValueError, TypeError, ArithmeticError, LookupError)):
            raise DataError(f"cannot compute {error}") from error


def _unseen(column: str, level: Any, known: Sequence[Any], row: str) -> DataError:
    listed = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
    return DataError(
        f"{column!r} has the level {str(level)!r} in {row}, which the fitted model does not know; "
        f"its levels are {listed}"
    )


def _as_before(spec: ColumnSpec, field: Field, store: Store, rows: Rows) -> pd.Series:
    """Return a column of new data in the form the design was made with."""
    if spec.kind != "label":
        if field.kind == "label":
            raise DataError(f"the column {spec.name!r} held numbers in the fit and holds labels here")
        return series(field, rows, spec.exact)
    if field.kind == "label":
        codes, levels = used_levels(field, rows)
    else:
        values = field.values if rows is None else field.values[rows]
        levels, codes = np.unique(values, return_inverse=True)
    known = {str(level): code for code, level in enumerate(spec.levels)}
    known.update((level, code) for code, level in enumerate(spec.levels))
    place = np.array([known.get(level, known.get(str(level), -1)) for level in levels], dtype=np.intp)
    new = place[codes]
    if len(new) and new.min() < 0:
        row = int(np.argmax(new < 0))
        raise _unseen(spec.name, levels[codes[row]], spec.levels, store.name_row(row, rows))
    return pd.Series(pd.Categorical.from_codes(new, pd.Index(spec.levels), ordered=spec.ordered))


def _numbers(name: str, store: Store, rows: Rows) -> NDArray[Any]:
    """Return a column of numbers or flags at `rows`, checked to be finite."""
    field = store.field(name)
    if field.kind == "label":
        raise DataError(f"the column {name!r} held numbers in the fit and holds labels here")
    values = field.values if rows is None else field.values[rows]
    if values.dtype.kind == "f":
        bad = first_non_finite(values)
        if bad is not None:
            raise DataError(f"{name!r} is not finite in {store.name_row(bad, rows)}")
    return values


def _products(products: Sequence[tuple[str, ...]], store: Store, rows: Rows) -> Array:
    """Return columns that are products of data columns, shape (n, p), C order."""
    length = store.n_rows if rows is None else len(rows)
    used = dict.fromkeys(name for factors in products for name in factors)
    values = {name: _numbers(name, store, rows) for name in used}
    matrix = np.empty((length, len(products)))
    # Block by block, so that the rows written column by column stay in the cache.
    for start in range(0, length, BLOCK):
        block = slice(start, min(start + BLOCK, length))
        for place, factors in enumerate(products):
            out = matrix[block, place]
            out[:] = values[factors[0]][block] if factors else 1.0
            for name in factors[1:]:
                out *= values[name][block]
    return matrix


def _distinct(terms: Sequence[Term], store: Store) -> list[list[Expression]]:
    """Return the factors of every distinct term, main effects first, as formulaic and R order them."""
    found: dict[frozenset[str], list[Expression]] = {}
    problems = []
    for term in terms:
        factors = {e.column or e.text: e for e in (read(f, store, term.span) for f in term.factors)}
        problems += [problem for e in factors.values() for problem in e.unknown]
        if factors:
            found.setdefault(frozenset(factors), list(factors.values()))
    if problems:
        raise DataError(problems)
    return sorted(found.values(), key=len)


def _refuse_many(name: str, levels: int, length: int) -> None:
    """Refuse labels that would fill the memory with dummies: numbers read as text, names of clusters."""
    if levels > MOST_LEVELS or (levels > SOME_LEVELS and 2 * levels > length):
        hint = f"if it should be numbers, convert it; if it tells clusters apart, write (1 | {name})"
        message = f"the column {name!r} holds {levels} different labels in {length} rows, too many to code"
        raise DataError(Problem(message, hint=hint))


def make_design(
    store: Store,
    terms: Sequence[Term],
    intercept: bool,
    *,
    rows: Rows = None,
    as_if_intercept: bool = False,
) -> Design:
    """Return the design of `terms`; see `Table.design`."""
    if rows is not None and len(rows) == store.n_rows and np.array_equal(rows, np.arange(len(rows))):
        rows = None  # whole columns are read in place
    factors = _distinct(terms, store)
    used = dict.fromkeys(name for term in factors for e in term for name in e.columns)
    for name in used:
        missing = store.field(name).missing
        if missing is not None and (missing if rows is None else missing[rows]).any():
            row = int(np.argmax(missing if rows is None else missing[rows]))
            raise DataError(f"the column {name!r} is missing in {store.name_row(row, rows)}")
    plain = all(e.column is not None and store.field(e.column).kind != "label" for t in factors for e in t)
    exact = {name for term in factors for e in term for name in e.exact}
    columns = []
    for name in used:
        field = store.field(name)
        levels = used_levels(field, rows)[1] if field.kind == "label" else ()
        _refuse_many(name, len(levels), store.n_rows if rows is None else len(rows))
        columns.append(ColumnSpec(name, field.kind, levels, field.ordered, name in exact))
    if plain:
        # Numbers and their products need no coding, and formulaic takes ten times as long over them.
        products = tuple(tuple(str(e.column) for e in term) for term in factors)
        names = tuple(":".join(term) for term in products)
        if intercept:
            products, names = ((), *products), ("1", *names)
        matrix = _products(products, store, rows)
        return Design(matrix, names, DesignSpec(names, tuple(columns), products, None))
    from glamm.data.coding import encode  # loads formulaic: only where a design needs it

    length = store.n_rows if rows is None else len(rows)
    data = {c.name: series(store.field(c.name), rows, c.exact) for c in columns}
    frame = pd.DataFrame(data, index=pd.RangeIndex(length), copy=False)
    coded_terms = [[(e.column or e.text, e.column is not None) for e in term] for term in factors]
    with _explained(store, rows):
        matrix, coded = encode(
            coded_terms,
            frame,
            FUNCTIONS,
            intercept=intercept or as_if_intercept,
            drop_intercept=not intercept,
        )
    return Design(matrix, coded.names, DesignSpec(coded.names, tuple(columns), (), coded))


def make_offset(store: Store, expressions: Sequence[str], rows: Rows = None) -> Offset:
    """Return the sum of offsets; see `Table.offset`."""
    design = make_design(store, [Term((text,)) for text in expressions], False, rows=rows)
    for column in design.spec.columns:
        if column.kind == "label" or column.exact:
            raise DataError(f"the offset needs numbers, but the column {column.name!r} holds labels")
    spec = OffsetSpec(design.spec)
    return Offset(design.matrix.sum(axis=1), spec)


def complete(store: Store, expressions: Sequence[str | Term]) -> NDArray[np.bool_]:
    """Return for each row whether every column of the expressions is present; see `Table.complete`."""
    present = np.ones(store.n_rows, dtype=bool)
    for item in expressions:
        factors = item.factors if isinstance(item, Term) else (item,)
        for text in factors:
            for name in read(text, store).columns:
                missing = store.field(name).missing
                if missing is not None:
                    present &= ~missing
    return present
