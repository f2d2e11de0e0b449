"""Numerical derivatives of smooth functions of a few channels, to about 1e-10 relative.

An eighth-order central rule with a wide step: for functions that are analytic on the scale of one unit
of a linear predictor its truncation error and its rounding error are both far below the usual
second-order rule's, which loses half the digits at each differentiation (Fornberg 1988, table 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# weights of f(x + j h) - f(x - j h) over h, and of f(x + j h) - 2 f(x) + f(x - j h) over h^2, j = 1..4
_FIRST = (4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0)
_SECOND = (8.0 / 5.0, -1.0 / 5.0, 8.0 / 315.0, -1.0 / 560.0)
STEP = 0.04


def pairs(n: int) -> list[tuple[int, int]]:
    """Return the index pairs (k, l), k <= l < n, in the order second derivatives are stored."""
    return [(k, m) for k in range(n) for m in range(k, n)]


def _shifted(nu: Sequence[Array], direction: Sequence[float], step: float) -> list[Array]:
    return [value + step * d if d else value for value, d in zip(nu, direction, strict=True)]


def _unit(n: int, *axes: int) -> list[float]:
    return [1.0 if k in axes else 0.0 for k in range(n)]


def differentiate_scaled(
    function: Callable[[Sequence[Array]], Array], nu: Sequence[Array], scale: Array, order: int
) -> tuple[list[Array], ...]:
    """Return what `differentiate` does, with steps in the first channel in proportion to `scale`.

    Parameters
    ----------
    function, nu, order
        As in `differentiate`.
    scale : ndarray, broadcastable to the channels
        Distance in ``nu[0]`` over which the function varies.
    """
    first, *rest = (np.asarray(value, dtype=float) for value in nu)
    result = differentiate(
        lambda at: function([first + scale * at[0], *at[1:]]), [np.zeros_like(first * scale), *rest], order
    )
    n = len(nu)
    of_pairs = pairs(n)
    powers = (
        [0],
        [int(k == 0) for k in range(n)],
        [pair.count(0) for pair in of_pairs],
        [pair.count(0) + int(k == 0) for pair in of_pairs for k in range(n)],
    )
    return tuple(
        [value / scale**power if power else value for value, power in zip(values, degrees, strict=True)]
        for values, degrees in zip(result, powers, strict=False)
    )


def differentiate(
    function: Callable[[Sequence[Array]], Array], nu: Sequence[Array], order: int
) -> tuple[list[Array], ...]:
    """Return a function's values and derivatives up to `order` at `nu`.

    Parameters
    ----------
    function : callable
        Takes a sequence of K arrays, returns an array of their broadcast shape.
    nu : sequence of K ndarrays
        Channels, broadcastable against each other.
    order : {0, 1, 2, 3}

    Returns
    -------
    tuple of `order` + 1 lists of ndarrays
        ``[f]``; ``d1[k]``; ``d2`` in the order of `pairs`; ``d3[pair * K + k]``.
    """
    nu = [np.asarray(value, dtype=float) for value in nu]
    n = len(nu)
    centre = np.asarray(function(nu), dtype=float)
    result: list[list[Array]] = [[centre]]
    if order == 0:
        return tuple(result)

    def first(k: int, f: Callable[[Sequence[Array]], Array]) -> Array:
        unit = _unit(n, k)
        total = np.zeros(())
        for j, weight in enumerate(_FIRST, start=1):
            plus, minus = (f(_shifted(nu, unit, sign * j * STEP)) for sign in (1.0, -1.0))
            total = total + weight * (plus - minus)
        return np.asarray(total / STEP)

    result.append([first(k, function) for k in range(n)])
    if order == 1:
        return tuple(result)

    def second(at: Sequence[Array]) -> list[Array]:
        value = function(at)

        def curvature(axes: tuple[int, ...]) -> Array:
            unit = _unit(n, *axes)
            total = np.zeros(())
            for j, weight in enumerate(_SECOND, start=1):
                plus, minus = (function(_shifted(at, unit, sign * j * STEP)) for sign in (1.0, -1.0))
                total = total + weight * ((plus - value) + (minus - value))
            return np.asarray(total / STEP**2)

        own = [curvature((k,)) for k in range(n)]
        return [own[k] if k == m else 0.5 * (curvature((k, m)) - own[k] - own[m]) for k, m in pairs(n)]

    result.append(second(nu))
    if order == 2:
        return tuple(result)

    third: list[Array] = [np.zeros(())] * (len(pairs(n)) * n)
    for k in range(n):
        unit = _unit(n, k)
        totals: list[Array] = [np.zeros(())] * len(pairs(n))
        for j, weight in enumerate(_FIRST, start=1):
            plus = second(_shifted(nu, unit, j * STEP))
            minus = second(_shifted(nu, unit, -j * STEP))
            totals = [t + weight * (p - m) for t, p, m in zip(totals, plus, minus, strict=True)]
        for pair, total in enumerate(totals):
            third[pair * n + k] = np.asarray(total / STEP)
    result.append(third)
    return tuple(result)
