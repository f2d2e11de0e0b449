"""The multinomial logit model of a nominal response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from glamm.plugins.families._categories import CategoryFamily, log_linear_derivatives
from glamm.plugins.families._common import (
    compiled,
    cumulative_proportions,
    encode_categories,
    normalised,
)
from glamm.protocols import Array, Column, Encoded, Link, Predictor, ResponseError

__all__ = ["Multinomial"]


class Multinomial(CategoryFamily):
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
        channels = len(nu)
        p = np.broadcast_to(self.mean_value((), nu), (*ll.shape, channels + 1))
        design = np.vstack((np.zeros(channels), np.eye(channels)))
        return ([ll], *log_linear_derivatives(p, design, y[:, 0], order))

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
        return np.asarray(softmax(log_odds, axis=-1))
