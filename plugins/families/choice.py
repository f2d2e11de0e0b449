"""The conditional logit model of a choice from a set of alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from glamm.plugins.families._categories import log_linear_derivatives
from glamm.plugins.families._common import compiled, draw_categories, encode_flags, normalised
from glamm.plugins.families._sets import by_alternative, name_of_set, offered, positions, shares
from glamm.protocols import Array, Column, Encoded, Link, ResponseError, SetFamily

__all__ = ["Choice"]


class Choice(SetFamily):
    """``P(k is chosen) = exp(mu_k) / sum exp(mu_m)`` over the alternatives m of the set.

    ``choice(chosen, set)``: `chosen` is 1 (or True) for one row of each set and 0 for the others. A set of
    one alternative says nothing. What is the same for all alternatives of a set, an intercept above all,
    cancels.

    Channels: the alternatives' predictors. Columns of y: position of the alternative chosen, number of
    alternatives, K.
    """

    name = "choice"
    responses = {"choice": 2}  # noqa: RUF012
    links = ("logit",)

    def __init__(self, link: Link) -> None:
        self.link = link

    def encode_sets(self, form: str, columns: Sequence[Column], set_of_row: NDArray[np.intp]) -> Encoded:
        chosen = encode_flags(columns[0], "choice()", "1 (chosen) or 0 (not chosen)")
        position, size, categories = positions(set_of_row)
        count = np.bincount(set_of_row, weights=chosen, minlength=size.size)
        if (count != 1.0).any():
            bad = int(np.argmax(count != 1.0))
            row = int(np.argmax(set_of_row == bad))
            raise ResponseError(
                f"the set {name_of_set(columns[-1], row)} has {count[bad]:g} alternatives chosen by "
                f"{columns[0].name!r}, but it must have one",
                row,
            )
        if not (size > 1).any():
            raise ResponseError(f"every set of {columns[-1].name!r} has one alternative: no choice is made")
        code = np.bincount(set_of_row, weights=chosen * position, minlength=size.size)
        y = np.column_stack((code, size, np.full_like(size, len(categories))))
        return Encoded(y.astype(float), categories)

    def decode_sets(self, y: Array) -> Array:
        present = offered(self.sizes(y), int(y[0, 2]))
        return np.asarray(np.arange(present.shape[1]) == y[:, :1], float)[present]

    def sizes(self, y: Array) -> NDArray[np.intp]:
        return y[:, 1].astype(np.intp)

    def _scores(self, y: Array, nu: Sequence[Array]) -> Array:
        """Return the predictors by alternative, minus infinity where the set has none."""
        return np.where(offered(self.sizes(y), len(nu)), by_alternative(nu, (len(y),)), -np.inf)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            scores = self._scores(y, nu)
            code = np.broadcast_to(y[:, 0].astype(np.intp), scores.shape[:-1])
            taken = np.take_along_axis(scores, code[..., None], axis=-1)[..., 0]
            return normalised(taken - logsumexp(scores, axis=-1))

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        ll = self.log_likelihood(y, nu)
        p = np.broadcast_to(shares(self._scores(y, nu)), (*ll.shape, len(nu)))
        return ([ll], *log_linear_derivatives(p, np.eye(len(nu)), y[:, 0], order))

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        return shares(by_alternative(nu))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        return np.column_stack((draw_categories(rng, shares(self._scores(y, nu))), y[:, 1:]))
