"""Which latent coordinates enter the predictor of which unit: what a plan says without its numbers.

A coordinate is touched where it has a structural non-zero: a free or held entry of the Cholesky factor, a
design value, a coefficient that is not held at zero. Coordinates are numbered over all levels, level 0
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan, Plan, PredictorPlan, ResponsePlan

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

__all__ = ["Touched", "factor_pattern", "touched"]


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """The coordinates that the units of one response touch.

    Attributes
    ----------
    kind : ndarray of intp, shape (n,)
        Units of one kind touch the same coordinates.
    coordinates : tuple of frozenset of int
        Those of each kind.
    """

    kind: Index
    coordinates: tuple[frozenset[int], ...]


def factor_pattern(level: LevelPlan) -> Mask:
    """Return where a level's lower Cholesky factor is not zero for every theta, shape (q, q)."""
    held = np.zeros(level.factor.shape) if level.held is None else level.held
    pattern: Mask = np.tril((level.factor >= 0) | (held != 0.0))
    for block in level.blocks:
        own = np.tril((block.index >= 0) | (block.held != 0.0))
        if not block.correlation:
            # eliminating a coordinate joins those that covary with it
            for k in range(len(own)):
                later = np.flatnonzero(own[k + 1 :, k]) + k + 1
                own[np.ix_(later, later)] = True
        pattern[np.ix_(block.coordinates, block.coordinates)] = np.tril(own)
    return pattern


class _Reach:
    """Coordinates that predictors depend on."""

    def __init__(self, plan: Plan) -> None:
        sizes = [len(level.factor) for level in plan.levels]
        self.starts = np.concatenate(([0], np.cumsum(sizes)))
        self.rows = [
            [frozenset(start + np.flatnonzero(row)) for row in factor_pattern(level)]
            for start, level in zip(self.starts, plan.levels, strict=False)
        ]
        self.latents: list[frozenset[int]] = []
        for latent in plan.latents:
            found: frozenset[int] = frozenset().union(*(part for _, part in self.parts(latent.predictor)))
            if latent.coordinate >= 0:
                found |= self.rows[latent.level][latent.coordinate]
            self.latents.append(found)

    def parts(self, predictor: PredictorPlan) -> list[tuple[Mask, frozenset[int]]]:
        """Return sets of coordinates and the rows (n,) that depend on them."""
        parts = []
        for loading in predictor.loadings:
            for column, latent in zip(loading.design.T, loading.latent, strict=True):
                parts.append((column != 0.0, self.rows[loading.level][latent]))
        for term in predictor.terms:
            used = (term.coefficient >= 0) | (term.held != 0.0)
            reach: frozenset[int] = frozenset().union(*(self.latents[m] for m in term.latents))
            parts.append(((term.design[:, used] != 0.0).any(axis=1), reach))
        if predictor.coordinate is not None:
            level, k = predictor.coordinate
            parts.append((np.ones(len(predictor.design), dtype=bool), frozenset((self.starts[level] + k,))))
        return parts


def touched(plan: Plan, responses: Sequence[ResponsePlan]) -> list[Touched]:
    """Return the coordinates that the units of each response touch."""
    reach = _Reach(plan)
    found = []
    for response in responses:
        n = len(response.cluster)
        kind, kinds = np.zeros(n, dtype=np.intp), [frozenset[int]()]
        for mask, coordinates in (part for p in response.predictors for part in reach.parts(p)):
            if mask.all():
                kinds = [old | coordinates for old in kinds]
            elif mask.any():
                kinds += [old | coordinates for old in kinds]
                present, kind = np.unique(kind + mask * (len(kinds) // 2), return_inverse=True)
                kinds = [kinds[k] for k in present]
        found.append(Touched(kind.astype(np.intp), tuple(kinds)))
    return found
