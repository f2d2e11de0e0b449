"""The adjacent-category (partial credit) model of an ordinal response."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from glamm.plugins.families._categories import OrderedFamily, log_linear_derivatives
from glamm.plugins.families._common import (
    compiled,
    cumulative_proportions,
    normalised,
)
from glamm.protocols import Array, Encoded, Predictor

__all__ = ["Adjacent"]


class Adjacent(OrderedFamily):
    """``log P(y = k) / P(y = k - 1) = mu - step_k``, k = 1 .. C-1.

    The partial credit model where ``mu`` holds a latent variable with loading 1, the generalized one where
    the loading is free, the rating scale model where items have a location in ``mu`` and common steps.

    Channels: ``mu``, then the C - 1 steps. Columns of y: the code 0 .. C-1, and C - 1.
    """

    name = "adjacent"
    links = ("logit",)

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        steps = (Predictor("step", f"{a}|{b}") for a, b in itertools.pairwise(encoded.categories))
        return (Predictor("mu", intercept=False), *steps)

    @staticmethod
    def _scores(nu: Sequence[Array], shape: tuple[int, ...] = ()) -> Array:
        """Return ``k mu - step_1 - .. - step_k`` with the categories on the last axis."""
        mu, *steps = (np.asarray(value, float) for value in nu)
        shape = np.broadcast_shapes(mu.shape, *(step.shape for step in steps), shape)
        parts = [np.zeros(shape), *(np.broadcast_to(mu - step, shape) for step in steps)]
        return np.asarray(np.cumsum(np.stack(parts, axis=-1), axis=-1))

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            scores = self._scores(nu, y[:, 0].shape)
            code = np.broadcast_to(y[:, 0].astype(np.intp), scores.shape[:-1])
            taken = np.take_along_axis(scores, code[..., None], axis=-1)[..., 0]
            return normalised(taken - logsumexp(scores, axis=-1))

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        ll = self.log_likelihood(y, nu)
        category, step = np.arange(len(nu))[:, None], np.arange(1, len(nu))
        design = np.column_stack((category, -(step <= category).astype(float)))
        p = np.broadcast_to(self.mean_value((), nu), (*ll.shape, len(nu)))
        return ([ll], *log_linear_derivatives(p, design, y[:, 0], order))

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        cumulative = cumulative_proportions(encoded.y[:, 0], len(encoded.categories), weight)
        p = np.diff(cumulative, prepend=0.0, append=1.0)
        return (0.0, *(float(x) for x in np.log(p[:-1] / p[1:])))

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        scores = self._scores(nu)
        return np.asarray(softmax(scores, axis=-1))
