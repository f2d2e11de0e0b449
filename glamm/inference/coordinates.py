"""Coordinates in which every parameter has about unit information in one observation.

theta = T phi. For the coefficients of a linear predictor T is the inverse of the triangular factor of its
weighted design, so that badly scaled and nearly collinear columns do no harm; for loadings and for
covariances T is diagonal. The maximiser knows phi only.

Random effects that covary have the Cholesky factor L and a weighted design Z = Q R with R lower triangular.
Their coordinates are R L: the Cholesky factor of the effects of the columns of Q, in which a boundary
is found as in L. So an intercept and the slope of a calendar year do no harm either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from glamm.compile.plan import Plan
from glamm.inference.glm import Derivatives, FixedPart
from glamm.inference.latent_scales import LatentScales

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Coordinates", "Scaled", "coordinates"]

DEFICIENT = 1e-9
"""Share of a column's length that its part beyond the columns before it must reach."""


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The map theta = T phi.

    Attributes
    ----------
    transform, inverse : ndarray, shape (P, P)
        T and its inverse.
    deficient : ndarray of bool, shape (P,)
        Coordinates along which the design is collinear.
    latent : ndarray of bool, shape (P,)
        Entries of Cholesky factors.
    about_latents : ndarray of bool, shape (P,)
        Those, covariances, and coefficients of latent variables: what may stay undetermined at values that
        are finite, though every design has full rank.
    """

    transform: Array
    inverse: Array
    deficient: NDArray[np.bool_]
    latent: NDArray[np.bool_]
    about_latents: NDArray[np.bool_]

    def along_correlations(self, theta: Array, blocks: Sequence[Index]) -> Coordinates:
        """Return coordinates that near `theta` move as the rows w of correlation matrices' factors.

        theta holds ``v``, of which w is ``v / (1 + v'v) ** 0.5``: near a singular matrix v is large, and
        what data tell about it small, however much they tell about w.

        Parameters
        ----------
        theta : ndarray, shape (P,)
        blocks : sequence of ndarray of intp, shape (k, k)
            Positions of correlation matrices' entries; those below the diagonal are v.
        """
        slope = np.eye(len(theta))
        for block in blocks:
            for i in range(1, len(block)):
                row = block[i, :i]
                length = np.sqrt(1.0 + theta[row] @ theta[row])
                w = theta[row] / length
                slope[np.ix_(row, row)] = (np.eye(i) - np.outer(w, w)) / length
        inverse = self.inverse @ slope
        return replace(self, inverse=inverse, transform=np.asarray(np.linalg.inv(inverse)))

    @property
    def unit(self) -> Array:
        """Return the change of each parameter, by itself, that one observation can just tell, (P,)."""
        unit: Array = 1.0 / np.sqrt(np.einsum("ij,ij->j", self.inverse, self.inverse))
        return unit


def _triangle(design: Array, curvature: Array, total: float) -> tuple[Array, NDArray[np.bool_]]:
    """Return the triangular factor of a weighted design (p, p) and which columns add nothing."""
    positive = curvature[curvature > 0.0]
    least = 1e-3 * float(positive.mean()) if positive.size else 1.0
    weighted = design * np.sqrt(np.maximum(curvature, least))[:, None]
    rows, p = weighted.shape
    if rows < p:
        weighted = np.concatenate([weighted, np.zeros((p - rows, p))])
    triangle = np.linalg.qr(weighted, mode="r") / np.sqrt(total)
    if not np.isfinite(triangle).all():
        return np.eye(p), np.zeros(p, dtype=bool)
    length = np.linalg.norm(triangle, axis=0)
    deficient = np.abs(np.diagonal(triangle)) <= DEFICIENT * length
    for k in np.flatnonzero(deficient):
        triangle[k] = 0.0
        triangle[k, k] = length[k] if length[k] > 0.0 else 1.0
    return triangle * np.sign(np.diagonal(triangle))[:, None], deficient


def coordinates(
    plan: Plan, parts: Sequence[FixedPart], at: Sequence[Derivatives], theta: Array
) -> Coordinates:
    """Return coordinates from the information of the units at some point.

    Parameters
    ----------
    plan : Plan
    parts : sequence of FixedPart
    at : sequence of Derivatives
    theta : ndarray, shape (P,)
        Where the variances of named latent variables are taken.
    """
    known = LatentScales.of(plan, parts, at, theta) if plan.latents else None
    if known is not None:
        parts = known.parts
    size = plan.n_parameters
    inverse = np.eye(size)
    seen = np.zeros(size, dtype=bool)
    deficient = np.zeros(size, dtype=bool)
    latent = np.zeros(size, dtype=bool)
    total = np.zeros(size)
    count = np.zeros(size)
    for part, d in zip(parts, at, strict=True):
        n = float(part.weight.sum())
        for design, coefficient, curvature in zip(part.designs, part.coefficients, d.curvature, strict=True):
            if not coefficient.size or seen[coefficient].any():
                continue
            triangle, lacking = _triangle(design, curvature, n)
            inverse[np.ix_(coefficient, coefficient)] = triangle
            deficient[coefficient] = lacking
            seen[coefficient] = True
        for term in part.terms:
            factor = plan.levels[term.level].factor
            length = np.einsum("ij,i,ij->j", term.design, d.curvature[term.predictor], term.design)
            for row, value in zip(term.latent, length, strict=True):
                entries = factor[row][factor[row] >= 0]
                total[entries] += value
                count[entries] += n
    for level in plan.levels:
        latent[level.factor[level.factor >= 0]] = True
    mixed = _covarying_effects(plan, parts, at)
    sized = latent.copy()
    if known is not None:
        for design, coefficient, weight in known.predictors():
            if coefficient.size and not seen[coefficient].any():
                triangle, lacking = _triangle(design, weight, len(design))
                inverse[np.ix_(coefficient, coefficient)] = triangle
                deficient[coefficient] = lacking
                seen[coefficient] = True
        for entries, information in known.entries():
            new = (entries >= 0) & ~(seen | latent)[entries]
            np.add.at(total, entries[new], information[new])
            np.add.at(count, entries[new], 1.0)
            sized[entries[new]] = True
    for c in plan.residual_covariances:
        if c.index >= 0:
            precision = [_mean_information(plan, parts, at, r) for r in (c.first, c.second)]
            total[c.index] += precision[0] * precision[1]
            count[c.index] += 1.0
            sized[c.index] = True
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(total / count)
    scale = np.where(np.isfinite(scale) & (scale > 0.0), scale, 1.0)
    inverse[sized, sized] = scale[sized]
    for factor, triangle in mixed:
        for k in range(len(factor)):
            own = factor[k:, k]
            inverse[np.ix_(own, own)] = triangle[k:, k:]
    transform = np.asarray(np.linalg.inv(inverse), dtype=np.float64)
    return Coordinates(transform, inverse, deficient, latent, latent | _about_latents(plan))


def _covarying_effects(
    plan: Plan, parts: Sequence[FixedPart], at: Sequence[Derivatives]
) -> list[tuple[Index, Array]]:
    """Return each Cholesky factor (s, s), as positions in theta, of random effects with free covariances.

    With it the lower triangular factor (s, s) of the effects' weighted design. Effects of collinear columns,
    whose variances data cannot tell, are left out, as are disturbances of named latent variables.
    """
    found = []
    named = {(latent.level, latent.coordinate) for latent in plan.latents}
    for number, level in enumerate(plan.levels):
        effects = [k for k in range(len(level.factor)) if (number, k) not in named]
        linked = level.factor[np.ix_(effects, effects)] >= 0
        _, component = connected_components(linked, directed=False)
        for c in range(int(component.max(initial=-1)) + 1):
            group = np.array(effects)[component == c]
            factor = level.factor[np.ix_(group, group)]
            if len(group) == 1 or (factor[np.tril_indices(len(group))] < 0).any():
                continue
            triangles, total = [], 0.0
            for part, d in zip(parts, at, strict=True):
                for term in part.terms:
                    if term.level != number or not np.isin(term.latent, group).all():
                        continue
                    design = np.zeros((len(term.design), len(group)))
                    design[:, np.searchsorted(group, term.latent)] = term.design
                    n = float(part.weight.sum())
                    triangles.append(_triangle(design[:, ::-1], d.curvature[term.predictor], 1.0)[0])
                    total += n
            if not triangles:
                continue
            reversed_ = np.asarray(np.linalg.qr(np.concatenate(triangles), mode="r"))
            triangle = reversed_[::-1, ::-1] / np.sqrt(total)
            diagonal = np.diagonal(triangle)
            if (np.abs(diagonal) > DEFICIENT * np.linalg.norm(triangle, axis=0)).all():
                found.append((factor, triangle * np.sign(diagonal)[:, None]))
    return found


def _about_latents(plan: Plan) -> NDArray[np.bool_]:
    """Return which parameters are covariances, coefficients or shapes of latent variables, shape (P,)."""
    found = np.zeros(plan.n_parameters, dtype=bool)
    predictors = [p for own in (*plan.responses, *plan.memberships) for p in own.predictors]
    for latent in plan.latents:
        predictors += [p for p in (latent.predictor, latent.scale) if p is not None]
    for entries in (
        *(term.coefficient for predictor in predictors for term in predictor.terms),
        *(block.index for level in plan.levels for block in level.blocks),
        *(np.array([c.index]) for c in plan.residual_covariances),
        *(predictor.coefficient for ratio in plan.ratios for predictor in ratio.predictors),
    ):
        found[entries[entries >= 0]] = True
    return found


def _mean_information(
    plan: Plan, parts: Sequence[FixedPart], at: Sequence[Derivatives], response: int
) -> float:
    """Return the mean information of a unit of a response about its first linear predictor."""
    for part, d in zip(parts, at, strict=True):
        if part.response is plan.responses[response]:
            return float(d.curvature[0].sum() / part.weight.sum())
    return 1.0


class Scaled:
    """An objective as a function of phi.

    Parameters
    ----------
    objective : Objective
    at : Coordinates
    """

    def __init__(self, objective: Any, at: Coordinates) -> None:
        self.objective = objective
        self.at = at
        self.points: tuple[int, ...] = objective.points
        self.integration: str = objective.integration
        self.summed: bool = objective.summed

    def value_and_gradient(self, phi: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient in phi, (P,)."""
        # a trial step may lead to where the linear predictors overflow: the value is then -inf
        with np.errstate(over="ignore", invalid="ignore"):
            loglik, gradient = self.objective.value_and_gradient(self.at.transform @ phi)
            return loglik, gradient @ self.at.transform

    def accept(self) -> None:
        """Keep the modes of the last evaluation."""
        self.objective.accept()

    def cluster_logliks(self, phi: Array) -> Array:
        """Return the log-likelihood of each top-level cluster."""
        values: Array = self.objective.cluster_logliks(self.at.transform @ phi)
        return values

    def cluster_scores(self, phi: Array) -> Array:
        """Return the gradient in phi of each top-level cluster's weighted term, (clusters, P)."""
        scores: Array = self.objective.cluster_scores(self.at.transform @ phi) @ self.at.transform
        return scores

    def expected_information(self, phi: Array) -> Array | None:
        """Return the expected information in phi, (P, P), where it has a closed form."""
        return self._turned(self.objective.expected_information(self.at.transform @ phi))

    def information(self, phi: Array) -> Array | None:
        """Return the observed information in phi, (P, P), where there is a closed form."""
        return self._turned(self.objective.information(self.at.transform @ phi))

    def _turned(self, found: Array | None) -> Array | None:
        return None if found is None else np.asarray(self.at.transform.T @ found @ self.at.transform)

    def with_points(self, points: tuple[int, ...]) -> Scaled:
        """Return the same with another rule."""
        return Scaled(self.objective.with_points(points), self.at)
