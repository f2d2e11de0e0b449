"""Moments of Gaussian responses that a fitted model implies, and the data they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Lowered, PredictorPlan, ResponsePlan
from glamm.errors import GlammError
from glamm.results.forms import Forms, RowForm

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Implied", "implied_moments"]

MU, SIGMA = 0, 1
"""Predictors of a Gaussian response."""

EXACT = 1e-8
"""Relative size of what must be zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Implied:
    """Data of p responses of n independent units, and their moments given k covariates.

    Attributes
    ----------
    responses : ndarray, shape (n, p)
        NaN where missing.
    covariates : ndarray, shape (n, k)
    coefficients : ndarray, shape (p, 1 + k)
    covariance : ndarray, shape (p, p)
    """

    responses: Array
    covariates: Array
    coefficients: Array
    covariance: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Variable:
    """A response in the wide format: its units, the cluster of each, and its predictors."""

    units: Index
    cluster: Index
    y: Array
    mu: RowForm
    sigma: RowForm


def implied_moments(lowered: Lowered, theta: Array, forms: Forms) -> Implied:
    """Return the moments that a model implies for Gaussian responses on one level.

    A response of which a cluster has several units is as many responses as there are units: those with the
    same values of what varies within clusters.

    Raises
    ------
    GlammError
        The model is not of that kind.
    """
    _check(lowered, forms)
    plan = lowered.plan
    clusters = plan.levels[0].clusters
    variables: list[_Variable] = []
    columns: list[Array] = []
    for response, own in zip(plan.responses, forms.predictors, strict=False):
        designs = np.hstack([_designs(p, len(response.cluster)) for p in response.predictors])
        varies = np.array([_varies(response, column) for column in designs.T], dtype=bool)
        columns += [_of_clusters(response.cluster, c, clusters) for c in designs[:, ~varies].T]
        variables += _variables(response, own, designs[:, varies])
    for latent in plan.latents:
        columns += list(_designs(latent.predictor, clusters).T)
    covariates = _distinct(columns, clusters)
    y = np.full((clusters, len(variables)), np.nan)
    coefficients = np.empty((len(variables), 1 + covariates.shape[1]))
    slopes, residual = [], np.empty(len(variables))
    for k, variable in enumerate(variables):
        y[variable.cluster, k] = variable.y
        coefficients[k] = _coefficients(variable, covariates)
        slopes.append(_constant(_slope(variable.mu, forms), "a loading"))
        residual[k] = np.exp(2.0 * _constant(variable.sigma.offset[:, None], "a residual variance")[0])
    slope = np.array(slopes)
    return Implied(y, covariates, coefficients, slope @ slope.T + np.diag(residual))


def _check(lowered: Lowered, forms: Forms) -> None:
    plan = lowered.plan
    problem = ""
    if lowered.classes:
        problem = "the model has classes"
    elif any(r.family.name != "gaussian" or r.family.link.name != "identity" for r in plan.responses):
        problem = "not all responses are Gaussian with identity link"
    elif len(plan.levels) > 1:
        problem = "the model has more than one level"
    elif forms.space.pairs:
        problem = "latent variables interact"
    elif plan.levels[0].weight is not None or any(r.weight is not None for r in plan.responses):
        problem = "the fit is weighted"
    elif plan.ratios:
        problem = "not all latent variables are normal"
    elif any(r.predictors[1].is_random for r in plan.responses):
        problem = "a residual variance depends on latent variables"
    else:
        names = {response.name for response in lowered.responses}
        predictors = [p for owner in lowered.responses for p in owner.predictors]
        predictors += [latent.predictor for latent in lowered.latents]
        used = {c.name for p in predictors if p.spec is not None for c in p.spec.columns}
        if names & used:
            problem = f"{sorted(names & used)[0]!r} is a response and a covariate"
        elif any(latent.scale is not None for latent in lowered.latents):
            problem = "variances depend on covariates"
    if problem:
        raise GlammError(f"fit measures are not defined here: {problem}")


def _designs(predictor: PredictorPlan, n: int) -> Array:
    """Return all that makes the rows of a predictor differ, shape (n, m)."""
    offset = np.broadcast_to(np.asarray(predictor.offset, dtype=float), (n,))[:, None]
    parts = [predictor.design, *(p.design for p in predictor.loadings), *(t.design for t in predictor.terms)]
    return np.hstack([offset, *parts])


def _varies(response: ResponsePlan, column: Array) -> bool:
    """Return whether a column differs between the units of a cluster."""
    same = response.cluster[1:] == response.cluster[:-1]
    return bool(np.any(same & (column[1:] != column[:-1])))


def _variables(response: ResponsePlan, forms: tuple[RowForm, ...], varying: Array) -> list[_Variable]:
    _, variable = np.unique(varying, axis=0, return_inverse=True)
    variable = variable.ravel()
    most = int(np.bincount(response.cluster).max())
    count = int(variable.max()) + 1
    pairs = np.unique(np.column_stack([response.cluster, variable]), axis=0)
    if count != most or len(pairs) != len(variable):
        raise GlammError(
            "fit measures are not defined here: the units of the clusters are not the same occasions or items"
        )
    found = []
    for k in range(count):
        units = np.flatnonzero(variable == k)
        y = response.encoded.y[units, 0]
        mu, sigma = forms[MU].take(units), forms[SIGMA].take(units)
        found.append(_Variable(units, response.cluster[units], y, mu, sigma))
    return found


def _of_clusters(cluster: Index, column: Array, clusters: int) -> Array:
    values = np.full(clusters, np.nan)
    values[cluster] = column
    return values


def _distinct(columns: list[Array], clusters: int) -> Array:
    """Return the columns that say something of their own; two that agree where both are known are one."""
    kept: list[Array] = []
    for column in columns:
        known = np.isfinite(column)
        if not known.any() or np.ptp(column[known]) == 0.0:
            continue
        for k, other in enumerate(kept):
            both = known & np.isfinite(other)
            if both.any() and np.array_equal(column[both], other[both]):
                kept[k] = np.where(np.isfinite(other), other, column)
                break
        else:
            kept.append(column)
    found = np.column_stack([np.zeros((clusters, 0)), *kept])
    complete = np.isfinite(found).all(axis=1)
    if not complete.all():
        raise GlammError("fit measures are not defined here: units lack covariates of responses they miss")
    return found


def _coefficients(variable: _Variable, covariates: Array) -> Array:
    """Return intercept and slopes on the covariates of a variable's mean."""
    design = np.column_stack([np.ones(len(variable.cluster)), covariates[variable.cluster]])
    found, *_ = np.linalg.lstsq(design, variable.mu.offset, rcond=None)
    error = np.abs(design @ found - variable.mu.offset).max()
    if error > EXACT * max(1.0, float(np.abs(variable.mu.offset).max())):
        raise GlammError("fit measures are not defined here: a mean is not linear in the covariates")
    return np.asarray(found)


def _slope(form: RowForm, forms: Forms) -> Array:
    return np.zeros((len(form.offset), forms.space.width)) if form.slope is None else form.slope


def _constant(values: Array, what: str) -> Array:
    """Return the only row of an array with equal rows."""
    if values.size and np.ptp(values, axis=0).max() > EXACT * max(1.0, float(np.abs(values).max())):
        raise GlammError(f"fit measures are not defined here: {what} depends on covariates")
    return np.asarray(values[0])
