"""Where the maximiser finds the Cholesky factors of latent covariance matrices among its coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.restricted import Reduction

Index = NDArray[np.intp]

__all__ = ["FactorPlaces"]


@dataclass(frozen=True, slots=True, eq=False)
class FactorPlaces:
    """Positions in the coordinates, -1 where there is none.

    Attributes
    ----------
    factors : tuple of ndarray of intp, shape (q, q)
        Of the levels' factors that no constraint is about.
    correlations : tuple of ndarray of intp, shape (k, k)
        Of the blocks that are correlation matrices.
    """

    factors: tuple[Index, ...]
    correlations: tuple[Index, ...]

    @classmethod
    def of(cls, plan: Plan, reduction: Reduction | None) -> FactorPlaces:
        """Return the positions in theta, or in the coordinates of a reduction."""
        place = np.arange(-1, plan.n_parameters, dtype=np.intp)
        constrained: tuple[int, ...] = ()
        if reduction is not None:
            place[1:] = -1
            place[1 + reduction.kept] = np.arange(len(reduction.kept))
            constrained = tuple(reduction.plan.places)
        factors = [level.factor for level in plan.levels if level.factor.shape[0]]
        blocks = [block for level in plan.levels for block in level.blocks if block.correlation]
        return cls(
            tuple(place[1 + f] for f in factors if not np.isin(f[f >= 0], constrained).any()),
            tuple(place[1 + block.index] for block in blocks),
        )
