"""Responses drawn from a fit with discrete latent variables, and plans of the data they make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Lowered, Plan
from glamm.errors import GlammError
from glamm.inference.mixtures import clusters_at
from glamm.protocols import Encoded
from glamm.results.classes import ClassFit

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["draw_responses", "with_responses"]


def _data_rows(lowered: Lowered) -> list[Index]:
    """Return the row of the data that each unit of each response repeats."""
    assert lowered.origin is not None
    return [lowered.origin[layout.rows] for layout in lowered.responses]


def _chosen(fit: ClassFit, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which lowest-level clusters are those of classes drawn from the membership models."""
    plan = fit.source.lowered.plan
    theta = fit.source.optimum.theta
    log_prior = [np.zeros(level.clusters) for level in plan.levels]
    for classes in fit.variables:
        membership = plan.memberships[classes.number]
        nu = [p.design @ theta[p.coefficient] + p.offset for p in membership.predictors]
        own = membership.family.log_likelihood(membership.encoded.y, [value[None] for value in nu])[0]
        np.add.at(log_prior[classes.level], clusters_at(plan, membership.cluster, classes.level), own)
    kept = np.ones(1, dtype=bool)
    for level, prior in zip(reversed(plan.levels), reversed(log_prior), strict=True):
        above = kept if level.parent is not None else np.ones(level.clusters, dtype=bool)
        kept = above[level.parent] if level.parent is not None else above
        if level.group is not None:
            # the largest of log probabilities with Gumbel noise is a draw
            noisy = prior + rng.gumbel(size=level.clusters)
            first = np.flatnonzero(np.r_[True, np.diff(level.group) != 0])
            kept = kept & (noisy == np.maximum.reduceat(noisy, first)[level.group])
    return kept


def draw_responses(fit: ClassFit, rng: np.random.Generator) -> list[Array]:
    """Return drawn responses by row of the data, (rows, ny) each; NaN where a response has no unit.

    Raises
    ------
    GlammError
        The model has continuous latent variables.
    """
    lowered, plan = fit.source.lowered, fit.source.lowered.plan
    if any(len(level.factor) for level in plan.levels):
        raise GlammError("responses are drawn here from models whose latent variables are all discrete")
    chosen = _chosen(fit, rng)
    theta = fit.source.optimum.theta
    found = []
    for response, rows in zip(plan.responses, _data_rows(lowered), strict=True):
        units = np.flatnonzero(chosen[response.cluster])
        nu = [(p.design @ theta[p.coefficient] + p.offset)[units] for p in response.predictors]
        y = response.encoded.y
        drawn = response.family.simulate(rng, y[units], response.encoded.categories, nu)
        by_row = np.full((int(rows.max()) + 1, y.shape[1]), np.nan)
        by_row[rows[units]] = drawn
        found.append(by_row)
    return found


def with_responses(lowered: Lowered, y: list[Array]) -> Plan:
    """Return the plan of the same data with other responses, given by row of the data."""
    responses = []
    for response, rows, values in zip(lowered.plan.responses, _data_rows(lowered), y, strict=True):
        encoded = Encoded(np.ascontiguousarray(values[rows]), response.encoded.categories)
        responses.append(replace(response, encoded=encoded))
    return replace(lowered.plan, responses=tuple(responses))
