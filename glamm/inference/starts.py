"""Starting values found from the data in a few passes.

The fixed part is fitted without latent variables; moments of its scores then give the latent covariance
matrices, from the highest level down; a last fit of the fixed part with the predicted latent variables as
offsets moves intercepts and dispersions to where the mixed model has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.coordinates import Coordinates, coordinates
from glamm.inference.glm import (
    FixedFit,
    FixedPart,
    derivatives,
    fit_fixed_part,
    fixed_parts,
    intercept_start,
    linear_predictors,
)
from glamm.inference.latent_starts import latent_start
from glamm.inference.moments import level_moments
from glamm.inference.sampling import sampled

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Start", "starting_values"]

SAMPLE = 40_000
"""Units that starting values are found from; more would cost time and move them by less than one step."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Starting values and coordinates for the way from there.

    Attributes
    ----------
    theta : ndarray, shape (P,)
    coordinates : Coordinates
    information : ndarray, shape (P, P), or None
        Observed information of the fixed part; None where there are latent variables.
    others : tuple of ndarray, shape (P,)
        Starting values that might be better.
    """

    theta: Array
    coordinates: Coordinates
    information: Array | None
    others: tuple[Array, ...] = ()


def starting_values(plan: Plan, theta: Array | None = None) -> Start:
    """Return starting values for every parameter of `plan`.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,), optional
        Values to use instead; only the scales are then found from the data.
    """
    units = sum(response.cluster.shape[0] for response in plan.responses)
    plan = sampled(plan, SAMPLE)
    parts = fixed_parts(plan)
    begin = intercept_start(plan, parts)
    at = [derivatives(part, linear_predictors(part, begin)) for part in parts]
    if theta is not None:
        return Start(np.array(theta, dtype=float), coordinates(plan, parts, at, theta), None)
    latent = any(level.factor.shape[0] for level in plan.levels)
    fixed = fit_fixed_part(parts, begin, tolerance=1e-2 if latent else 1e-8)
    if not latent:
        seen = sum(part.weight.shape[0] for part in parts)
        system = coordinates(plan, parts, at, fixed.theta)
        return Start(_given(plan, fixed.theta), system, fixed.information * (units / max(seen, 1)))
    finite = all(np.isfinite(d.loglik) and np.isfinite(d.first).all() for d in fixed.at)
    if not finite:
        found = [fixed.theta]
    elif plan.latents:
        found = [*latent_start(plan, parts, fixed), fixed.theta]
    else:
        found = [_random_effects_start(plan, parts, fixed)]
    held = _probabilities(plan)
    for values in found:
        # without latent variables an asymptote explains nothing and would start on its boundary
        values[held] = begin[held]
    first, *others = (_given(plan, values) for values in found)
    return Start(first, coordinates(plan, parts, at, first), None, tuple(others))


def _probabilities(plan: Plan) -> Index:
    """Return the positions in theta of parameters that are probabilities on the logit scale."""
    found = [
        model.coefficient
        for response in plan.responses
        for model, predictor in zip(
            response.predictors, response.family.predictors(response.encoded), strict=False
        )
        if predictor.transform == "logit"
    ]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.intp), *found]))


def _given(plan: Plan, theta: Array) -> Array:
    """Return theta with the starting values that the model's text gives."""
    theta = theta.copy()
    for place, value in plan.given:
        theta[place] = value
    return theta


def _random_effects_start(plan: Plan, parts: tuple[FixedPart, ...], fixed: FixedFit) -> Array:
    """Return starting values of a model whose latent variables are all random effects."""
    found = fixed.theta.copy()
    at = list(fixed.at)
    extra = [np.zeros((len(part.designs), part.weight.shape[0])) for part in parts]
    for level in reversed(range(len(plan.levels))):
        factor = plan.levels[level].factor
        if not factor.shape[0]:
            continue
        free = factor >= 0
        psi, predicted = level_moments(plan, parts, at, level, free | free.T)
        found[factor[free]] = np.linalg.cholesky(psi)[free]
        for r, part in enumerate(parts):
            for term in part.terms:
                if term.level == level:
                    values = predicted[part.clusters[level]][:, term.latent]
                    extra[r][term.predictor] += np.einsum("ij,ij->i", term.design, values)
        at = [
            derivatives(part, linear_predictors(part, found) + more)
            for part, more in zip(parts, extra, strict=True)
        ]
        if not all(np.isfinite(d.loglik) and np.isfinite(d.first).all() for d in at):
            return found
    return fit_fixed_part(parts, found, extra, tolerance=1e-2, max_iterations=4).theta
