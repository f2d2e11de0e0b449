"""Linear predictors and means of fitted models, for the rows of the fit or for new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.errors import GlammError, Problem, nearest
from glamm.results.forms import LevelPosterior, Moments, path_moments
from glamm.results.laws import CoordinateLaw
from glamm.results.marginal import mean_over_prior
from glamm.results.rows import ResponseRows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["KINDS", "Mode", "predict", "resolve_kind"]


@dataclass(frozen=True, slots=True)
class Mode:
    """What is predicted: the scale, and what becomes of random effects and latent variables.

    Attributes
    ----------
    scale : {"mean", "linear"}
    random : {"conditional", "zero", "marginal"}
        At their empirical Bayes means (prior means for new clusters), at 0, or integrated over. Classes have
        their posterior probabilities in the first case (prior ones for new clusters), else the prior's.
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
    The disturbances of named latent variables are random effects in all of this.
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


def predict(
    rows: ResponseRows,
    mode: Mode,
    main: Sequence[int],
    posterior: Sequence[LevelPosterior],
    laws: Sequence[CoordinateLaw],
) -> Array:
    """Return predictions for rows of one response, averaged over the classes that they stand in.

    Parameters
    ----------
    rows : ResponseRows
    mode : Mode
    main : sequence of int
        Predictors that are shown on the linear scale.
    posterior : sequence of LevelPosterior
        Moments of the coordinates of each level; they are needed for conditional predictions only.
    laws : sequence of CoordinateLaw
        Of the coordinates that are not normal; they are needed for marginal predictions only.

    Returns
    -------
    ndarray, shape (n,) or (n, columns)
    """
    n = len(rows.position)
    if mode.random == "conditional":
        known = dict(enumerate(posterior))
        moments = path_moments(rows.space, n, known, dict(enumerate(rows.clusters)))
    elif mode.random == "marginal":
        moments = path_moments(rows.space, n)
    else:
        moments = Moments(np.zeros((n, rows.space.width)), np.zeros((n, len(rows.space.pairs))))
    forms = [*rows.predictors, *(form for m in rows.memberships for form in m.predictors)]

    def value(nu: list[Array]) -> Array:
        """Return the prediction times the probability of the row's classes, and that probability."""
        if mode.scale == "mean":
            own = nu[: len(rows.predictors)]
            own = own if rows.alternatives is None else rows.alternatives.masked(own)
            found = np.asarray(rows.family.mean_value(rows.categories, own))
        else:
            found = np.stack([nu[k] for k in main], axis=-1)
        # of no rows, the number of columns does not follow from the size
        found = found.reshape(n, math.prod(found.shape[1:]))
        weight = _class_probability(rows, nu, mode.random == "conditional")
        return np.column_stack([found * weight[:, None], weight])

    if mode.scale == "mean" and mode.random == "marginal":
        total = mean_over_prior(value, forms, rows.space, laws)
    else:
        total = value([form.expected(moments) for form in forms])
    if rows.memberships:
        total = _over_classes(rows, total)
    found = total[:, :-1] / total[:, -1:] if rows.memberships else total[:, :-1]
    return found[:, 0] if found.shape[1] == 1 else found


def _class_probability(rows: ResponseRows, nu: Sequence[Array], conditional: bool) -> Array:
    """Return the probability of the row's classes: the posterior's of known clusters if `conditional`."""
    weight = np.array(rows.share) if conditional else np.ones(len(rows.position))
    first = len(rows.predictors)
    for membership in rows.memberships:
        last = first + len(membership.predictors)
        probability = membership.probability(list(nu[first:last]))
        if conditional:
            probability = np.where(rows.clusters[membership.level] >= 0, 1.0, probability)
        weight = weight * probability
        first = last
    return weight


def _over_classes(rows: ResponseRows, values: Array) -> Array:
    """Return for every row the sum over the rows that stand for the same row of the data frame."""
    _, code = np.unique(rows.position, return_inverse=True)
    return np.column_stack([np.bincount(code, column)[code] for column in values.T])
