"""Design matrices: terms of a formula as columns of numbers."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.data.expressions import FUNCTIONS, Expression, Rows, check_numbers, read, refuse_ambiguous, series
from glamm.data.fields import Field, used_levels
from glamm.data.products import Product, dummies, fill, hierarchical
from glamm.data.store import Store
from glamm.errors import DataError, Problem
from glamm.graph.model import Term

if TYPE_CHECKING:
    from glamm.data.coding import Coded

__all__ = ["Design", "DesignSpec", "Offset", "OffsetSpec", "complete", "make_design", "make_offset"]

Array = NDArray[np.float64]

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
    products : tuple of Product
        For each design column the data columns and dummies it is a product of, where that is all.
    coded : Coded or None
        The state of transforms and of codings that the formula asks for, where there are any.
    kept : tuple of int or None
        Which of the columns that `coded` makes are those of the design; None: all.
    """

    names: tuple[str, ...]
    columns: tuple[ColumnSpec, ...]
    products: tuple[Product, ...]
    coded: Coded | None
    kept: tuple[int, ...] | None = None

    def take(self, columns: Sequence[int]) -> DesignSpec:
        """Return how some of the columns are made."""
        names = tuple(self.names[k] for k in columns)
        if self.coded is None:
            return replace(self, names=names, products=tuple(self.products[k] for k in columns))
        before = range(len(self.names)) if self.kept is None else self.kept
        return replace(self, names=names, kept=tuple(before[k] for k in columns))

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
        matrix = self._fill(newdata, kept) if self.coded is None else self._recode(newdata, kept)
        if whole:
            return matrix
        filled = np.full((length, len(self.names)), np.nan)
        filled[present] = matrix
        return filled

    def _fill(self, store: Store, rows: Rows) -> Array:
        values = {
            c.name: _codes(c, store.field(c.name), store, rows)
            if c.kind == "label"
            else _finite(c.name, store, rows)
            for c in self.columns
        }
        return fill(self.products, values, store.n_rows if rows is None else len(rows))

    def _recode(self, store: Store, rows: Rows) -> Array:
        from glamm.data.coding import apply  # loads formulaic: only where a design needs it

        length = store.n_rows if rows is None else len(rows)
        if length == 0:
            return np.empty((0, len(self.names)))
        columns = {c.name: _as_before(c, store.field(c.name), store, rows) for c in self.columns}
        frame = pd.DataFrame(columns, index=pd.RangeIndex(length), copy=False)
        assert self.coded is not None
        with _explained(store, rows, self.columns):
            made: Array = apply(self.coded, frame, FUNCTIONS)
        return made if self.kept is None else np.ascontiguousarray(made[:, list(self.kept)])


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

    def take(self, columns: Sequence[int]) -> Design:
        """Return the design of some of the columns."""
        spec = self.spec.take(columns)
        return Design(np.ascontiguousarray(self.matrix[:, list(columns)]), spec.names, spec)


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


@contextmanager
def _explained(store: Store, rows: Rows, columns: Sequence[ColumnSpec]) -> Iterator[None]:
    """Turn what goes wrong in the coding of columns into a `DataError` that names the row."""
    from glamm.data.coding import NonFiniteError, UnseenError  # loads formulaic, as its user did before

    try:
        yield
    except UnseenError as error:
        raise _unseen(error.factor, error.level, error.known, store.name_row(error.row, rows)) from None
    except (NonFiniteError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        # An infinite value is to blame itself, not what a spline makes of it.
        for column in columns:
            if column.kind == "number":
                _finite(column.name, store, rows)
        if isinstance(error, NonFiniteError):
            row = store.name_row(error.row, rows)
            raise DataError(f"{error.factor!r} is not finite in {row}") from None
        raise DataError(f"cannot compute {error}") from error


def _unseen(column: str, level: Any, known: Sequence[Any], row: str) -> DataError:
    listed = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
    return DataError(
        f"{column!r} has the level {str(level)!r} in {row}, which the fitted model does not know; "
        f"its levels are {listed}"
    )


def _codes(spec: ColumnSpec, field: Field, store: Store, rows: Rows) -> NDArray[np.intp]:
    """Return the codes of a column of new data in the levels the design was made with."""
    if field.kind == "label":
        codes, levels = used_levels(field, rows)
        if levels == spec.levels:
            return codes
    else:
        values = field.values if rows is None else field.values[rows]
        distinct, codes = np.unique(values, return_inverse=True)
        levels = tuple(distinct.tolist())
    known = {str(level): code for code, level in enumerate(spec.levels)}
    known.update((level, code) for code, level in enumerate(spec.levels))
    place = np.array([known.get(level, known.get(str(level), -1)) for level in levels], dtype=np.intp)
    new: NDArray[np.intp] = place[codes]
    if len(new) and new.min() < 0:
        row = int(np.argmax(new < 0))
        raise _unseen(spec.name, levels[codes[row]], spec.levels, store.name_row(row, rows))
    return new


def _as_before(spec: ColumnSpec, field: Field, store: Store, rows: Rows) -> pd.Series:
    """Return a column of new data in the form the design was made with."""
    if spec.kind == "label":
        codes = _codes(spec, field, store, rows)
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(spec.levels), ordered=spec.ordered))
    if field.kind == "label":
        raise DataError(f"the column {spec.name!r} held numbers in the fit and holds labels here")
    return series(field, rows, spec.exact)


def _finite(name: str, store: Store, rows: Rows) -> NDArray[Any]:
    """Return a column of numbers or flags at `rows`, checked to be finite."""
    field = store.field(name)
    if field.kind == "label":
        raise DataError(f"the column {name!r} held numbers in the fit and holds labels here")
    values = field.values if rows is None else field.values[rows]
    if values.dtype.kind == "f":
        check_numbers(repr(name), values, store, rows)
    return values


def _products(
    terms: Sequence[Sequence[Expression]], columns: Sequence[ColumnSpec], coded_as: bool, intercept: bool
) -> tuple[tuple[str, ...], tuple[Product, ...]]:
    """Return names and products of a design without transforms."""
    levels = {c.name: c.levels for c in columns if c.kind == "label"}
    plain = [tuple(str(e.column) for e in term) for term in terms]
    made = hierarchical(plain, coded_as, levels)
    if made is None:
        # Loads formulaic, which takes a third of a second: only where a design needs it.
        from glamm.data.coding import structure

        made = []
        for entry in structure(plain, levels, intercept=coded_as):
            for factors in entry:
                made += dummies(factors, levels) if factors else [("1", ())]
    if coded_as and not intercept:
        made = [column for column in made if column[1]]
    return tuple(name for name, _ in made), tuple(parts for _, parts in made)


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


def _refuse_constant(columns: Sequence[ColumnSpec], met: Container[str]) -> None:
    """Refuse a label that makes no column of the design because its only level is the reference."""
    for column in columns:
        if column.kind == "label" and len(column.levels) == 1 and column.name not in met:
            raise DataError(
                f"the column {column.name!r} has only the level {str(column.levels[0])!r} in the rows used, "
                "so it can have no effect beside the intercept"
            )


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
    plain = all(e.column is not None for term in factors for e in term)
    exact = {name for term in factors for e in term for name in e.exact}
    columns = []
    for name in used:
        field = store.field(name)
        levels = used_levels(field, rows)[1] if field.kind == "label" else ()
        _refuse_many(name, len(levels), store.n_rows if rows is None else len(rows))
        columns.append(ColumnSpec(name, field.kind, levels, field.ordered, name in exact))
    if plain:
        names, products = _products(factors, columns, intercept or as_if_intercept, intercept)
        _refuse_constant(columns, {name for parts in products for name, _ in parts})
        spec = DesignSpec(names, tuple(columns), products, None)
        return Design(spec.apply(store, rows), names, spec)
    refuse_ambiguous(e for term in factors for e in term)
    from glamm.data.coding import empty_terms, encode  # loads formulaic: only where a design needs it

    length = store.n_rows if rows is None else len(rows)
    data = {c.name: series(store.field(c.name), rows, c.exact) for c in columns}
    frame = pd.DataFrame(data, index=pd.RangeIndex(length), copy=False)
    coded_terms = [[(e.column or e.text, e.column is not None) for e in term] for term in factors]
    with _explained(store, rows, columns):
        matrix, coded = encode(
            coded_terms,
            frame,
            FUNCTIONS,
            intercept=intercept or as_if_intercept,
            drop_intercept=not intercept,
        )
    for term in empty_terms(coded):
        raise DataError(f"{term!r} has only one level in the rows used, so it can have no effect")
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
