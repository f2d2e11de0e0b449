"""Clusters that are one cluster of the data in each of its classes, and how their likelihoods are mixed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Alternatives", "Assigned"]


class Alternatives:
    """Clusters that are the same cluster of the data in each of its classes.

    Parameters
    ----------
    group : ndarray of intp, shape (clusters,), ascending

    Attributes
    ----------
    first, counts : ndarray of intp, shape (groups,)
        First cluster of each group, number of its clusters.
    edges : ndarray of intp, shape (groups + 1,)
    position : ndarray of intp, shape (clusters,)
        Place of each cluster in its group.
    """

    def __init__(self, group: Index) -> None:
        self.group = group
        self.first = np.flatnonzero(np.r_[True, np.diff(group) != 0])
        self.edges = np.append(self.first, len(group)).astype(np.intp)
        self.counts = np.diff(self.edges)
        self.position = np.arange(len(group)) - np.repeat(self.first, self.counts)
        # groups of equal size are reduced as the axis of an array, which is faster
        self._regular = int(self.counts[0]) if (self.counts == self.counts[:1]).all() else 0

    def mix(self, loglik: Array) -> tuple[Array, Array]:
        """Return the log of the sum of likelihoods (groups, ...) and shares (clusters, ...) of `loglik`."""
        if self._regular:
            cube = loglik.reshape(len(self.first), self._regular, *loglik.shape[1:])
            largest = cube.max(axis=1)
            finite = np.where(np.isfinite(largest), largest, 0.0)
            share = np.exp(cube - finite[:, None])
            total = share.sum(axis=1)
            share /= np.where(total > 0.0, total, 1.0)[:, None]
            share = share.reshape(loglik.shape)
        else:
            largest = np.maximum.reduceat(loglik, self.first)
            finite = np.where(np.isfinite(largest), largest, 0.0)
            share = np.exp(loglik - finite[self.group])
            total = np.add.reduceat(share, self.first)
            share /= np.where(total > 0.0, total, 1.0)[self.group]
        with np.errstate(divide="ignore"):
            return np.log(total) + finite, share


class Assigned(Alternatives):
    """Classes with given probabilities in the place of posterior ones.

    Parameters
    ----------
    group : ndarray of intp, shape (clusters,), ascending
    share : ndarray, shape (clusters,)
    """

    def __init__(self, group: Index, share: Array) -> None:
        super().__init__(group)
        self.share = share

    def mix(self, loglik: Array) -> tuple[Array, Array]:
        """Return each group's expected log-likelihood and the given probabilities."""
        expected = np.where(self.share > 0.0, self.share * loglik, 0.0)
        return np.add.reduceat(expected, self.first), self.share
