"""Linear predictors and means of fitted models, for the rows of the fit or for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import PredictorPlan
from glamm.errors import GlammError, Problem, nearest
from glamm.protocols import Family
from glamm.results.marginal import marginal_mean

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "KINDS",
    "Mode",
    "ResponseRows",
    "conditional_predictors",
    "covariances",
    "fixed_predictors",
    "mean_of",
    "resolve_kind",
]

NEW = -1


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRows:
    """Rows of one response, ready for prediction.

    Attributes
    ----------
    response : str
    family : Family
    categories : tuple of str
    predictors : tuple of PredictorPlan
        In the order of ``family.predictors``.
    clusters : tuple of ndarray of intp, shape (n,)
        Cluster of each row at each level, lowest level first; -1 is a cluster the fit has not seen.
    position : ndarray of intp, shape (n,)
        Row of the data frame that each row came from.
    """

    response: str
    family: Family
    categories: tuple[str, ...]
    predictors: tuple[PredictorPlan, ...]
    clusters: tuple[Index, ...]
    position: Index


@dataclass(frozen=True, slots=True)
class Mode:
    """What is predicted: the scale, and what becomes of the random effects.

    Attributes
    ----------
    scale : {"mean", "linear"}
    random : {"conditional", "zero", "marginal"}
        At their empirical Bayes means (0 for new clusters), at 0, or integrated over.
    """

    scale: str
    random: str


KINDS = ("response", "probability", "link", "linear", "conditional", "marginal")
_RANDOM = {True: "conditional", "zero": "zero", False: "marginal"}


def resolve_kind(kind: str, random: bool | str) -> Mode:
    """Return what ``predict(kind=..., random=...)`` means.

    ``"response"`` and ``"probability"`` (means, category probabilities) and ``"link"`` (the linear
    predictor) take the random effects as `random` says: True at their empirical Bayes means, "zero" at
    zero, False integrated over. ``"linear"`` is the fixed part of the linear predictor,
    ``"conditional"`` the mean at the empirical Bayes means, ``"marginal"`` the mean integrated over them.
    """
    if kind not in KINDS:
        hint = nearest(kind, KINDS)
        raise GlammError(Problem(f"cannot predict {kind!r}: expected one of {', '.join(KINDS)}", hint=hint))
    if random not in _RANDOM:
        raise GlammError(f"random={random!r} is not known: expected True, 'zero' or False")
    if kind == "linear":
        return Mode("linear", "zero")
    if kind in ("conditional", "marginal"):
        return Mode("mean", kind)
    return Mode("linear" if kind == "link" else "mean", _RANDOM[random])


def fixed_predictors(rows: ResponseRows, theta: Array) -> list[Array]:
    """Return offset plus fixed part of each linear predictor, K arrays of shape (n,)."""
    n = len(rows.position)
    return [p.design @ theta[p.coefficient] + np.broadcast_to(p.offset, (n,)) for p in rows.predictors]


def conditional_predictors(rows: ResponseRows, theta: Array, effects: Sequence[Array]) -> list[Array]:
    """Return each linear predictor at given random effects.

    Parameters
    ----------
    rows : ResponseRows
    theta : ndarray
    effects : sequence of ndarrays, shape (clusters, q)
        Random effects of each level; a cluster the fit has not seen counts as 0.
    """
    found = fixed_predictors(rows, theta)
    for k, predictor in enumerate(rows.predictors):
        for loading in predictor.loadings:
            cluster = rows.clusters[loading.level]
            known = cluster != NEW
            values = effects[loading.level][np.where(known, cluster, 0)][:, loading.latent]
            found[k] = found[k] + np.where(known, np.sum(loading.design * values, axis=1), 0.0)
    return found


def covariances(rows: ResponseRows, psi: Sequence[Array]) -> Array:
    """Return the covariance matrix of the linear predictors of each row, shape (n, K, K).

    Parameters
    ----------
    rows : ResponseRows
    psi : sequence of ndarrays, shape (q, q)
        Covariance matrix of the random effects of each level.
    """
    n, size = len(rows.position), len(rows.predictors)
    total = np.zeros((n, size, size))
    for level, matrix in enumerate(psi):
        parts = [
            (k, loading)
            for k, predictor in enumerate(rows.predictors)
            for loading in predictor.loadings
            if loading.level == level
        ]
        for k, left in parts:
            weighted = left.design @ matrix[left.latent]
            for m, right in parts:
                total[:, k, m] += np.sum(weighted[:, right.latent] * right.design, axis=1)
    return total


def mean_of(rows: ResponseRows, nu: Sequence[Array], covariance: Array | None = None) -> Array:
    """Return means, shape (n,), or category probabilities, shape (n, categories).

    Parameters
    ----------
    rows : ResponseRows
    nu : sequence of K ndarrays, shape (n,)
    covariance : ndarray, shape (n, K, K), or None
        Integrate over normal predictors with this covariance; None takes `nu` as it is.
    """
    if covariance is None:
        return np.asarray(rows.family.mean_value(rows.categories, list(nu)))
    return marginal_mean(rows.family, rows.categories, nu, covariance)
