"""The exploded logit model of a ranking of alternatives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from glamm.numdiff import pairs
from glamm.plugins.families._categories import log_linear_derivatives
from glamm.plugins.families._common import compiled, normalised
from glamm.plugins.families._sets import by_alternative, name_of_set, offered, positions, shares
from glamm.protocols import Array, Column, Encoded, Link, ResponseError, SetFamily

__all__ = ["Ranking"]

MOST_TIED = 5


class Ranking(SetFamily):
    """Alternatives taken in order of rank, each from those that remain as in a choice.

    ``ranking(rank, set)``: ranks ascend from the best. An alternative whose rank is missing or 0 was not
    ranked; it comes behind all that were, in an order that is not known (a partial ranking). Alternatives of
    the same rank were taken one after the other in an order that is not known either. Both have their
    exact probability, the sum over the orders; where the worst rank is shared, that is the probability of
    a ranking that stops before it. At most five alternatives can share a rank other than the last.

    Channels: the alternatives' predictors. Columns of y: number of alternatives, then for each of K its
    rank 1, 2 .. without gaps, 0 if it was not ranked or does not exist.
    """

    name = "ranking"
    responses = {"ranking": 2}  # noqa: RUF012
    links = ("logit",)

    def __init__(self, link: Link) -> None:
        self.link = link

    def encode_sets(self, form: str, columns: Sequence[Column], set_of_row: NDArray[np.intp]) -> Encoded:
        columns[0].need_numbers(self.name)
        rank = np.nan_to_num(np.asarray(columns[0].values, float), nan=0.0, posinf=-1.0)
        if (rank < 0.0).any():
            row = int(np.argmax(rank < 0.0))
            raise ResponseError(
                f"{columns[0].name!r} is {columns[0].values[row]:g}, but a rank is positive, "
                "or 0 or missing where an alternative was not ranked",
                row,
            )
        position, size, categories = positions(set_of_row)
        y = np.column_stack((size, np.zeros((size.size, len(categories)))))
        y[set_of_row, 1 + position] = rank
        y[:, 1:] = [_without_gaps(ranks) for ranks in y[:, 1:]]
        tied = np.array([_ties(row) for row in y])
        if (tied > MOST_TIED).any():
            row = int(np.argmax(tied[set_of_row] > MOST_TIED))
            raise ResponseError(
                f"the set {name_of_set(columns[-1], row)} has {tied[set_of_row[row]]} alternatives of the "
                f"same rank by {columns[0].name!r}; at most {MOST_TIED} can share a rank other than the last",
                row,
            )
        if not any(_stages(row) for row in y):
            raise ResponseError(f"no set of {columns[-1].name!r} has one alternative ranked above another")
        return Encoded(y, categories)

    def decode_sets(self, y: Array) -> Array:
        return np.asarray(y[:, 1:][offered(self.sizes(y), y.shape[1] - 1)])

    def sizes(self, y: Array) -> NDArray[np.intp]:
        return y[:, 0].astype(np.intp)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        return self.block(y, nu)[0][0]

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        scores = by_alternative(nu, (len(y),))
        k = len(nu)
        result = tuple(
            [np.zeros(scores.shape[:-1]) for _ in range(count)]
            for count in (1, k, k * (k + 1) // 2, k * k * (k + 1) // 2)[: order + 1]
        )
        patterns, pattern = np.unique(y, axis=0, return_inverse=True)
        for p, row in enumerate(patterns):
            same = pattern.reshape(-1) == p
            for target, arrays in zip(result, _mixture(row, scores[..., same, :], order), strict=True):
                for to, values_of_pattern in zip(target, arrays, strict=True):
                    to[..., same] = values_of_pattern
        result[0][0] = normalised(result[0][0])
        return result

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        """Return the probability that each alternative ranks first, alternatives on the last axis."""
        return shares(by_alternative(nu))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        """Draw rankings without ties of as many alternatives as were ranked in `y`."""
        present = offered(self.sizes(y), len(nu))
        utility = np.where(present, by_alternative(nu, (len(y),)) + rng.gumbel(size=present.shape), -np.inf)
        rank = 1.0 + np.argsort(np.argsort(-utility, axis=1), axis=1)
        ranked = np.sum(y[:, 1:] > 0.0, axis=1, keepdims=True)
        return np.column_stack((y[:, 0], np.where(rank <= ranked, rank, 0.0)))

    def observed(self, y: Array) -> Array:
        """Return the position of the alternative that ranks first, NaN where several do or none is ranked."""
        first = y[:, 1:] == 1.0
        return np.where(first.sum(axis=1) == 1, np.argmax(first, axis=1).astype(float), np.nan)


def _without_gaps(ranks: Array) -> Array:
    """Return positive ranks renumbered 1, 2 .., zeros as they are."""
    return np.searchsorted(np.unique(ranks[ranks > 0.0]), ranks, side="right").astype(float)


def _groups(row: Array) -> list[NDArray[np.intp]]:
    """Return the alternatives of each rank from the best, those not ranked last."""
    ranks = row[1 : 1 + int(row[0])]
    groups = [np.flatnonzero(ranks == rank) for rank in range(1, int(ranks.max(initial=0.0)) + 1)]
    unranked = np.flatnonzero(ranks == 0.0)
    return [*groups, unranked] if unranked.size else groups


def _stages(row: Array) -> int:
    """Return how many alternatives are taken before the last group, whose order says nothing."""
    return sum(group.size for group in _groups(row)[:-1])


def _ties(row: Array) -> int:
    return max((group.size for group in _groups(row)[:-1]), default=0)


def _orders(row: Array) -> Iterator[tuple[int, ...]]:
    """Yield the orders in which the alternatives may have been taken, the last group in any one order."""
    *groups, last = _groups(row)
    for order in itertools.product(*(itertools.permutations(group.tolist()) for group in groups)):
        yield (*itertools.chain.from_iterable(order), *last.tolist())


def _exploded(scores: Array, taken: tuple[int, ...], stages: int, order: int) -> list[list[Array]]:
    """Return the log probability of one order and its derivatives, as the sum of the choices it is made of.

    `scores` has shape (nodes, n, K).
    """
    k = scores.shape[-1]
    total: list[list[Array]] = []
    for stage in range(stages):
        remaining = list(taken[stage:])
        log_p = scores[..., remaining] - logsumexp(scores[..., remaining], axis=-1, keepdims=True)
        design, first = np.eye(k)[remaining], np.zeros(scores.shape[-2])
        part = [[log_p[..., 0]], *log_linear_derivatives(np.exp(log_p), design, first, order)]
        total = (
            [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(total, part, strict=True)]
            if total
            else part
        )
    zero = np.zeros(scores.shape[:-1])
    counts = (1, k, k * (k + 1) // 2, k * k * (k + 1) // 2)[: order + 1]
    return total or [[zero] * count for count in counts]


def _mixture(row: Array, scores: Array, order: int) -> list[list[Array]]:
    """Return the log of the sum of the probabilities of all orders that `row` leaves, with derivatives."""
    with np.errstate(all="ignore"):
        stages, k = _stages(row), scores.shape[-1]
        parts = [_exploded(scores, taken, stages, order) for taken in _orders(row)]
        if len(parts) == 1:
            return parts[0]
        logs = np.stack([part[0][0] for part in parts])
        ll = logsumexp(logs, axis=0)
        share = np.exp(logs - ll)
        result = [[np.asarray(ll)]]
        if order > 0:
            slopes = np.stack([part[1] for part in parts], axis=1)
            mean = np.sum(share * slopes, axis=1)
            apart = slopes - mean[:, None]
            result.append(list(mean))
        if order > 1:
            bends = np.stack([part[2] for part in parts], axis=1)
            bend = {pair: bends[p] for p, pair in enumerate(pairs(k))}
            result.append([np.sum(share * (bend[a, b] + apart[a] * apart[b]), axis=0) for a, b in pairs(k)])
        if order > 2:
            thirds = np.stack([part[3] for part in parts], axis=1)
            result.append(
                [
                    np.sum(
                        share
                        * (
                            thirds[p * k + c]
                            + apart[a] * bend[min(b, c), max(b, c)]
                            + apart[b] * bend[min(a, c), max(a, c)]
                            + apart[c] * bend[a, b]
                            + apart[a] * apart[b] * apart[c]
                        ),
                        axis=0,
                    )
                    for p, (a, b) in enumerate(pairs(k))
                    for c in range(k)
                ]
            )
        return result
