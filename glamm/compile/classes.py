"""Discrete latent variables met with data: every row stands once for each class it may belong to.

In the extended data a class variable is a column like any other, and its membership model is a multinomial
regression of that column. What is left of the latent class is that clusters which differ in it only are
alternatives of each other, not parts of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.data import Table
from glamm.data.extended import ExtendedTable, constant_within, refuse_varying
from glamm.data.fields import Field
from glamm.errors import DataError, Problem, nearest
from glamm.graph import ROW, ClassVariable, FamilySpec, Level, ModelGraph, Response, ResponseForm

Index = NDArray[np.intp]

__all__ = ["ClassStates", "Extension", "extend", "membership_response"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStates:
    """A class variable in the extended data: the code of its class in each row, and their labels."""

    variable: ClassVariable
    codes: Index
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """The data of a model with its class variables as columns; the data themselves where it has none."""

    table: Table
    classes: tuple[ClassStates, ...]
    origin: Index | None


def membership_response(states: ClassStates) -> Response:
    """Return the membership model of a class variable as a regression of its column."""
    variable = states.variable
    family = FamilySpec("multinomial", "logit", options=(("reference", states.labels[-1]),))
    form = ResponseForm("", (f"`{variable.name}`",))
    return Response(variable.name, form, family, (variable.membership,), variable.span, variable.level)


def extend(table: Table, graph: ModelGraph) -> Extension:
    """Return the data in which each row stands once for every combination of classes it may have.

    Raises
    ------
    DataError
        A class variable is called like a column, a column of known membership does not fit.
    """
    if not graph.classes:
        return Extension(table, (), None)
    problems = [
        Problem(f"{v.name!r} is a column of the data; a class variable needs a name of its own", v.span)
        for v in graph.classes
        if v.name in table
    ]
    if problems:
        raise DataError(problems)
    levels = {level.name: level for level in graph.levels}
    labels = [_labels(table, variable) for variable in graph.classes]
    known = [
        _known(table, variable, names, levels.get(variable.level))
        for variable, names in zip(graph.classes, labels, strict=True)
    ]
    sizes = [len(names) for names in labels]
    total = int(np.prod(sizes))
    # the states of a row stand together, the last class variable varies fastest
    origin = np.repeat(np.arange(table.n_rows, dtype=np.intp), total)
    state = np.tile(np.arange(total, dtype=np.intp), table.n_rows)
    codes = [np.asarray(part, dtype=np.intp) for part in np.unravel_index(state, sizes)]
    possible = np.ones(len(origin), dtype=bool)
    for code, observed in zip(codes, known, strict=True):
        if observed is not None:
            possible &= (observed[origin] < 0) | (observed[origin] == code)
    origin = origin[possible]
    fields: dict[str, Field] = {}
    states = []
    for variable, names, code in zip(graph.classes, labels, codes, strict=True):
        kept = code[possible]
        states.append(ClassStates(variable, kept, names))
        fields |= _fields(table, variable, names, kept)
    return Extension(ExtendedTable(table, origin, fields), tuple(states), origin)


def _fields(table: Table, variable: ClassVariable, labels: tuple[str, ...], codes: Index) -> dict[str, Field]:
    """Return the columns of a class variable: itself, and the dummy of each class."""
    name = variable.name
    found = {name: Field(name, "label", codes, None, labels)}
    if name.startswith("mi("):
        # a covariate with missing values keeps the kind of its column
        kind = table.field(variable.known).kind if variable.known else _kind_of(labels)
        if kind == "flag":
            found[name] = Field(name, "flag", np.array([label == "True" for label in labels])[codes])
            return found
        if kind == "number":
            values = np.array([float(label) for label in labels])
            found[name] = Field(name, "number", values[codes])
            return found
    for k, label in enumerate(labels):
        dummy = f"{name}[{label}]"
        found[dummy] = Field(dummy, "number", (codes == k).astype(float))
    return found


def _kind_of(labels: Sequence[str]) -> str:
    """Return the kind of the column that labels were made of."""
    if set(labels) <= {"False", "True"}:
        return "flag"
    try:
        [float(label) for label in labels]
    except ValueError:
        return "label"
    return "number"


def _text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | float | np.integer | np.floating):
        return str(int(value)) if float(value).is_integer() else str(float(value))
    return str(value)


def _distinct(field: Field) -> tuple[Index, tuple[str, ...]]:
    """Return a code for each value of a column, -1 where it is missing, and the labels of the codes."""
    if field.kind == "label":
        return np.asarray(field.values, dtype=np.intp), tuple(_text(level) for level in field.levels)
    present = np.ones(len(field.values), dtype=bool) if field.missing is None else ~field.missing
    distinct, inverse = np.unique(field.values[present], return_inverse=True)
    codes = np.full(len(field.values), -1, dtype=np.intp)
    codes[present] = inverse
    return codes, tuple(_text(value) for value in distinct.tolist())


def _labels(table: Table, variable: ClassVariable) -> tuple[str, ...]:
    if variable.labels:
        return variable.labels
    if variable.known not in table:
        raise DataError(table.no_column(variable.known, variable.span))
    codes, labels = _distinct(table.field(variable.known))
    used = np.unique(codes[codes >= 0])
    return tuple(labels[k] for k in used.tolist())


def _known(table: Table, variable: ClassVariable, labels: Sequence[str], level: Level | None) -> Index | None:
    """Return the class of each row where it is observed, else -1; None where no row's is."""
    if not variable.known:
        return None
    if variable.known not in table:
        raise DataError(table.no_column(variable.known, variable.span))
    codes, found = _distinct(table.field(variable.known))
    place = {label: k for k, label in enumerate(labels)}
    used = {found[k] for k in np.unique(codes[codes >= 0]).tolist()}
    unknown = sorted(used - set(labels))
    if unknown:
        raise DataError(
            Problem(
                f"the column {variable.known!r} of known classes holds {label!r}, "
                f"but the classes of {variable.name!r} are {', '.join(labels)}",
                variable.span,
                nearest(label, labels),
            )
            for label in unknown
        )
    recoded = np.array([place.get(label, -1) for label in found] + [-1], dtype=np.intp)
    own = recoded[codes]
    if level is None or level.name == ROW:
        return own
    clusters, names = table.group(level.group)
    missing = own < 0
    field = Field(variable.known, "label", own, missing if missing.any() else None, tuple(labels))
    first, differs = constant_within(clusters, field, len(names))
    if differs >= 0:
        raise refuse_varying(field, names[differs], level.name)
    of_cluster = np.where(first >= 0, own[first], -1)
    return np.asarray(of_cluster[clusters], dtype=np.intp)
