"""Gaussian responses whose residuals covary, made independent of each other.

With ``Theta = L D^2 L'``, L a unit lower triangle, the residuals ``L^-1 (y - o - a'u)`` of a row are
independent with standard deviations D, and the change of variables has determinant 1. So the engine gets
responses that are 0, offsets ``L^-1 (o - y)``, slopes ``L^-1 a`` and log standard deviations ``log D``, over
the responses that a row has. Adjoints return by the same steps backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResidualCovariance

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["JointResiduals", "joint_residuals", "pull_cholesky"]


def joint_residuals(plan: Plan) -> list[JointResiduals]:
    """Return the sets of responses that are connected by residual covariances."""
    left = sorted({r for c in plan.residual_covariances for r in (c.first, c.second)})
    found = []
    while left:
        members = [left.pop(0)]
        for member in members:
            for c in plan.residual_covariances:
                if member in (c.first, c.second):
                    members += [r for r in (c.first, c.second) if r not in members]
        left = [r for r in left if r not in members]
        members.sort()
        own = [c for c in plan.residual_covariances if c.first in members]
        found.append(JointResiduals(plan, members, own))
    return found


def pull_cholesky(lower: Array, adjoint: Array) -> Array:
    """Return the adjoint (n, k, k) of matrices from those of their lower Cholesky factors, (1 or n, k, k).

    It is symmetric; an entry off the diagonal has half of what a change of both triangles gives.
    """
    k = lower.shape[-1]
    product = np.tril(np.swapaxes(lower, -1, -2) @ np.tril(adjoint))
    half = product - 0.5 * product * np.eye(k)
    inverse = np.linalg.inv(lower)
    full = np.swapaxes(inverse, -1, -2) @ half @ inverse
    return np.asarray(0.5 * (full + np.swapaxes(full, -1, -2)))


@dataclass(frozen=True, slots=True, eq=False)
class _Pattern:
    """Rows that have the same of the responses.

    Attributes
    ----------
    members : tuple of int
        Positions among the joined responses, k of them.
    units : ndarray of intp, shape (k, n)
        Unit of each of them in each row.
    """

    members: tuple[int, ...]
    units: Index


@dataclass(frozen=True, slots=True, eq=False)
class _Decomposed:
    """``Theta = C C'`` of a pattern, for all rows (1, k, k) or each (n, k, k), and what the engine got."""

    lower: Array
    unit_inverse: Array
    offset: Array
    slope: Array


class JointResiduals:
    """Responses connected by residual covariances.

    Parameters
    ----------
    plan : Plan
    members : list of int
        Positions of the responses in the plan.
    covariances : list of ResidualCovariance
    """

    def __init__(self, plan: Plan, members: list[int], covariances: list[ResidualCovariance]) -> None:
        self.members = members
        self.covariances = [(members.index(c.first), members.index(c.second), c) for c in covariances]
        self._y = [plan.responses[r].encoded.y[:, 0] for r in members]
        self._constant = all(_is_constant(plan, r) for r in members)
        self._patterns = self._find_patterns(plan)

    def _find_patterns(self, plan: Plan) -> list[_Pattern]:
        rows = []
        for r in self.members:
            row = plan.responses[r].row
            assert row is not None
            rows.append(row)
        every = np.unique(np.concatenate(rows))
        units = np.full((len(rows), len(every)), -1, dtype=np.intp)
        for k, row in enumerate(rows):
            units[k, np.searchsorted(every, row)] = np.arange(len(row))
        kinds, kind = np.unique(units >= 0, axis=1, return_inverse=True)
        found = []
        for p, present in enumerate(kinds.T):
            own = np.flatnonzero(present)
            columns = np.flatnonzero(np.ravel(kind) == p)
            found.append(_Pattern(tuple(own.tolist()), units[np.ix_(own, columns)]))
        return found

    def _where(self, pattern: _Pattern) -> list[tuple[int, Index]]:
        """Return the position in the plan and the units of each response of a pattern."""
        return [(self.members[m], own) for m, own in zip(pattern.members, pattern.units, strict=True)]

    def theta_matrix(self, theta: Array, members: Sequence[int], log_sd: Array) -> Array:
        """Return the residual covariance matrices (m, k, k) of rows with log standard deviations (k, m)."""
        k = len(members)
        matrix = np.zeros((log_sd.shape[1], k, k))
        matrix[:, np.arange(k), np.arange(k)] = np.exp(2.0 * log_sd).T
        for i, j, c in self._present(members):
            matrix[:, i, j] = matrix[:, j, i] = c.held if c.index < 0 else theta[c.index]
        return matrix

    def _present(self, members: Sequence[int]) -> list[tuple[int, int, ResidualCovariance]]:
        place = {m: i for i, m in enumerate(members)}
        return [(place[a], place[b], c) for a, b, c in self.covariances if a in place and b in place]

    def forward(self, theta: Array, offsets: list[Array], slopes: list[Array]) -> list[_Decomposed] | None:
        """Put what the engine needs in the place of offsets (2, n) and slopes (active, n, W).

        Parameters
        ----------
        theta : ndarray, shape (P,)
        offsets, slopes : list of ndarray
            Of all responses; those of the joined ones are changed in place.

        Returns
        -------
        list or None
            What `backward` needs; None where the covariances are no covariance matrix.
        """
        found = []
        for pattern in self._patterns:
            where = self._where(pattern)
            log_sd = np.stack([offsets[r][1, own] for r, own in where])
            matrix = self.theta_matrix(theta, pattern.members, log_sd[:, :1] if self._constant else log_sd)
            try:
                lower = np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
            except np.linalg.LinAlgError:
                return None
            diagonal = np.einsum("mii->mi", lower)
            unit_inverse = np.linalg.inv(lower / diagonal[:, None, :])
            error, slope = [], []
            for m, (r, own) in zip(pattern.members, where, strict=True):
                error.append(offsets[r][0, own] - self._y[m][own])
                slope.append(_of_rows(slopes[r], own))
            offset = _times(unit_inverse, np.stack(error)[:, :, None])[:, :, 0]
            moved = _times(unit_inverse, np.stack(slope))
            for i, (r, own) in enumerate(where):
                offsets[r][0, own] = offset[i]
                offsets[r][1, own] = np.log(diagonal[:, i])
                if len(slopes[r]):
                    slopes[r][0, own] = moved[i]
            found.append(_Decomposed(lower, unit_inverse, offset, moved))
        return found

    def backward(
        self,
        parts: Sequence[_Decomposed],
        offsets: list[Array],
        slopes: list[Array],
        top: Sequence[Index],
        out: Array,
    ) -> None:
        """Turn adjoints of what the engine got into those of what `forward` got.

        Parameters
        ----------
        parts : sequence
            What `forward` returned.
        offsets, slopes : list of ndarray
            Adjoints (2, n) and (active, n, W) of all responses; changed in place.
        top : sequence of ndarray of intp, shape (n,)
            Row of `out` of each unit, by response.
        out : ndarray, shape (T, P)
            Gains the adjoints of the covariances.
        """
        for pattern, part in zip(self._patterns, parts, strict=True):
            k = len(pattern.members)
            where = self._where(pattern)
            g = np.stack([offsets[r][:, own] for r, own in where])
            gs = np.stack([_of_rows(slopes[r], own) for r, own in where])
            back = np.swapaxes(part.unit_inverse, 1, 2)
            error = _times(back, g[:, 0, :, None])
            moved = _times(back, gs)
            # of the unit triangle, row by row
            triangle = -np.einsum("in,jn->nij", error[:, :, 0], part.offset)
            triangle -= np.einsum("inw,jnw->nij", moved, part.slope)
            triangle = np.tril(triangle, -1)
            diagonal = np.einsum("mii->mi", part.lower)
            unit = part.lower / diagonal[:, None, :]
            lower = triangle / diagonal[:, None, :]
            along = np.einsum("nij,nij->nj", triangle, np.broadcast_to(unit, triangle.shape))
            own = (g[:, 1].T - along) / diagonal
            lower = lower + own[:, :, None] * np.eye(k)
            adjoint = pull_cholesky(part.lower, lower)
            variance = np.einsum("mij,mij->mi", part.lower, part.lower)
            for i, (r, units) in enumerate(where):
                offsets[r][0, units] = error[i, :, 0]
                offsets[r][1, units] = 2.0 * variance[:, i] * adjoint[:, i, i]
                if len(slopes[r]):
                    slopes[r][0, units] = moved[i]
            for i, j, c in self._present(pattern.members):
                if c.index >= 0:
                    rows = top[self.members[pattern.members[i]]][pattern.units[i]]
                    np.add.at(out[:, c.index], rows, 2.0 * adjoint[:, i, j])


def _of_rows(slope: Array, units: Index) -> Array:
    """Return the slopes (n, W) of some units; without columns where nothing is random."""
    return slope[0, units] if len(slope) else np.zeros((len(units), 0))


def _times(matrix: Array, values: Array) -> Array:
    """Return matrices (m, k, k), one for all rows or one each, times values (k, n, W)."""
    if len(matrix) == 1:
        return np.asarray(np.einsum("ij,jnw->inw", matrix[0], values))
    return np.asarray(np.einsum("nij,jnw->inw", matrix, values))


def _is_constant(plan: Plan, r: int) -> bool:
    sigma = plan.responses[r].predictors[1]
    same = len(sigma.design) == 0 or bool((sigma.design == sigma.design[0]).all())
    return same and not (np.ndim(sigma.offset) and np.ptp(sigma.offset) > 0.0)
