"""Derivatives of ``log(F(b) - F(a))``, the log probability that an ordinal response falls in a category.

Analytic in the bounds, so that they stay right where two thresholds are closer than the step of a
numerical rule; only the slopes of the density ``f = F'`` are differentiated numerically, which has no
bounds to cross.
"""

from __future__ import annotations

import itertools

import numpy as np

from glamm.numdiff import differentiate, pairs
from glamm.protocols import Array, Link

__all__ = ["interval_block"]


def interval_block(
    link: Link, a: Array, b: Array, ll: Array, log_scale: Array, order: int
) -> tuple[list[Array], ...]:
    """Return the derivatives of `ll` in the channels of an ordinal unit, orders 1 to `order`.

    Parameters
    ----------
    link : Link
    a, b : ndarray, shape (nodes, n)
        Bounds ``(threshold - mu) / scale``, infinite where the category has none.
    ll : ndarray, shape (nodes, n)
        ``log(F(b) - F(a))``.
    log_scale : ndarray, broadcastable to (nodes, n)
    order : {1, 2, 3}

    Returns
    -------
    tuple of lists of ndarrays
        As `Family.block` stores them, for the channels mu, lower, upper, log scale.
    """
    outer = _in_bounds(link, a, b, ll, order)
    precision = np.exp(-log_scale)
    inner = (_bound_slopes(a, precision, lower=True), _bound_slopes(b, precision, lower=False))
    shape = np.shape(ll)
    empty = np.zeros(shape)

    def total(partitions: list[tuple[tuple[int, ...], ...]]) -> Array:
        """Sum outer derivatives times the bounds' derivatives over set partitions of the channels."""
        result = empty
        for blocks in partitions:
            for bounds in itertools.product((0, 1), repeat=len(blocks)):
                product: Array | None = outer[tuple(sorted(bounds))]
                for bound, channels in zip(bounds, blocks, strict=True):
                    slope = inner[bound].get(tuple(sorted(channels)))
                    product = None if product is None or slope is None else product * slope
                if product is not None:
                    result = result + product
        return result

    first = [total([((k,),)]) for k in range(4)]
    if order == 1:
        return (first,)
    second = [total([((k, m),), ((k,), (m,))]) for k, m in pairs(4)]
    if order == 2:
        return first, second
    third = [
        total([((k, m, c),), ((k, m), (c,)), ((k, c), (m,)), ((m, c), (k,)), ((k,), (m,), (c,))])
        for k, m in pairs(4)
        for c in range(4)
    ]
    return first, second, third


def _in_bounds(link: Link, a: Array, b: Array, ll: Array, order: int) -> dict[tuple[int, ...], Array]:
    """Return the derivatives of `ll` in (a, b), keyed by sorted bound numbers."""
    # derivatives of P = F(b) - F(a) divided by P; mixed ones are zero
    ratio = [_density_ratios(link, a, -1.0, ll, order), _density_ratios(link, b, 1.0, ll, order)]
    zero = np.zeros(np.shape(ll))

    def p(*bounds: int) -> Array:
        return ratio[bounds[0]][len(bounds) - 1] if len(set(bounds)) == 1 else zero

    result: dict[tuple[int, ...], Array] = {(i,): p(i) for i in (0, 1)}
    if order > 1:
        for i, j in pairs(2):
            result[(i, j)] = p(i, j) - p(i) * p(j)
    if order > 2:
        for i, j, k in ((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1)):
            crossed = p(i, j) * p(k) + p(i, k) * p(j) + p(j, k) * p(i)
            result[(i, j, k)] = p(i, j, k) - crossed + 2.0 * p(i) * p(j) * p(k)
    return result


def _density_ratios(link: Link, x: Array, sign: float, ll: Array, order: int) -> list[Array]:
    """Return ``sign f(x) / P``, ``sign f'(x) / P`` ..; zero at an infinite bound."""
    used = np.isfinite(x)
    values = differentiate(lambda nu: link.derivative(nu[0]), (np.where(used, x, 0.0),), order - 1)
    return [np.where(used, sign * np.exp(np.log(np.abs(v[0])) - ll) * np.sign(v[0]), 0.0) for v in values]


def _bound_slopes(x: Array, precision: Array, *, lower: bool) -> dict[tuple[int, ...], Array]:
    """Return the non-zero derivatives of ``x = (threshold - mu) / scale`` in the four channels."""
    threshold, scale = (1 if lower else 2), 3
    used = np.isfinite(x)
    finite, precision = np.where(used, x, 0.0), np.where(used, precision, 0.0)
    return {
        (0,): -precision,
        (threshold,): precision,
        (scale,): -finite,
        (0, scale): precision,
        (threshold, scale): -precision,
        (scale, scale): finite,
        (0, scale, scale): -precision,
        (threshold, scale, scale): precision,
        (scale, scale, scale): -finite,
    }
