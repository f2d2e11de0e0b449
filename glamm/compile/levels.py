"""Levels of a model in data: how they nest, and clusters numbered so that rows and parents ascend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.classes import ClassStates
from glamm.data import Crossing, Table, nest
from glamm.data.extended import ExtendedTable
from glamm.errors import DataError, Problem
from glamm.graph import Level

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["ClusterTree", "SortedLevel", "sort_clusters"]


@dataclass(frozen=True, slots=True, eq=False)
class SortedLevel:
    """One level, its clusters numbered in the order of the plan.

    Attributes
    ----------
    level : Level
    labels : tuple
        Label of each cluster.
    parent : ndarray of intp, shape (clusters,), or None
        Ascending; None at the top.
    weight : ndarray, shape (clusters,), or None
    group : ndarray of intp, shape (clusters,), or None
        Ascending; clusters of one group differ in classes of this level only. None without such classes.
    states : tuple of ndarray of intp, shape (clusters,)
        Class of each cluster, for the class variables of this level and of those above it.
    """

    level: Level
    labels: tuple[Any, ...]
    parent: Index | None
    weight: Array | None
    group: Index | None = None
    states: tuple[tuple[str, Index], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ClusterTree:
    """All levels and the order of rows that makes every cluster contiguous.

    Attributes
    ----------
    levels : tuple of SortedLevel
        The lowest first; empty for a model without groups.
    rows : ndarray of intp, shape (m,)
        Rows of the data in the order of the plan.
    cluster : ndarray of intp, shape (m,)
        Lowest-level cluster of each of them, ascending.
    """

    levels: tuple[SortedLevel, ...]
    rows: Index
    cluster: Index


def sort_clusters(
    table: Table,
    levels: Sequence[Level],
    rows: Index,
    weights: Mapping[str, Any],
    classes: Sequence[ClassStates] = (),
) -> ClusterTree:
    """Return the levels as they nest in the data.

    Parameters
    ----------
    table : Table
        Extended by the classes.
    levels : sequence of Level
        In any order.
    rows : ndarray of intp, shape (m,), ascending
        Rows of the data that enter the model.
    weights : mapping of level name to weights
        Frequency weights of clusters.
    classes : sequence of ClassStates
        Class variables; clusters that differ in a class of their own level or above are kept apart.

    Raises
    ------
    DataError
        A grouping column is missing in a row, levels cross or coincide, or weights differ in a cluster.
    """
    whole = None if len(rows) == table.n_rows else rows
    if not levels:
        return ClusterTree((), rows, np.arange(len(rows), dtype=np.intp))
    # at a tie the later level is the lower one, and nothing lies below the rows
    levels = sorted(levels, key=lambda level: not level.group.columns)
    grouped = [_clusters(table, level, rows, whole) for level in levels]
    nesting = nest([code for code, _ in grouped])
    if isinstance(nesting, Crossing):
        raise _crossed(levels, grouped, nesting)
    _coincide(levels, nesting.order, nesting.clusters)
    position = {levels[which].name: place for place, which in enumerate(nesting.order)}
    found: list[SortedLevel] = []
    above: Index | None = None
    for place in reversed(range(len(levels))):
        which = nesting.order[place]
        level, (code, labels) = levels[which], grouped[which]
        # the classes of this level vary fastest, so that alternatives stand together
        here = [c for c in classes if position[c.variable.level] >= place]
        here.sort(key=lambda c: position[c.variable.level] == place)
        own = [c for c in here if position[c.variable.level] == place]
        codes, first = _kept_apart(code, [c.codes[rows] for c in here], [len(c.labels) for c in here])
        parent = None if above is None else above[first]
        rank, sorted_parent, order = _number(len(first), parent)
        first = first[order]
        weight = None
        if level.name in weights:
            weight = _cluster_weights(
                table, whole, level, rank[codes], len(first), labels, code, weights[level.name]
            )
        group = None
        if own:
            higher = [c for c in here if c not in own]
            sibling, _ = _kept_apart(code, [c.codes[rows] for c in higher], [len(c.labels) for c in higher])
            of_cluster = sibling[first]
            group = np.concatenate([[0], np.cumsum(np.diff(of_cluster) != 0)]).astype(np.intp)
        named = tuple(labels[i] for i in code[first].tolist())
        states = tuple((c.variable.name, c.codes[rows][first]) for c in here)
        found.append(SortedLevel(level, named, sorted_parent, weight, group, states))
        above = rank[codes]
    assert above is not None
    cluster = above
    if np.all(cluster[:-1] <= cluster[1:]):
        return ClusterTree(tuple(reversed(found)), rows, cluster)
    order_rows = np.argsort(cluster, kind="stable")
    return ClusterTree(tuple(reversed(found)), rows[order_rows], cluster[order_rows])


def _clusters(table: Table, level: Level, rows: Index, whole: Index | None) -> tuple[Index, Sequence[Any]]:
    """Return codes and labels of a level; the clusters of the row level are the rows of the data."""
    if level.group.columns:
        return table.group(level.group, whole)
    data_rows = table.origin[rows] if isinstance(table, ExtendedTable) else rows
    if np.all(data_rows[:-1] < data_rows[1:]):
        return np.arange(len(data_rows), dtype=np.intp), data_rows.tolist()
    labels, codes = np.unique(data_rows, return_inverse=True)
    return codes.astype(np.intp), labels.tolist()


def _kept_apart(code: Index, states: Sequence[Index], sizes: Sequence[int]) -> tuple[Index, Index]:
    """Return codes that tell clusters in different classes apart, and the first row of each."""
    combined = code
    for state, size in zip(states, sizes, strict=True):
        combined = combined * size + state
    if not states:
        first = np.zeros(int(code.max(initial=-1)) + 1, dtype=np.intp)
        first[code[::-1]] = np.arange(len(code), dtype=np.intp)[::-1]
        return code, first
    _, first, codes = np.unique(combined, return_index=True, return_inverse=True)
    return codes.astype(np.intp), first.astype(np.intp)


def _number(count: int, parent: Index | None) -> tuple[Index, Index | None, Index]:
    """Return the new number of each cluster, their parents in the new order, and that order.

    `parent` holds the new numbers of the clusters above.
    """
    identity = np.arange(count, dtype=np.intp)
    if parent is None:
        return identity, None, identity
    order = np.argsort(parent, kind="stable")
    rank = np.empty(count, dtype=np.intp)
    rank[order] = identity
    return rank, parent[order], order


def _cluster_weights(
    table: Table,
    rows: Index | None,
    level: Level,
    cluster: Index,
    clusters: int,
    labels: Sequence[Any],
    codes: Index,
    given: Any,
) -> Array:
    values = table.weights(given, rows)
    weight = np.empty(clusters)
    weight[cluster] = values
    differs = weight[cluster] != values
    if differs.any():
        label = labels[int(codes[int(np.argmax(differs))])]
        raise DataError(f"the weights of the level {level.name!r} differ within its cluster {label!r}")
    return weight


def _crossed(
    levels: Sequence[Level], grouped: Sequence[tuple[Index, Sequence[Any]]], crossing: Crossing
) -> DataError:
    lower, upper = levels[crossing.lower].name, levels[crossing.upper].name
    cluster = grouped[crossing.lower][1][crossing.cluster]
    first, second = (grouped[crossing.upper][1][i] for i in crossing.parents)
    return DataError(
        Problem(
            f"the groups {lower!r} and {upper!r} are crossed: {lower} {cluster!r} lies in {upper} {first!r} "
            f"and in {upper} {second!r}; crossed random effects are not supported yet",
            levels[crossing.lower].group.span,
            f"if the labels of {lower} start anew in each {upper}, write (1 | {upper}/{lower})",
        )
    )


def _coincide(levels: Sequence[Level], order: Sequence[int], counts: Sequence[int]) -> None:
    for place in range(len(order) - 1):
        if counts[place] == counts[place + 1] and levels[order[place]].group.columns:
            first, second = sorted((order[place], order[place + 1]))
            raise DataError(
                Problem(
                    f"the groups {levels[first].name!r} and {levels[second].name!r} make the same "
                    f"{counts[place]} clusters, so their random effects cannot be told apart",
                    levels[second].group.span,
                    "keep one of them",
                )
            )
