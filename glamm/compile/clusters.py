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
    "below_weight",
    "level_position",
    "once_a_cluster",
    "representatives",
    "unit_of_cluster",
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


def below_weight(tree: ClusterTree, position: int, cluster: Index) -> Array | None:
    """Return weights that undo those of the clusters below a level, or None.

    The unit of a higher level is evaluated inside one of its lowest clusters, once whatever its weight.
    """
    weight: Array | None = None
    for below in tree.levels[:position]:
        if below.weight is not None:
            own = 1.0 / np.where(below.weight > 0.0, below.weight, np.nan)[cluster]
            weight = own if weight is None else weight * own
        assert below.parent is not None
        cluster = below.parent[cluster]
    return weight


def unit_of_cluster(tree: ClusterTree, position: int) -> tuple[Index, Array | None]:
    """Return the lowest cluster, and the weight, of a unit for each cluster of a level."""
    lowest = np.arange(len(tree.levels[0].labels), dtype=np.intp)
    _, first = np.unique(at_level(tree, lowest, position), return_index=True)
    cluster = first.astype(np.intp)
    return cluster, below_weight(tree, position, cluster)
