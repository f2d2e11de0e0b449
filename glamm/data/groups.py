"""Clusters: codes of grouping factors, and how levels nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.data.expressions import Rows
from glamm.data.fields import Field, used_levels
from glamm.data.store import Store
from glamm.errors import DataError, Problem
from glamm.graph.model import GroupFactor

__all__ = ["Crossing", "Nesting", "make_group", "nest"]

Codes = NDArray[np.intp]


def _number_codes(values: NDArray[Any]) -> tuple[Codes, NDArray[Any]]:
    """Return codes of whole or other numbers in ascending order, and the distinct numbers."""
    if values.dtype.kind == "i" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * len(values) + 1000:
            # Identifiers that lie close together need no hash table.
            place = values - low
            occurs = np.bincount(place, minlength=high - low + 1) > 0
            codes = (np.cumsum(occurs) - 1)[place]
            return codes.astype(np.intp, copy=False), np.flatnonzero(occurs) + low
    codes, distinct = pd.factorize(values, sort=True)
    return codes.astype(np.intp, copy=False), distinct


def _plain(level: Any) -> int | float | str:
    """Return a category as a label: whole numbers as int, other numbers as they are, the rest as text."""
    if isinstance(level, bool) or not isinstance(level, (int, float)):
        return str(level)
    return int(level) if float(level).is_integer() else level


def _column_codes(field: Field, store: Store, rows: Rows, factor: GroupFactor) -> tuple[Codes, list[Any]]:
    """Return codes and labels of one column of a grouping factor."""
    missing = field.missing
    if missing is not None and rows is not None:
        missing = missing[rows]
    if missing is not None and missing.any():
        row = store.name_row(int(np.argmax(missing)), rows)
        message = f"the grouping column {field.name!r} is missing in {row} ({int(missing.sum())} rows in all)"
        raise DataError(Problem(message, factor.span))
    if field.kind == "label":
        codes, levels = used_levels(field, rows)
        return codes, [_plain(level) for level in levels]
    values = field.values if rows is None else field.values[rows]
    if field.kind == "flag":
        codes, distinct = _number_codes(values.astype(np.int64))
        return codes, [("False", "True")[i] for i in distinct]
    codes, distinct = _number_codes(values)
    if distinct.dtype.kind == "i":
        return codes, distinct.tolist()
    return codes, [_plain(value) for value in distinct.tolist()]


def make_group(store: Store, factor: GroupFactor, rows: Rows = None) -> tuple[Codes, list[Any]]:
    """Return cluster codes and labels of a grouping factor; see `Table.group`."""
    absent = [store.no_column(name, factor.span) for name in factor.columns if name not in store]
    if absent:
        raise DataError(absent)
    parts = [_column_codes(store.field(name), store, rows, factor) for name in factor.columns]
    codes, labels = parts[0]
    for more, names in parts[1:]:
        pairs, distinct = _number_codes((codes * len(names) + more).astype(np.int64, copy=False))
        first, second = np.divmod(distinct, max(len(names), 1))
        labels = [f"{labels[i]}:{names[j]}" for i, j in zip(first.tolist(), second.tolist(), strict=True)]
        codes = pairs
    return codes, labels


@dataclass(frozen=True, slots=True, eq=False)
class Nesting:
    """Levels that nest.

    Attributes
    ----------
    order : tuple of int
        Positions of the levels as they were given, the lowest (most clusters) first.
    clusters : tuple of int
        Number of clusters of each level, in that order.
    parents : tuple of ndarray or None
        For each level, in that order, the cluster of the next higher level that each of its clusters
        belongs to; None at the top.
    """

    order: tuple[int, ...]
    clusters: tuple[int, ...]
    parents: tuple[Codes | None, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two levels of which neither nests in the other.

    Attributes
    ----------
    lower, upper : int
        Positions of the two levels as they were given.
    cluster : int
        A cluster of `lower` that lies in several clusters of `upper`.
    parents : tuple of (int, int)
        Two of those.
    """

    lower: int
    upper: int
    cluster: int
    parents: tuple[int, int]


def nest(codes: Sequence[Codes]) -> Nesting | Crossing:
    """Return how levels nest, or the first pair that does not.

    Parameters
    ----------
    codes : sequence of ndarray of intp, each of shape (n,)
        Cluster of each row at each level, numbered from 0 without gaps.
    """
    counts = [int(level.max()) + 1 if len(level) else 0 for level in codes]
    # A level with more clusters can only be the lower one. At a tie the later one is, as in `a/b`, which
    # stands for `a` and then `a:b`.
    order = sorted(range(len(codes)), key=lambda i: (-counts[i], -i))
    parents: list[Codes | None] = []
    for lower, upper in pairwise(order):
        parent = np.zeros(counts[lower], dtype=np.intp)
        parent[codes[lower]] = codes[upper]
        strays = parent[codes[lower]] != codes[upper]
        if strays.any():
            row = int(np.argmax(strays))
            cluster = int(codes[lower][row])
            return Crossing(lower, upper, cluster, (int(codes[upper][row]), int(parent[cluster])))
        parents.append(parent)
    return Nesting(tuple(order), tuple(counts[i] for i in order), (*parents, None) if codes else ())
