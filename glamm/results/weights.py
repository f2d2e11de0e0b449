"""Frequency weights of clusters and units, those of the clusters above them multiplied in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Plan, ResponsePlan
from glamm.inference.forms import cluster_weights

Array = NDArray[np.float64]

__all__ = ["unit_weights"]


def unit_weights(plan: Plan, response: ResponsePlan) -> Array:
    """Return how many units of the data each unit of a response stands for, shape (n,)."""
    weight = cluster_weights(plan)[0][response.cluster]
    return weight if response.weight is None else np.asarray(weight * response.weight)
