"""Sums of products over the clusters of one pattern of Gaussian data; see `glamm.inference.patterns`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["GroupSums", "Pattern", "group_sums", "pattern_of"]

CHUNK = 1 << 16
"""Clusters whose cross-products are summed at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupSums:
    """Sums over the lowest clusters of a pattern within clusters of the next level, g of them.

    Attributes
    ----------
    cluster : ndarray of intp, shape (g,), ascending
    cross : ndarray, shape (Z, g, k + C)
        Of each slope column times the responses and raw columns.
    squares : ndarray, shape (Z, Z, g)
        Of products of slope columns.
    """

    cluster: Index
    cross: Array
    squares: Array


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Clusters of a configuration that have the same slots.

    Attributes
    ----------
    present : ndarray of intp, shape (k,)
        Those slots.
    weight : float
        Number of clusters.
    mean : ndarray, shape (k + C,)
        Of the responses, then of the raw columns.
    cross : ndarray, shape (k + C, k + C)
        Sums of products of deviations from the means.
    groups : GroupSums or None
        None in a plan with one level.
    """

    present: Index
    weight: float
    mean: Array
    cross: Array
    groups: GroupSums | None


def _fill(
    responses: Array, columns: Array, y: list[tuple[Array, Index]], raw: list[Array], clusters: Index
) -> None:
    """Fill the responses (n, k) and raw columns (n, C - 1) of some clusters, the latter without 1."""
    for target, (values, unit) in zip(responses.T, y, strict=True):
        target[:] = values[unit[clusters]]
    for target, values in zip(columns.T, raw, strict=True):
        target[:] = values[clusters]


def group_sums(
    y: list[tuple[Array, Index]],
    raw: list[Array],
    slopes: list[Array],
    rows: Index,
    group: Index,
    weight: Array | None,
) -> GroupSums:
    """Return sums of products over some clusters within the ascending groups that they lie in."""
    cluster, k, z = np.unique(group), len(y), 1 + len(slopes)
    cross = np.zeros((z, len(cluster), k + 1 + len(raw)))
    squares = np.zeros((z, z, len(cluster)))
    for start in range(0, len(rows), CHUNK):
        own = rows[start : start + CHUNK]
        here = group[start : start + CHUNK]
        first = np.flatnonzero(np.r_[True, here[1:] != here[:-1]])
        at = np.searchsorted(cluster, here[first])
        block = np.ones((len(own), k + 1 + len(raw)))
        _fill(block[:, :k], block[:, k + 1 :], y, raw, own)
        columns = [np.ones(len(own)) if weight is None else weight[start : start + CHUNK]]
        columns += [values[own] * columns[0] for values in slopes]
        for a, column in enumerate(columns):
            cross[a, at] += np.add.reduceat(block * column[:, None], first, axis=0)
            for b in range(a, z):
                other = column if b == 0 else column * slopes[b - 1][own]
                squares[a, b, at] += np.add.reduceat(other, first)
    for a in range(z):
        for b in range(a):
            squares[a, b] = squares[b, a]
    return GroupSums(cluster, cross, squares)


def pattern_of(
    present: Index,
    y: list[tuple[Array, Index]],
    raw: list[Array],
    rows: Index,
    weight: Array | None,
    groups: GroupSums | None,
) -> Pattern:
    """Return the moments of some clusters, the means first so that nothing cancels."""
    k, size = len(y), len(y) + 1 + len(raw)
    total = float(len(rows)) if weight is None else float(weight.sum())
    mean = np.zeros(size)
    mean[k] = 1.0
    cross = np.zeros((size, size))
    at = [i for i in range(size) if i != k]
    for last in (False, True):
        for start in range(0, len(rows), CHUNK):
            own = rows[start : start + CHUNK]
            block = np.empty((len(own), size - 1))
            _fill(block[:, :k], block[:, k:], y, raw, own)
            w = None if weight is None else weight[start : start + CHUNK]
            if not last:
                mean[at] += block.sum(axis=0) if w is None else w @ block
            else:
                block -= mean[at]
                cross[np.ix_(at, at)] += block.T @ (block if w is None else w[:, None] * block)
        if not last and total > 0.0:
            mean[at] /= total
    return Pattern(present, total, mean, cross, groups)
