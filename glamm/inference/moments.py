"""Latent covariance matrices from moments of the units' scores, one level at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.glm import Derivatives, FixedPart

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["add_by", "level_moments"]

FLOOR = 0.25
CEILING = 25.0
"""Bounds of a starting variance, relative to the sampling variance of a cluster's effect and of a unit's."""

MOST_SOLVED = 8
"""Latent variables of a level whose covariances are solved for together; of more, one by one."""


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


def add_by(cluster: Index, values: Array, total: Array) -> None:
    """Add the rows of `values` to the rows of `total` that `cluster`, ascending, names."""
    first = np.concatenate(([0], np.flatnonzero(cluster[1:] != cluster[:-1]) + 1))
    if len(first) == len(total):
        # every cluster is there, in order
        total += values if len(first) == len(values) else np.add.reduceat(values, first, axis=0)
    else:
        total[cluster[first]] += np.add.reduceat(values, first, axis=0)


def _squares(score: Array, information: Array) -> tuple[Array, Array]:
    """Return the sum of ``s s'`` (q, q) and of ``I (x) I`` (q, q, q, q) over the first axis."""
    size = information.shape[0]
    flat = information.reshape(size, -1)
    q = score.shape[1]
    return score.T @ score, np.swapaxes((flat.T @ flat).reshape(q, q, q, q), 1, 2)


def _moment_covariance(outer: Array, product: Array, pattern: NDArray[np.bool_]) -> Array:
    """Return the covariance psi that solves ``outer = E[I psi I]`` over the entries of `pattern`, (q, q)."""
    q = outer.shape[0]
    psi = np.zeros((q, q))
    if not (np.isfinite(product).all() and np.isfinite(outer).all()):
        return psi
    own = np.einsum("ijij->ij", product)
    scale = np.sqrt(np.abs(own))
    used = pattern & (scale > 0.0)
    if q > MOST_SOLVED:
        psi[used] = outer[used] / own[used]
    else:
        i, j = np.nonzero(used)
        # outer[i, j] = sum_kl product[i, j, k, l] psi[k, l], product[i, j, k, l] = sum_J I[i, k] I[j, l]
        matrix = product[i[:, None], j[:, None], i[None, :], j[None, :]]
        scaled = matrix / np.outer(scale[i, j], scale[i, j])
        psi[i, j] = np.linalg.lstsq(scaled, outer[i, j] / scale[i, j], rcond=1e-6)[0] / scale[i, j]
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


def level_moments(
    plan: Plan,
    parts: Sequence[FixedPart],
    at: Sequence[Derivatives],
    level: int,
    pattern: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Return the covariance matrix of a level's latent variables, and predictions of these.

    Parameters
    ----------
    plan : Plan
    parts : sequence of FixedPart
        The `terms` say what the latent variables multiply.
    at : sequence of Derivatives
        At the linear predictors without them.
    level : int
    pattern : ndarray of bool, shape (q, q)
        Entries that may differ from 0.

    Returns
    -------
    covariance : ndarray, shape (q, q)
        Positive definite.
    predicted : ndarray, shape (clusters, q)
    """
    this = plan.levels[level]
    q = this.factor.shape[0]
    score = np.zeros((this.clusters, q))
    information = np.zeros((this.clusters, q, q))
    below = plan.levels[level - 1].clusters if level else 0
    sub_score = np.zeros((below, q))
    sub_information = np.zeros((below, q, q))
    inner = np.zeros((q, q))
    inner_product = np.zeros((q, q, q, q))
    units = np.zeros(q)
    for part, d in zip(parts, at, strict=True):
        for latent in {int(m) for term in part.terms if term.level == level for m in term.latent}:
            units[latent] += len(part.weight)
        rows, row_information = _row_moments(part, d, level, q)
        add_by(part.clusters[level], rows, score)
        add_by(part.clusters[level], row_information, information)
        if level:
            add_by(part.clusters[level - 1], rows, sub_score)
            add_by(part.clusters[level - 1], row_information, sub_information)
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
        psi = _moment_covariance(outer - inner, pure, pattern)
    else:
        psi = _moment_covariance(outer - used.sum(axis=0), product, pattern)
    whole = np.einsum("jkk->k", information)
    unit = units / np.where(whole > 0.0, whole, 1.0) + (whole <= 0.0)
    ceiling = CEILING * unit
    floor = np.minimum(FLOOR / np.where(average > 0.0, average, 1.0 / unit), ceiling)
    psi = _admissible(psi, floor, ceiling)
    predicted = np.linalg.solve(information + np.linalg.inv(psi), score[:, :, None])[:, :, 0]
    return psi, np.asarray(predicted, dtype=np.float64)
