"""Levels of a model in data: how they nest, and clusters numbered so that rows and parents ascend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.data import Crossing, Table, nest
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
    """

    level: Level
    labels: tuple[Any, ...]
    parent: Index | None
    weight: Array | None


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
    table: Table, levels: Sequence[Level], rows: Index, weights: Mapping[str, Any]
) -> ClusterTree:
    """Return the levels as they nest in the data.

    Parameters
    ----------
    table : Table
    levels : sequence of Level
        In any order.
    rows : ndarray of intp, shape (m,), ascending
        Rows of the data that enter the model.
    weights : mapping of level name to weights
        Frequency weights of clusters.

    Raises
    ------
    DataError
        A grouping column is missing in a row, levels cross or coincide, or weights differ in a cluster.
    """
    whole = None if len(rows) == table.n_rows else rows
    if not levels:
        return ClusterTree((), rows, np.arange(len(rows), dtype=np.intp))
    grouped = [table.group(level.group, whole) for level in levels]
    codes = [code for code, _ in grouped]
    nesting = nest(codes)
    if isinstance(nesting, Crossing):
        raise _crossed(levels, grouped, nesting)
    _coincide(levels, nesting.order, nesting.clusters)
    found: list[SortedLevel] = []
    rank: Index | None = None
    for place in reversed(range(len(levels))):
        which = nesting.order[place]
        rank, sorted_parent, order = _number(nesting.clusters[place], nesting.parents[place], rank)
        code, labels = grouped[which]
        weight = None
        if levels[which].name in weights:
            weight = _cluster_weights(table, whole, levels[which], code, labels, weights[levels[which].name])
            weight = weight[order]
        named = tuple(labels[i] for i in order.tolist())
        found.append(SortedLevel(levels[which], named, sorted_parent, weight))
    assert rank is not None
    cluster = rank[codes[nesting.order[0]]]
    if np.all(cluster[:-1] <= cluster[1:]):
        return ClusterTree(tuple(reversed(found)), rows, cluster)
    order_rows = np.argsort(cluster, kind="stable")
    return ClusterTree(tuple(reversed(found)), rows[order_rows], cluster[order_rows])


def _number(count: int, parent: Index | None, rank_above: Index | None) -> tuple[Index, Index | None, Index]:
    """Return the new number of each cluster, their new parents in the new order, and that order."""
    identity = np.arange(count, dtype=np.intp)
    if parent is None or rank_above is None:
        return identity, None, identity
    above = rank_above[parent]
    order = np.argsort(above, kind="stable")
    rank = np.empty(count, dtype=np.intp)
    rank[order] = identity
    return rank, above[order], order


def _cluster_weights(
    table: Table, rows: Index | None, level: Level, codes: Index, labels: Sequence[Any], given: Any
) -> Array:
    values = table.weights(given, rows)
    weight = np.empty(len(labels))
    weight[codes] = values
    differs = weight[codes] != values
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
        if counts[place] == counts[place + 1]:
            first, second = sorted((order[place], order[place + 1]))
            raise DataError(
                Problem(
                    f"the groups {levels[first].name!r} and {levels[second].name!r} make the same "
                    f"{counts[place]} clusters, so their random effects cannot be told apart",
                    levels[second].group.span,
                    "keep one of them",
                )
            )
