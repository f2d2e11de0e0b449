"""The multinomial logit model of a nominal response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from glamm.numdiff import pairs
from glamm.plugins.families._common import (
    compiled,
    cumulative_proportions,
    draw_categories,
    encode_categories,
    normalised,
)
from glamm.protocols import Array, Column, Encoded, Family, Link, Predictor, ResponseError

__all__ = ["Multinomial"]


class Multinomial(Family):
    """A category among C; predictor k is the log odds of category k against the reference.

    Channels: the C - 1 predictors. Columns of y: the code (0 is the reference, k the category of
    predictor k), and C - 1. `Encoded.categories` has the reference first.

    Parameters
    ----------
    link : Link
    reference : str or float or None
        Label of the reference category; None: the first.
    """

    name = "multinomial"
    links = ("logit",)

    def __init__(self, link: Link, reference: str | float | None = None) -> None:
        self.link = link
        self.reference = f"{reference:g}" if isinstance(reference, (int, float)) else reference

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        codes, labels = encode_categories(columns[0], self.name)
        first = 0
        if self.reference is not None:
            if self.reference not in labels:
                raise ResponseError(
                    f"reference={self.reference!r} is no category of {columns[0].name!r}: {', '.join(labels)}"
                )
            first = labels.index(self.reference)
        order = [first, *(k for k in range(len(labels)) if k != first)]
        recoded = np.argsort(order).astype(float)[codes.astype(np.intp)]
        y = np.column_stack((recoded, np.full_like(recoded, len(labels) - 1)))
        return Encoded(y, tuple(labels[k] for k in order))

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        return tuple(Predictor("mu", label=label) for label in encoded.categories[1:])

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        code = y[:, 0]
        with np.errstate(all="ignore"):
            chosen = np.zeros(np.broadcast_shapes(*(np.shape(value) for value in nu), code.shape))
            total = np.zeros_like(chosen)
            for k, value in enumerate(nu, start=1):
                chosen = chosen + np.where(code == k, value, 0.0)
                total = np.logaddexp(total, value)
            return normalised(chosen - total)

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        ll = self.log_likelihood(y, nu)
        n_channels = len(nu)
        p = np.moveaxis(self.mean_value((), nu), -1, 0)[1:]
        p = np.broadcast_to(p, (n_channels, *ll.shape))
        result = [[ll]]
        if order > 0:
            result.append([(y[:, 0] == k + 1) - p[k] for k in range(n_channels)])
        # minus the cumulants of an indicator vector with probabilities p
        if order > 1:
            result.append([p[k] * p[m] - (k == m) * p[k] for k, m in pairs(n_channels)])
        if order > 2:
            result.append([_third(p, k, m, c) for k, m in pairs(n_channels) for c in range(n_channels)])
        return tuple(result)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        categories = len(encoded.categories)
        cumulative = cumulative_proportions(encoded.y[:, 0], categories, weight)
        p = np.diff(cumulative, prepend=0.0, append=1.0)
        return tuple(float(x) for x in np.log(p[1:] / p[0]))

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        predictors = np.broadcast_arrays(*(np.asarray(value, float) for value in nu))
        log_odds = np.stack([np.zeros_like(predictors[0]), *predictors], axis=-1)
        return np.asarray(np.exp(log_odds - logsumexp(log_odds, axis=-1, keepdims=True)))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        code = draw_categories(rng, self.mean_value(categories, nu))
        return np.column_stack((code, y[:, 1]))


def _third(p: Array, k: int, m: int, c: int) -> Array:
    """Return minus the third cumulant of the indicators of categories k, m and c."""
    same = (k == m) * p[k] * p[c] + (k == c) * p[k] * p[m] + (m == c) * p[m] * p[k]
    return np.asarray(same - (k == m == c) * p[k] - 2.0 * p[k] * p[m] * p[c])
