"""Responses whose unit is a set of rows, one an alternative: choices and rankings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glamm.compile.levels import ClusterTree
from glamm.compile.plan import PredictorPlan
from glamm.compile.terms import columns_of
from glamm.data import Design, Table
from glamm.data.expressions import evaluate
from glamm.errors import DataError, Problem
from glamm.graph import GroupFactor, Response, Term
from glamm.protocols import Column, Encoded
from glamm.protocols.sets import SetFamily

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "Sets",
    "constant_columns",
    "design_of_alternatives",
    "encode_sets",
    "sets_as_clusters",
    "sort_sets",
    "within_sets",
]


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """Rows of a response gathered into sets.

    Attributes
    ----------
    rows : ndarray of intp, shape (m,)
        Rows of the data, those of a set next to each other.
    unit : ndarray of intp, shape (m,), ascending
        Set of each row.
    position : ndarray of intp, shape (m,)
        Place of each row in its set.
    first : ndarray of intp, shape (S,)
        First row of each set in `rows`.
    """

    rows: Index
    unit: Index
    position: Index
    first: Index

    def split(self, plan: PredictorPlan) -> tuple[PredictorPlan, ...]:
        """Return the predictors of the first, second .. alternative of the sets from that of all rows."""
        return tuple(self._part(plan, k) for k in range(int(self.position.max()) + 1))

    def _part(self, plan: PredictorPlan, k: int) -> PredictorPlan:
        chosen = np.flatnonzero(self.position == k)
        unit = self.unit[chosen]

        def spread(values: Array) -> Array:
            made = np.zeros((len(self.first), *values.shape[1:]))
            made[unit] = values[chosen]
            return made

        offset = spread(np.asarray(plan.offset)) if np.ndim(plan.offset) else plan.offset
        return PredictorPlan(
            spread(plan.design),
            plan.coefficient,
            offset,
            tuple(replace(part, design=spread(part.design)) for part in plan.loadings),
            tuple(replace(term, design=spread(term.design)) for term in plan.terms),
        )


def _set_codes(response: Response, table: Table, rows: Index) -> tuple[Index, Sequence[Any]]:
    """Return the set of each row and the labels of the sets."""
    return table.group(GroupFactor((response.form.factors[1].strip("`"),)), rows)


def sets_as_clusters(responses: Sequence[Response], table: Table, tree: ClusterTree) -> ClusterTree:
    """Return a tree without levels whose clusters are the rows that sets hold together.

    Parameters
    ----------
    responses : sequence of Response
        Those whose units are sets.
    table : Table
    tree : ClusterTree
        Each row a cluster of its own.
    """
    n = len(tree.rows)
    linked, sets = [np.arange(n, dtype=np.intp)], [np.arange(n, dtype=np.intp)]
    total = n
    for response in responses:
        codes, labels = _set_codes(response, table, tree.rows)
        linked.append(np.arange(n, dtype=np.intp))
        sets.append(total + codes)
        total += len(labels)
    ends = np.concatenate(linked), np.concatenate(sets)
    links = coo_array((np.ones(len(ends[0])), ends), (total, total))
    parts = connected_components(links, directed=False)[1][:n]
    _, first, cluster = np.unique(parts, return_index=True, return_inverse=True)
    cluster = np.argsort(np.argsort(first))[cluster]
    order = np.argsort(cluster, kind="stable")
    return ClusterTree((), tree.rows[order], cluster[order])


def sort_sets(response: Response, table: Table, tree: ClusterTree, rows: Index, cluster: Index) -> Sets:
    """Return rows, sorted by cluster, gathered into sets; a set has a copy in each of its classes.

    Raises
    ------
    DataError
        A set lies in several clusters.
    """
    of_data, labels = _set_codes(response, table, rows)
    states = tree.levels[0].states if tree.levels else ()
    keys = np.column_stack([of_data, *(codes[cluster] for _, codes in states)])
    _, first, codes = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    codes = codes.ravel().astype(np.intp)
    of_set = np.full(len(first), -1, dtype=np.intp)
    of_set[codes[::-1]] = cluster[::-1]
    strays = of_set[codes] != cluster
    if strays.any():
        label = labels[int(of_data[int(np.argmax(strays))])]
        raise DataError(
            Problem(
                f"the set {label!r} of {response.name} lies in several clusters; "
                "the alternatives of a set belong to one cluster",
                response.span,
                "what is random, or a class, lives at a level whose clusters hold whole sets",
            )
        )
    order = np.lexsort((codes, cluster))
    first = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0])
    unit = np.cumsum(np.r_[0, np.diff(codes[order]) != 0]).astype(np.intp)
    position = np.arange(len(order), dtype=np.intp) - first[unit]
    return Sets(rows[order], unit, position, first.astype(np.intp))


def encode_sets(family: SetFamily, response: Response, table: Table, sets: Sets) -> Encoded:
    """Return the response of each set; the values of alternatives may be missing."""
    # an alternative may lack a rank
    present = table.complete([response.form.factors[0]])[sets.rows]
    value = evaluate(response.form.factors[0], table, sets.rows[present])
    numbers = np.full(len(sets.rows), np.nan)
    numbers[present] = value.values
    levels = tuple(str(level) for level in value.levels) if value.kind == "label" else None
    (names,) = [table.response(replace(response.form, factors=response.form.factors[1:]), sets.rows)]
    columns = (Column(response.form.factors[0], numbers, levels), *names)
    return family.encode_sets(response.form.call, columns, sets.unit)


def design_of_alternatives(
    table: Table, terms: Sequence[Term], intercept: bool, rows: Index | None, sets: Sets
) -> Design:
    """Return the design of the alternatives of sets.

    What an interaction multiplies a column of the alternatives with, and is the same for a whole set, like an
    income, cancels by itself: the interaction is coded as beside it, and it is left out.
    """
    margins: list[Term] = []
    for term in terms:
        for factor in term.factors if len(term.factors) > 1 else ():
            margin = Term(tuple(f for f in term.factors if f != factor), term.span)
            if any(set(margin.factors) == set(known.factors) for known in margins):
                continue
            if not _varying(sets, table.design([margin], False, rows, as_if_intercept=True).matrix).any():
                margins.append(margin)
    written = {frozenset(term.factors) for term in terms}
    added = [margin for margin in margins if frozenset(margin.factors) not in written]
    design = table.design([*terms, *added], intercept, rows, as_if_intercept=True)
    if not margins:
        return design
    cancel = {name for margin in margins for name in columns_of(margin, design.names)}
    varying = _varying(sets, design.matrix)
    return design.take([k for k, name in enumerate(design.names) if varying[k] or name not in cancel])


def _varying(sets: Sets, design: Array) -> NDArray[np.bool_]:
    """Return which columns of a design differ within some set, shape (p,)."""
    within = np.abs(within_sets(sets, design)).max(axis=0, initial=0.0)
    return np.asarray(within > 1e-12 * np.abs(design).max(axis=0, initial=0.0))


def constant_columns(sets: Sets, design: Design) -> list[str]:
    """Return the names of the columns that are the same for all alternatives of every set."""
    return [
        name for name, varies in zip(design.names, _varying(sets, design.matrix), strict=True) if not varies
    ]


def within_sets(sets: Sets, design: Array) -> Array:
    """Return a design less its means over each set: what is the same for all alternatives tells nothing."""
    sums = np.add.reduceat(design, sets.first, axis=0)
    size = np.diff(np.append(sets.first, len(sets.unit)))
    return np.asarray(design - (sums / size[:, None])[sets.unit])
