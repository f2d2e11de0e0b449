"""Discrete latent variables of a fit: posterior classes, their sizes and profiles."""

from __future__ import annotations

from glamm.graph import ModelGraph

__all__ = ["class_orders"]


def class_orders(graph: ModelGraph) -> tuple[str, ...]:
    """Return for each class variable how its classes are numbered: by size, by location or as named."""
    orders = []
    for variable in graph.classes:
        numbered = variable.labels == tuple(str(k + 1) for k in range(len(variable.labels)))
        free = numbered and not variable.known
        orders.append(("location" if variable.points else "size") if free else "")
    return tuple(orders)
