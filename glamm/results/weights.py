"""Frequency weights of clusters and units, those of the clusters above them multiplied in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Plan, ResponsePlan

Array = NDArray[np.float64]

__all__ = ["cluster_weights", "unit_weights"]


def cluster_weights(plan: Plan) -> list[Array]:
    """Return how many clusters of the data each cluster stands for, shape (clusters,), for each level."""
    found: list[Array] = []
    for level in reversed(plan.levels):
        weight = np.ones(level.clusters) if level.weight is None else level.weight
        if found and level.parent is not None:
            weight = weight * found[0][level.parent]
        found.insert(0, weight)
    return found


def unit_weights(plan: Plan, response: ResponsePlan) -> Array:
    """Return how many units of the data each unit of a response stands for, shape (n,)."""
    weight = cluster_weights(plan)[0][response.cluster]
    return weight if response.weight is None else np.asarray(weight * response.weight)
