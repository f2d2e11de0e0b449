"""Coefficients while a model is put together: their places in theta, names and starting values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glamm.compile.parameters import ParameterRow
from glamm.errors import DataError, Problem, Span
from glamm.graph import Modifier

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Coefficients", "Column", "Columns"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a design and the coefficient it gets.

    Attributes
    ----------
    row : ParameterRow
        Without its place.
    modifier : Modifier or None
    start : float
        Starting value on the linear scale.
    span : Span or None
    """

    row: ParameterRow
    modifier: Modifier | None = None
    start: float = 0.0
    span: Span | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Where the coefficients of a design went.

    Attributes
    ----------
    coefficient : ndarray of intp, shape (m,)
        Position in theta of each column; -1 where it is held.
    held : ndarray, shape (m,)
    """

    coefficient: Index
    held: Array

    def split(self, design: Array) -> tuple[Array, Index, Array | float]:
        """Return the design of the distinct free coefficients, their positions, and what the held add."""
        free = self.coefficient >= 0
        places, inverse = np.unique(self.coefficient[free], return_inverse=True)
        order = np.argsort([np.flatnonzero(inverse == k)[0] for k in range(len(places))])
        places = places[order]
        offset: Array | float = 0.0
        if not free.all() and self.held[~free].any():
            offset = design[:, ~free] @ self.held[~free]
        if len(places) == len(self.coefficient):
            return design, self.coefficient, offset
        merged = np.zeros((len(design), len(places)))
        for k, place in enumerate(places):
            merged[:, k] = design[:, self.coefficient == place].sum(axis=1)
        return merged, np.asarray(places, dtype=np.intp), offset


@dataclass(slots=True, eq=False)
class Coefficients:
    """All parameters numbered so far.

    Attributes
    ----------
    rows : list of ParameterRow
    start : list of float
    labels : dict of str to int
        Position in theta of each label, which says with its first word on what scale it counts.
    given : dict of int to float
        Starting values the text gives, on the linear scale.
    named : dict of str to str
        Name of the first parameter that bears each label.
    held : dict of str to float
        Values of parameters, and labels, that the text holds.
    """

    rows: list[ParameterRow] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    given: dict[int, float] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)

    def number(self, label: str, start: float = 0.0) -> int:
        """Return the position of a new parameter, or of the one that bears the label."""
        if label in self.labels:
            return self.labels[label]
        self.start.append(start)
        if label:
            own = label.split(" ", 1)[1]
            others = [other for other in self.labels if other.split(" ", 1)[1] == own]
            if others:
                raise DataError(Problem(f"the label {own!r} names parameters of different kinds"))
            self.labels[label] = len(self.start) - 1
        return len(self.start) - 1

    def add(self, columns: Sequence[Column]) -> Columns:
        """Give the coefficients of a design their places in theta."""
        places = np.full(len(columns), -1, dtype=np.intp)
        held = np.zeros(len(columns))
        for k, column in enumerate(columns):
            modifier = column.modifier or Modifier()
            if modifier.fixed is not None:
                held[k] = modifier.fixed
                self.held[column.row.name] = modifier.fixed
                if modifier.label:
                    self.held[modifier.label] = modifier.fixed
                continue
            label = f"{column.row.kind if column.row.kind in _OWN_SCALE else 'coefficient'} {modifier.label}"
            place = self.number(label if modifier.label else "", column.start)
            if modifier.start is not None:
                self.given[place] = modifier.start
            if modifier.label:
                self.named.setdefault(modifier.label, column.row.name)
            places[k] = place
            row = column.row
            self.rows.append(
                ParameterRow(
                    row.name,
                    row.kind,
                    row.response,
                    row.predictor,
                    row.label,
                    row.terms,
                    row.level,
                    row.scale,
                    (place,),
                )
            )
        return Columns(places, held)


_OWN_SCALE = ("auxiliary", "residual")
