"""What families of categories share: codes, draws, derivatives of log-linear probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glamm.numdiff import pairs
from glamm.plugins.families._common import draw_categories, encode_categories
from glamm.protocols import Array, Column, Encoded, Family, Link

__all__ = ["CategoryFamily", "OrderedFamily", "log_linear_derivatives"]


class CategoryFamily(Family):
    """A family whose columns of y are the code of a category, 0 .. C-1, and C - 1."""

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        code = draw_categories(rng, self.mean_value(categories, nu))
        return np.column_stack((code, y[:, 1]))


class OrderedFamily(CategoryFamily):
    """A family of ordered categories."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        codes, labels = encode_categories(columns[0], self.name)
        return Encoded(np.column_stack((codes, np.full_like(codes, len(labels) - 1))), labels)


def log_linear_derivatives(p: Array, design: Array, taken: Array, order: int) -> list[list[Array]]:
    """Return the derivatives of the log probability of the categories taken, orders 1 to `order`.

    Probabilities are log-linear: ``log P(k) = v_k' nu - log sum_m exp(v_m' nu)``.
    Beyond the first they are minus the cumulants of the rows of `design` under `p`.

    Parameters
    ----------
    p : ndarray, shape (nodes, n, C)
        Probabilities of the categories.
    design : ndarray, shape (C, K)
        Coefficients ``v_k`` of the channels in the score of each category.
    taken : ndarray, shape (n,)
        Code of the category taken.
    order : {0, 1, 2, 3}

    Returns
    -------
    list of lists of ndarrays, shape (nodes, n)
        As `Family.block` stores them.
    """
    channels = design.shape[1]
    mean = p @ design
    apart = design - mean[..., None, :]
    result: list[list[Array]] = []
    if order > 0:
        slope = design[taken.astype(np.intp)] - mean
        result.append([slope[..., k] for k in range(channels)])
    if order > 1:
        of_pairs = {
            (k, m): p * apart[..., k] * apart[..., m] for k, m in pairs(channels)
        }  # summed over categories: second central moments
        result.append([-product.sum(axis=-1) for product in of_pairs.values()])
    if order > 2:
        result.append(
            [
                -(product * apart[..., c]).sum(axis=-1)
                for product in of_pairs.values()
                for c in range(channels)
            ]
        )
    return result
