"""The log-likelihood of all-Gaussian models of several levels, from sums within clusters.

Given the coordinates v of higher levels the lowest clusters ("atoms": rows, or what a row holds) are normal,

    y_i | v  ~  N(mu_i + A_i v, Sigma),    A_i = sum_z x_iz A_z,

so that of a cluster of the next level only

    h = sum_i A_i' Sigma^-1 (y_i - mu_i),    G = sum_i A_i' Sigma^-1 A_i

matter, which are linear in sums of products of its rows' columns. The integral over one coordinate s of v
after the other is

    h_s^2 / 2d - (log d) / 2,    d = 1 + G_ss,    h <- h - G_s h_s / d,    G <- G - G_s G_s' / d,

from the lowest level up; what is left of h and G adds up in the cluster above. Everything is done for all
clusters of a level at once, and an evaluation costs the same for any number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.forms import cluster_weights
from glamm.inference.pattern_sums import Pattern
from glamm.inference.structure import Moments

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Levels", "PatternSlopes"]


@dataclass(frozen=True, slots=True, eq=False)
class PatternSlopes:
    """How the atoms of a pattern depend on the coordinates of higher levels.

    Attributes
    ----------
    pattern : Pattern
    inverse : ndarray, shape (k, k)
        Of the covariance matrix of the slots.
    residual : ndarray, shape (k, k + C)
        What makes residuals of responses and raw columns.
    above, weighted : ndarray, shape (Z, k, H)
        Slopes A_z, and the inverse times those.
    errors : ndarray, shape (Z, k, g)
        Sums of residuals times slope columns in each cluster.
    """

    pattern: Pattern
    inverse: Array
    residual: Array
    above: Array
    weighted: Array
    errors: Array

    @classmethod
    def of(cls, pattern: Pattern, at: Moments, inverse: Array) -> PatternSlopes:
        """Return the slopes of a pattern at some moments."""
        own, groups = pattern.present, pattern.groups
        assert groups is not None
        residual = np.concatenate([np.eye(len(own)), -at.mean[own]], axis=1)
        above = at.above[:, own]
        errors = residual @ np.swapaxes(groups.cross, 1, 2)
        return cls(pattern, inverse, residual, above, inverse @ above, errors)

    def add(self, linear: Array, square: Array) -> None:
        """Add to h (H, J) and G (H, H, J) of the clusters of the next level."""
        groups = self.pattern.groups
        assert groups is not None
        z, _, size = self.above.shape
        linear[:, groups.cluster] += np.einsum("zkh,zkg->hg", self.weighted, self.errors)
        pairs = np.einsum("zka,ykb->abzy", self.above, self.weighted).reshape(size, size, z * z)
        square[:, :, groups.cluster] += pairs @ groups.squares.reshape(z * z, -1)

    def pull(self, linear: Array, square: Array, mean: Array, covariance: Array, above: Array) -> None:
        """Add to the adjoints of the moments what those of h and G mean.

        Parameters
        ----------
        linear, square : ndarray, shape (H, J), (H, H, J)
            Adjoints; that of G is symmetric.
        mean, covariance, above : ndarray, shape (k, C), (k, k), (Z, k, H)
            Changed in place.
        """
        groups, own = self.pattern.groups, self.pattern.present
        assert groups is not None
        z, k, size = self.above.shape
        to_linear, to_square = linear[:, groups.cluster], square[:, :, groups.cluster]
        to_weighted = self.errors @ to_linear.T
        to_residual = np.sum(self.weighted @ (to_linear @ groups.cross), axis=0)
        flat = to_square.reshape(size * size, -1) @ groups.squares.reshape(z * z, -1).T
        pairs = flat.reshape(size, size, z, z)
        to_above = 2.0 * np.einsum("ykb,abzy->zka", self.weighted, pairs) + self.inverse @ to_weighted
        to_inverse = np.einsum("zka,zla->kl", to_weighted, self.above)
        to_inverse += np.einsum("zka,abzy,ylb->kl", self.above, pairs, self.above, optimize=True)
        mean[own] -= to_residual[:, k:]
        symmetric = 0.5 * (to_inverse + to_inverse.T)
        covariance[np.ix_(own, own)] -= self.inverse @ symmetric @ self.inverse
        above[:, own] += to_above


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One coordinate of one level that was integrated: d, h_s / d and the rest of G_s."""

    pivot: Array
    mean: Array
    column: Array


class Levels:
    """The levels above the atoms of a plan.

    Parameters
    ----------
    plan : Plan
        Its lowest level holds the atoms.
    """

    def __init__(self, plan: Plan) -> None:
        self.levels = plan.levels[1:]
        self.size = sum(len(level.factor) for level in self.levels)
        self._weights = cluster_weights(plan)[1:]

    def empty(self) -> tuple[Array, Array]:
        """Return zeros for h (H, J) and G (H, H, J) of the lowest of these levels."""
        j = self.levels[0].clusters
        return np.zeros((self.size, j)), np.zeros((self.size, self.size, j))

    def integrate(self, linear: Array, square: Array) -> tuple[float, Array, Array]:
        """Return the log of the integral over all coordinates, and its adjoints of h and G.

        -inf where G is not finite.
        """
        total, passed = 0.0, []
        for level, weight in zip(self.levels, self._weights, strict=True):
            steps = []
            for _ in range(len(level.factor)):
                pivot = 1.0 + square[0, 0]
                if not (pivot > 0.0).all():
                    return -np.inf, linear, square
                mean, column = linear[0] / pivot, square[1:, 0]
                value = 0.5 * (linear[0] * mean - np.log(pivot))
                total += float(weight @ value)
                steps.append(_Step(pivot, mean, column))
                linear = linear[1:] - column * mean
                square = square[1:, 1:] - column[:, None] * (column / pivot)
            passed.append(steps)
            if level.parent is not None:
                if level.weight is not None:
                    linear, square = linear * level.weight, square * level.weight
                linear, square = _sums(linear, level.parent), _sums(square, level.parent)
        return total, *self._back(passed)

    def _back(self, passed: list[list[_Step]]) -> tuple[Array, Array]:
        """Return the adjoints of h and G of the lowest level."""
        j = self.levels[-1].clusters
        linear, square = np.zeros((0, j)), np.zeros((0, 0, j))
        for number in reversed(range(len(self.levels))):
            level, weight = self.levels[number], self._weights[number]
            if level.parent is not None:
                linear, square = linear[:, level.parent], square[:, :, level.parent]
                if level.weight is not None:
                    linear, square = linear * level.weight, square * level.weight
            for step in reversed(passed[number]):
                linear, square = _undone(step, weight, linear, square)
        return linear, square


def _undone(step: _Step, weight: Array, linear: Array, square: Array) -> tuple[Array, Array]:
    """Return the adjoints of h and G before a step from those after it."""
    n, j = linear.shape
    gain = step.column / step.pivot
    to_mean = -np.sum(step.column * linear, axis=0)
    turned = np.einsum("abj,bj->aj", square, gain)
    to_pivot = np.sum(gain * turned, axis=0)
    to_pivot -= 0.5 * weight * (step.mean**2 + 1.0 / step.pivot) + to_mean * step.mean / step.pivot
    to_column = -step.mean * linear - 2.0 * turned
    new_linear, new_square = np.empty((n + 1, j)), np.empty((n + 1, n + 1, j))
    new_linear[0], new_linear[1:] = weight * step.mean + to_mean / step.pivot, linear
    new_square[0, 0], new_square[1:, 1:] = to_pivot, square
    new_square[1:, 0] = new_square[0, 1:] = 0.5 * to_column
    return new_linear, new_square


def _sums(values: Array, parent: Index) -> Array:
    """Return sums on the last axis over the clusters of each parent; every one has some."""
    first = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]])
    return np.add.reduceat(values, first, axis=-1)
