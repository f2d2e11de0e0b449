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
    Derivatives,
    FixedPart,
    derivatives,
    fit_fixed_part,
    fixed_parts,
    intercept_start,
    linear_predictors,
)

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Start", "starting_values"]

SAMPLE = 40_000
"""Units that starting values are found from; more would cost time and move them by less than one step."""

FLOOR = 0.25
CEILING = 25.0
"""Bounds of a starting variance, relative to the sampling variance of a cluster's effect and of a unit's."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Starting values and coordinates for the way from there.

    Attributes
    ----------
    theta : ndarray, shape (P,)
    coordinates : Coordinates
    information : ndarray, shape (P, P), or None
        Observed information of the fixed part; None where there are latent variables.
    """

    theta: Array
    coordinates: Coordinates
    information: Array | None


def _row_moments(part: FixedPart, d: Derivatives, level: int, q: int) -> tuple[Array, Array]:
    """Return each unit's score (n, q) and information (n, q, q) of the latent variables of a level."""
    n = part.weight.shape[0]
    score = np.zeros((n, q))
    information = np.zeros((n, q, q))
    for predictor in range(len(part.designs)):
        design = np.zeros((n, q))
        found = False
        for term in part.terms:
            if term.level == level and term.predictor == predictor:
                for column, latent in enumerate(term.latent):
                    design[:, latent] += term.design[:, column]
                found = True
        if found:
            score += d.first[predictor][:, None] * design
            weighted = d.curvature[predictor][:, None] * design
            information += weighted[:, :, None] * design[:, None, :]
    return score, information


def _sum_by(cluster: Index, values: Array, total: Array) -> None:
    """Add the rows of `values` to the rows of `total` that `cluster`, ascending, names."""
    first = np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])
    total[cluster[first]] += np.add.reduceat(values, first, axis=0)


def _squares(score: Array, information: Array) -> tuple[Array, Array]:
    """Return the sum of ``s s'`` (q, q) and of ``I (x) I`` (q, q, q, q) over the first axis."""
    size = information.shape[0]
    flat = information.reshape(size, -1)
    q = score.shape[1]
    return score.T @ score, np.swapaxes((flat.T @ flat).reshape(q, q, q, q), 1, 2)


def _moment_covariance(outer: Array, product: Array, factor: Index) -> Array:
    """Return the covariance psi that solves ``outer = E[I psi I]`` over its free entries, (q, q)."""
    q = outer.shape[0]
    pattern = factor >= 0
    pattern = pattern | pattern.T
    if q > 4:
        pattern = np.eye(q, dtype=bool)
    i, j = np.nonzero(pattern)
    # outer[i, j] = sum_kl product[i, j, k, l] psi[k, l], product[i, j, k, l] = sum_J I[i, k] I[j, l]
    matrix = product[i[:, None], j[:, None], i[None, :], j[None, :]]
    psi = np.zeros((q, q))
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    if np.all(scale > 0.0) and np.isfinite(matrix).all() and np.isfinite(outer).all():
        scaled = matrix / np.outer(scale, scale)
        psi[i, j] = np.linalg.lstsq(scaled, outer[i, j] / scale, rcond=1e-6)[0] / scale
    return 0.5 * (psi + psi.T)


def _admissible(psi: Array, low: Array, high: Array) -> Array:
    """Return the covariance nearest in kind: variances in ``[low, high]``, correlations well inside."""
    variance = np.diagonal(psi).copy()
    positive = variance > low
    root = np.sqrt(np.where(positive, variance, 1.0))
    correlation = np.where(np.outer(positive, positive), psi / np.outer(root, root), 0.0)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(
        np.clip(correlation, -0.9, 0.9) * (1 - np.eye(len(psi))) + np.eye(len(psi))
    )
    repaired = (vectors * np.maximum(values, 0.1)) @ vectors.T
    norm = np.sqrt(np.diagonal(repaired))
    sd = np.sqrt(np.clip(variance, low, high))
    result: Array = repaired / np.outer(norm, norm) * np.outer(sd, sd)
    return result


def _level_start(
    plan: Plan, parts: tuple[FixedPart, ...], at: list[Derivatives], level: int, unit: Array
) -> tuple[Array, Array]:
    """Return the starting covariance (q, q) of a level's latent variables and their predictions."""
    this = plan.levels[level]
    q = this.factor.shape[0]
    score = np.zeros((this.clusters, q))
    information = np.zeros((this.clusters, q, q))
    below = plan.levels[level - 1].clusters if level else 0
    sub_score = np.zeros((below, q))
    sub_information = np.zeros((below, q, q))
    inner = np.zeros((q, q))
    inner_product = np.zeros((q, q, q, q))
    for part, d in zip(parts, at, strict=True):
        rows, row_information = _row_moments(part, d, level, q)
        _sum_by(part.clusters[level], rows, score)
        _sum_by(part.clusters[level], row_information, information)
        if level:
            _sum_by(part.clusters[level - 1], rows, sub_score)
            _sum_by(part.clusters[level - 1], row_information, sub_information)
        else:
            own, own_product = _squares(rows, row_information)
            inner += own
            inner_product += own_product
    if level:
        inner, inner_product = _squares(sub_score, sub_information)
    outer, product = _squares(score, information)
    used = information[np.einsum("jkk->j", information) > 0.0]
    average = np.einsum("jkk->k", used) / max(len(used), 1)
    # products of different units of a cluster have the latent variables' covariance and nothing else
    pure = product - inner_product
    if np.einsum("iijj->", np.abs(pure)) > 1e-3 * np.einsum("iijj->", np.abs(product)):
        psi = _moment_covariance(outer - inner, pure, this.factor)
    else:
        psi = _moment_covariance(outer - used.sum(axis=0), product, this.factor)
    diagonal = np.diagonal(this.factor)
    ceiling = CEILING * unit[diagonal] ** 2
    floor = np.minimum(FLOOR / np.where(average > 0.0, average, 1.0 / unit[diagonal] ** 2), ceiling)
    psi = _admissible(psi, floor, ceiling)
    predicted = np.linalg.solve(information + np.linalg.inv(psi), score[:, :, None])[:, :, 0]
    return psi, np.asarray(predicted, dtype=np.float64)


def _store(theta: Array, factor: Index, psi: Array) -> None:
    """Write the Cholesky factor of `psi` into theta."""
    free = factor >= 0
    theta[factor[free]] = np.linalg.cholesky(psi)[free]


def starting_values(plan: Plan, theta: Array | None = None) -> Start:
    """Return starting values for every parameter of `plan`.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,), optional
        Values to use instead; only the scales are then found from the data.
    """
    parts = fixed_parts(plan, SAMPLE)
    begin = intercept_start(plan, parts)
    at = [derivatives(part, linear_predictors(part, begin)) for part in parts]
    system = coordinates(plan, parts, at)
    if theta is not None:
        return Start(np.array(theta, dtype=float), system, None)
    latent = [level for level in range(len(plan.levels)) if plan.levels[level].factor.shape[0]]
    fixed = fit_fixed_part(parts, begin, tolerance=1e-2 if latent else 1e-8)
    found = fixed.theta.copy()
    if not latent:
        units = sum(response.cluster.shape[0] for response in plan.responses)
        seen = sum(part.weight.shape[0] for part in parts)
        return Start(found, system, fixed.information * (units / max(seen, 1)))
    at = list(fixed.at)
    extra = [np.zeros((len(part.designs), part.weight.shape[0])) for part in parts]
    if not all(np.isfinite(d.loglik) and np.isfinite(d.first).all() for d in at):
        return Start(found, system, None)
    for level in reversed(latent):
        psi, predicted = _level_start(plan, parts, at, level, system.unit)
        _store(found, plan.levels[level].factor, psi)
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
            return Start(found, system, None)
    refit = fit_fixed_part(parts, found, extra, tolerance=1e-2, max_iterations=4)
    return Start(refit.theta, system, None)
