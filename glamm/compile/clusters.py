"""What lives at a level of clusters: one row of the data speaks for each cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.levels import ClusterTree
from glamm.data import Table
from glamm.data.expressions import evaluate, read
from glamm.data.extended import constant_within, refuse_varying
from glamm.data.fields import Field
from glamm.errors import DataError, Problem
from glamm.graph import ROW, LatentVariable, ModelGraph, Response, Term

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "at_level",
    "hosted",
    "level_position",
    "once_a_cluster",
    "representatives",
    "unit_of_cluster",
    "with_weight",
]


def level_position(tree: ClusterTree, level: str) -> int:
    """Return the place of a level, the lowest 0."""
    return [found.level.name for found in tree.levels].index(level)


def at_level(tree: ClusterTree, cluster: Index, position: int) -> Index:
    """Return the cluster at a level of rows in clusters of the lowest one."""
    for below in tree.levels[:position]:
        assert below.parent is not None
        cluster = below.parent[cluster]
    return cluster


def _items(models: Iterable[LatentVariable | Response]) -> list[str]:
    """Return the expressions of the columns in some regressions."""
    found: list[str] = []
    for owner in models:
        for model in owner.predictors:
            found += [factor for term in model.terms for factor in term.factors]
            found += model.offsets
    return found


def _refuse_varying(
    table: Table,
    expressions: Sequence[str],
    rows: Index,
    cluster: Index,
    level: str,
    labels: Sequence[object],
) -> None:
    """Raise DataError if a column of the expressions differs within a cluster."""
    for name in dict.fromkeys(name for text in expressions for name in read(text, table).columns):
        field = table.field(name)
        missing = None if field.missing is None else field.missing[rows]
        part = Field(name, field.kind, field.values[rows], missing, field.levels)
        _, differs = constant_within(cluster, part, len(labels))
        if differs >= 0:
            raise refuse_varying(part, labels[differs], level)


def representatives(graph: ModelGraph, table: Table, tree: ClusterTree) -> list[Index]:
    """Return for each level a row of the data for each cluster, complete in what its latent variables need.

    Raises
    ------
    DataError
        A covariate of a latent variable differs within a cluster of its level.
    """
    found = []
    for position, level in enumerate(tree.levels):
        cluster = at_level(tree, tree.cluster, position)
        latents: list[LatentVariable | Response] = [
            latent for latent in graph.latents if latent.level == level.level.name
        ]
        imputed = {missing.response for missing in graph.missing}
        latents += [r for r in graph.responses if r.name in imputed and r.level == level.level.name]
        expressions = _items(latents)
        blocks = [b for b in graph.blocks if any(n == x.name for n, _ in b.members for x in latents)]
        expressions += [factor for block in blocks for term in block.terms for factor in term.factors]
        terms: list[Term | str] = list(expressions)
        if level.level.name != ROW:
            try:
                _refuse_varying(table, expressions, tree.rows, cluster, level.level.name, level.labels)
            except DataError as error:
                span = latents[0].span
                raise DataError([Problem(p.message, span) for p in error.problems]) from None
        complete = table.complete(terms)[tree.rows] if terms else np.ones(len(tree.rows), dtype=bool)
        first = np.full(len(level.labels), -1, dtype=np.intp)
        # complete rows are written last, the first of them at the very end
        order = np.lexsort((np.arange(len(cluster))[::-1], complete))
        first[cluster[order]] = order
        found.append(tree.rows[first])
    return found


def once_a_cluster(response: Response, table: Table, tree: ClusterTree, rows: Index, cluster: Index) -> Index:
    """Return positions of the rows that speak for the clusters of a response's level, ascending.

    Raises
    ------
    DataError
        The response or a covariate of it differs within a cluster.
    """
    position = level_position(tree, response.level)
    level = tree.levels[position]
    own = at_level(tree, cluster, position)
    for text in response.form.factors:
        values = evaluate(text, table, rows)
        _, differs = constant_within(own, values, len(level.labels))
        if differs >= 0:
            raise DataError(
                Problem(
                    f"the response {response.name!r} lives at the level {response.level!r}, "
                    f"but differs within {response.level} {level.labels[differs]!r}",
                    response.span,
                )
            )
    _refuse_varying(table, _items([response]), rows, own, response.level, level.labels)
    _, first = np.unique(own, return_index=True)
    return np.sort(first).astype(np.intp)


def with_weight(tree: ClusterTree, cluster: Index, positions: slice = slice(None)) -> NDArray[np.bool_]:
    """Return whether rows are in clusters that have weight, shape (n,).

    Parameters
    ----------
    tree : ClusterTree
    cluster : ndarray of intp, shape (n,)
        Of the lowest level.
    positions : slice
        Levels that are looked at.
    """
    found = np.ones(len(cluster), dtype=bool)
    looked_at = range(len(tree.levels))[positions]
    for position, level in enumerate(tree.levels):
        if level.weight is not None and position in looked_at:
            found &= level.weight[cluster] > 0.0
        if level.parent is not None:
            cluster = level.parent[cluster]
    return found


def hosted(tree: ClusterTree, position: int, cluster: Index) -> tuple[Index, Array | None]:
    """Return the lowest cluster in which the unit of each cluster of a level is evaluated, and its weight.

    It counts once whatever the weights of the clusters below, which its own weight undoes.

    Parameters
    ----------
    tree : ClusterTree
    position : int
        Of the level.
    cluster : ndarray of intp, shape (n,)
        Lowest cluster of the row that speaks for each: it is the one, or another where it has weight 0.

    Raises
    ------
    DataError
        All that is within a cluster has weight 0, which it has not.
    """
    below, above = slice(position), slice(position, None)
    wrong = np.flatnonzero(~with_weight(tree, cluster, below))
    if wrong.size:
        lowest = np.arange(len(tree.levels[0].labels), dtype=np.intp)
        good = lowest[with_weight(tree, lowest, below)]
        level = tree.levels[position]
        first = np.full(len(level.labels), -1, dtype=np.intp)
        first[at_level(tree, good, position)[::-1]] = good[::-1]
        own = at_level(tree, cluster[wrong], position)
        lost = (first[own] < 0) & with_weight(tree, cluster[wrong], above)
        if lost.any():
            name, label = level.level.name, level.labels[own[int(np.argmax(lost))]]
            raise DataError(f"all rows within {name} {label!r} have weight 0, so give it the weight 0 too")
        cluster = cluster.copy()
        cluster[wrong] = np.where(first[own] < 0, cluster[wrong], first[own])
    return cluster, _undoing_weight(tree, position, cluster)


def _undoing_weight(tree: ClusterTree, position: int, cluster: Index) -> Array | None:
    weight: Array | None = None
    for below in tree.levels[:position]:
        if below.weight is not None:
            own = 1.0 / np.where(below.weight > 0.0, below.weight, np.inf)[cluster]
            weight = own if weight is None else weight * own
        assert below.parent is not None
        cluster = below.parent[cluster]
    return weight


def unit_of_cluster(tree: ClusterTree, position: int) -> tuple[Index, Array | None]:
    """Return the lowest cluster, and the weight, of a unit for each cluster of a level."""
    lowest = np.arange(len(tree.levels[0].labels), dtype=np.intp)
    _, first = np.unique(at_level(tree, lowest, position), return_index=True)
    return hosted(tree, position, first.astype(np.intp))
