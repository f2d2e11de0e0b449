"""The cumulative model of an ordinal response."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glamm.plugins.families._categories import OrderedFamily
from glamm.plugins.families._common import (
    compiled,
    cumulative_proportions,
    normalised,
)
from glamm.plugins.families._intervals import interval_block
from glamm.protocols import Array, Encoded, Interval, Predictor

__all__ = ["Ordinal"]


class Ordinal(OrderedFamily):
    """``P(y <= k) = F((threshold_k - mu) / scale)``, k = 0 .. C-2; F is the link's inverse.

    Channels: ``mu``, the threshold below the category, the threshold above it, ``log scale``. The first
    category has no lower threshold, the last no upper one. Columns of y: the code 0 .. C-1, and C - 1.
    Thresholds out of order have likelihood zero.
    """

    name = "ordinal"
    links = ("logit", "probit", "cloglog", "loglog")
    mean: ClassVar[Interval] = Interval(0.0, 1.0)

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        labels = encoded.categories
        thresholds = (Predictor("threshold", f"{a}|{b}") for a, b in itertools.pairwise(labels))
        scale = Predictor("scale", transform="log", fixed=0.0, intercept=False)
        return (Predictor("mu", intercept=False), *thresholds, scale)

    def channels(self, encoded: Encoded) -> NDArray[np.intp]:
        code = encoded.y[:, 0].astype(np.intp)
        last = len(encoded.categories) - 1
        lower = np.where(code > 0, code, -1)
        upper = np.where(code < last, code + 1, -1)
        return np.column_stack((np.zeros_like(code), lower, upper, np.full_like(code, last + 1)))

    @staticmethod
    def _bounds(y: Array, nu: Sequence[Array]) -> tuple[Array, Array]:
        """Return the standardised bounds of each unit's category, infinite where it has none."""
        mu, lower, upper, log_scale = (np.asarray(value, float) for value in nu)
        code, last = y[:, 0], y[:, 1]
        precision = np.exp(-log_scale)
        a = np.where(code > 0, (lower - mu) * precision, -np.inf)
        b = np.where(code < last, (upper - mu) * precision, np.inf)
        return a, b

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            a, b = self._bounds(y, nu)
            inner = self.link.log_difference(
                np.where(np.isinf(a), b - 1.0, a), np.where(np.isinf(b), a + 1.0, b)
            )
            ll = np.where(np.isneginf(a), self.link.log_inverse(b), inner)
            ll = np.where(np.isposinf(b), self.link.log_complement(a), ll)
            return normalised(np.where(a < b, ll, -np.inf))

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        ll = self.log_likelihood(y, nu)
        if order == 0:
            return ([ll],)
        with np.errstate(all="ignore"):
            a, b = self._bounds(y, nu)
            return ([ll], *interval_block(self.link, a, b, ll, np.asarray(nu[3], float), order))

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        cumulative = cumulative_proportions(encoded.y[:, 0], len(encoded.categories), weight)
        return (0.0, *(float(x) for x in self.link.link(cumulative)), 0.0)

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        mu, *thresholds, log_scale = np.broadcast_arrays(*(np.asarray(value, float) for value in nu))
        x = (np.stack(thresholds, axis=-1) - mu[..., None]) * np.exp(-log_scale)[..., None]
        below, above = self.link.inverse(x), -np.expm1(self.link.log_inverse(x))
        # the difference of the smaller tails
        ones, zeros = np.ones_like(mu)[..., None], np.zeros_like(mu)[..., None]
        lower = np.diff(below, axis=-1, prepend=zeros, append=ones)
        upper = -np.diff(above, axis=-1, prepend=ones, append=zeros)
        in_upper = np.concatenate((np.zeros_like(zeros, bool), below > 0.5), axis=-1)
        return np.asarray(np.where(in_upper, upper, lower))
