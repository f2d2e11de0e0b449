"""Design columns that are products of data columns and dummies: no transform, so nothing to remember.

Most designs are of this kind. They are filled here, straight from the data, some ten times faster than
formulaic builds the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Part", "Product", "dummies", "fill", "hierarchical"]

Part: TypeAlias = tuple[str, int]
"""A data column and the code of the level whose dummy is meant; -1 for the values of a number."""

Product: TypeAlias = tuple[Part, ...]
"""A design column; the empty product is the intercept."""

# Rows filled at a time: the columns of a block are contiguous and stay in the cache.
BLOCK = 4096


def dummies(
    factors: Sequence[tuple[str, bool]], levels: Mapping[str, Sequence[Any]]
) -> list[tuple[str, Product]]:
    """Return names and products of the columns of one term, the first factor varying fastest.

    Parameters
    ----------
    factors : sequence of (column, whether the dummy of its first level is left out)
    levels : mapping
        Levels of the columns that have any.
    """
    choices: list[list[tuple[str, Part]]] = []
    for name, reduced in factors:
        if name not in levels:
            choices.append([(name, (name, -1))])
        elif reduced:
            named = [(f"{name}[T.{level}]", (name, code)) for code, level in enumerate(levels[name])]
            choices.append(named[1:])
        else:
            choices.append([(f"{name}[{level}]", (name, code)) for code, level in enumerate(levels[name])])
    made = []
    for reverse in product(*reversed(choices)):
        parts = reverse[::-1]
        made.append((":".join(name for name, _ in parts), tuple(part for _, part in parts)))
    return made


def hierarchical(
    terms: Sequence[tuple[str, ...]], intercept: bool, levels: Mapping[str, Sequence[Any]]
) -> list[tuple[str, Product]] | None:
    """Return the columns of a design in which every margin of a term stands before it; None otherwise.

    There every factor is coded by contrasts with its first level. Any other design needs the general
    rule that keeps its columns independent, which is formulaic's.
    """
    there = {frozenset[str]()} if intercept else set()
    made: list[tuple[str, Product]] = [("1", ())] if intercept else []
    for term in terms:
        whole = frozenset(term)
        if any(whole - {name} not in there for name in term if name in levels):
            return None
        there.add(whole)
        made += dummies([(name, True) for name in term], levels)
    return made


def fill(products: Sequence[Product], values: Mapping[str, NDArray[Any]], length: int) -> NDArray[np.float64]:
    """Return the design matrix, shape (length, p), C order.

    Parameters
    ----------
    products : sequence of p products
    values : mapping of column to ndarray, shape (length,)
        Numbers, or codes where the products mean dummies.
    length : int
    """
    matrix = np.empty((length, len(products)))
    buffer = np.empty((len(products), BLOCK))
    for start in range(0, length, BLOCK):
        block = slice(start, min(start + BLOCK, length))
        part = {name: column[block] for name, column in values.items()}
        columns = buffer[:, : block.stop - start]
        for out, factors in zip(columns, products, strict=True):
            out[:] = 1.0
            for name, code in factors:
                out *= part[name] if code < 0 else part[name] == code
        matrix[block] = columns.T
    return matrix
