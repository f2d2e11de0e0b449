"""The table: what the rest of the package asks of data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.data.design import Design, Offset, complete, make_design, make_offset
from glamm.data.expressions import Rows, check_numbers, evaluate, read
from glamm.data.fields import Field, field_of_pandas
from glamm.data.groups import make_group
from glamm.data.store import Store
from glamm.errors import DataError, Problem
from glamm.graph.model import GroupFactor, ResponseForm, Term
from glamm.protocols import Column

__all__ = ["Selection", "Table"]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows that a response can use.

    Attributes
    ----------
    rows : ndarray of intp, shape (m,), ascending
    missing_response : int
        Rows left out because the response is missing.
    missing_covariates : int
        Rows whose response is present, left out because a covariate is missing.
    columns : mapping of str to int
        Columns to blame and in how many rows each is missing.
    """

    rows: NDArray[np.intp]
    missing_response: int
    missing_covariates: int
    columns: dict[str, int]


class Table(Store):
    """Data as a model meets them: designs, responses, groups and weights.

    Make one with `Table.from_any`. Every method that takes `rows` takes positions of rows (intp, any
    order), or None for all rows, and returns arrays in that order.
    """

    def problems(self, items: Iterable[Term | GroupFactor | str]) -> list[Problem]:
        """Return every unknown column and function in `items`, each once, with the nearest name."""
        found: dict[str, Problem] = {}
        for item in items:
            if isinstance(item, GroupFactor):
                absent = [name for name in item.columns if name not in self]
                listed = [self.no_column(name, item.span) for name in absent]
            elif isinstance(item, Term):
                listed = [p for text in item.factors for p in read(text, self, item.span).unknown]
            else:
                listed = list(read(item, self).unknown)
            for problem in listed:
                found.setdefault(problem.message, problem)
        return list(found.values())

    def complete(self, items: Sequence[Term | str]) -> NDArray[np.bool_]:
        """Return for each row whether every column that `items` use is present, shape (n,)."""
        return complete(self, items)

    def select(self, form: ResponseForm, items: Sequence[Term | str] = ()) -> Selection:
        """Return the rows that have a response and every column of `items` (terms, offsets).

        Raises
        ------
        DataError
            No row is left; the columns that are to blame are named.
        """
        observed = complete(self, form.factors)
        kept = observed & complete(self, items)
        counts: dict[str, int] = {}
        for item in (*form.factors, *items):
            for text in item.factors if isinstance(item, Term) else (item,):
                for name in read(text, self).columns:
                    missing = self.field(name).missing
                    if missing is not None:
                        counts[name] = int(missing.sum())
        if not kept.any():
            listed = ", ".join(f"{name!r} in {count} of {self.n_rows}" for name, count in counts.items())
            name = ", ".join(form.factors)
            raise DataError(f"no row is left for the response {name!r}; missing values: {listed}")
        left = int(observed.sum()) - int(kept.sum())
        return Selection(np.flatnonzero(kept), self.n_rows - int(observed.sum()), left, counts)

    def design(
        self,
        terms: Sequence[Term],
        intercept: bool,
        rows: Rows = None,
        *,
        as_if_intercept: bool = False,
    ) -> Design:
        """Return the design matrix of `terms`.

        Parameters
        ----------
        terms : sequence of Term
            Without the intercept. Main effects come first, then products, as in R.
        intercept : bool
            Whether the first column is the intercept, named ``"1"``.
        rows : ndarray of intp, shape (m,), or None
            Every column the terms use must be present there (see `complete`, `select`).
        as_if_intercept : bool
            Code factors as beside an intercept, although there is none (thresholds play its part).

        Raises
        ------
        DataError
            An unknown column or function (with the span of its term), a value that is missing, not
            finite or cannot be computed.
        """
        return make_design(self, terms, intercept, rows=rows, as_if_intercept=as_if_intercept)

    def offset(self, expressions: Sequence[str], rows: Rows = None) -> Offset:
        """Return the sum of the offsets of a predictor, and how to make it for new data."""
        return make_offset(self, expressions, rows)

    def response(self, form: ResponseForm, rows: Rows = None) -> tuple[Column, ...]:
        """Return the columns of a response at `rows`, one for each factor of `form`.

        Parameters
        ----------
        form : ResponseForm
        rows : ndarray of intp, shape (m,), or None
            Rows at which the response is present (see `select`).
        """
        return tuple(self._column(text, rows) for text in form.factors)

    def _column(self, text: str, rows: Rows) -> Column:
        field = evaluate(text, self, rows)
        values = np.ascontiguousarray(field.values, dtype=np.float64)
        if field.kind == "flag":
            return Column(text, values, ("False", "True"))
        if field.kind == "label":
            return Column(text, values, tuple(str(level) for level in field.levels), field.ordered)
        check_numbers(f"the response {text!r}", values, self, rows)
        return Column(text, values)

    def group(self, factor: GroupFactor, rows: Rows = None) -> tuple[NDArray[np.intp], list[Any]]:
        """Return the clusters of a grouping factor.

        Returns
        -------
        codes : ndarray of intp, shape (m,)
            Cluster of each row, numbered from 0 in the order of the labels, without gaps.
        labels : list
            Numbers or strings of one column; strings ``"a:b"`` of a combination of columns.

        Raises
        ------
        DataError
            A grouping column is unknown, or missing in a row.
        """
        return make_group(self, factor, rows)

    def weights(self, weights: Any, rows: Rows = None) -> NDArray[np.float64]:
        """Return weights, shape (m,): an expression over columns, or one number for each row of the data.

        Raises
        ------
        DataError
            A weight is missing, negative, infinite or no number, or all are 0.
        """
        if isinstance(weights, str):
            name = f"the weight {weights!r}"
            expression = read(weights, self)
            if expression.unknown:
                raise DataError(expression.unknown)
            field = evaluate(weights, self, rows)
        else:
            name = "the weight"
            field = self._given_weights(weights)
            if rows is not None:
                missing = None if field.missing is None else field.missing[rows]
                field = Field(field.name, field.kind, field.values[rows], missing, field.levels)
        if field.kind == "label":
            raise DataError(f"{name} holds labels; weights must be numbers")
        values = np.ascontiguousarray(field.values, dtype=np.float64)
        for bad, what in (
            (field.missing if field.missing is not None else np.zeros(0, dtype=bool), "missing"),
            (~np.isfinite(values), "not finite"),
            (values < 0, "negative"),
        ):
            if bad.any():
                raise DataError(f"{name} is {what} in {self.name_row(int(np.argmax(bad)), rows)}")
        if not values.any():
            raise DataError("every weight is 0")
        return values

    def _given_weights(self, weights: Any) -> Field:
        values = weights if isinstance(weights, pd.Series) else np.asarray(weights)
        if values.ndim != 1:
            raise DataError("weights must be a column's name or one number for each row")
        values = pd.Series(values)
        if len(values) != self.n_rows:
            raise DataError(f"there are {len(values)} weights for {self.n_rows} rows")
        return field_of_pandas("weights", values)
