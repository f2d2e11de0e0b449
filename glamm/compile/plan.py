"""The plan: a model and its data as flat arrays, without a name in it.

Levels are numbered from the lowest (0) to the highest. Rows of every response are sorted by top-level
cluster, then by the next lower level and so on, so the rows of any cluster are contiguous. Coordinates of
the standardised latent variables are numbered within their level; `loadings` of a row run over the
coordinates of all levels, level 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.protocols import Encoded, Family

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "LevelPlan",
    "LoadingPlan",
    "Plan",
    "PredictorPlan",
    "ResponsePlan",
]


@dataclass(frozen=True, slots=True, eq=False)
class LevelPlan:
    """One level of clusters.

    Attributes
    ----------
    parent : ndarray of intp, shape (clusters,), or None
        Cluster of the next higher level, ascending; None at the top.
    weight : ndarray, shape (clusters,), or None
        Frequency weights of the clusters.
    factor : ndarray of intp, shape (q, q)
        Index in theta of each entry of the lower Cholesky factor of the latent covariance matrix; -1 is
        a fixed zero. ``q`` is the number of latent variables of the level, possibly 0.
    clusters : int
    """

    clusters: int
    parent: Index | None
    weight: Array | None
    factor: Index


@dataclass(frozen=True, slots=True, eq=False)
class LoadingPlan:
    """Design columns of latent variables of one level in one linear predictor.

    Attributes
    ----------
    level : int
    design : ndarray, shape (n, m)
    latent : ndarray of intp, shape (m,)
        Latent variable (within its level) that each design column multiplies.
    """

    level: int
    design: Array
    latent: Index


@dataclass(frozen=True, slots=True, eq=False)
class PredictorPlan:
    """One linear predictor: ``offset + design @ theta[coefficient] + latent part``.

    Attributes
    ----------
    design : ndarray, shape (n, p)
    coefficient : ndarray of intp, shape (p,)
    offset : ndarray, shape (n,), or float
    loadings : tuple of LoadingPlan
    """

    design: Array
    coefficient: Index
    offset: Array | float
    loadings: tuple[LoadingPlan, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ResponsePlan:
    """All units of one response.

    Attributes
    ----------
    family : Family
    encoded : Encoded
        Values, shape (n, ny).
    cluster : ndarray of intp, shape (n,)
        Lowest-level cluster of each unit, ascending.
    weight : ndarray, shape (n,), or None
        Frequency weights of the units.
    predictors : tuple of PredictorPlan
        In the order of ``family.predictors``.
    channels : ndarray of intp, shape (n, K), or None
        Predictor that feeds each channel of each unit (see `Family.channels`).
    """

    family: Family
    encoded: Encoded
    cluster: Index
    weight: Array | None
    predictors: tuple[PredictorPlan, ...]
    channels: Index | None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A whole model.

    Attributes
    ----------
    levels : tuple of LevelPlan
        At least one; a model without groups has one level whose clusters are the rows, with q = 0.
    responses : tuple of ResponsePlan
    n_parameters : int
        Length of theta: coefficients and free Cholesky entries.
    start : ndarray, shape (n_parameters,)
        Data-free starting values (zero coefficients, families' starting intercepts, Cholesky diagonal 1).
    """

    levels: tuple[LevelPlan, ...]
    responses: tuple[ResponsePlan, ...]
    n_parameters: int
    start: Array
