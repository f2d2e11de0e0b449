"""Functions together with their derivatives up to the third, carried through arithmetic exactly.

A jet holds a function of a few channels and its derivatives, the derivative in channels ``a <= b <= c`` under
the index ``(a, b, c)``; one that is absent is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import combinations_with_replacement
from operator import mul

import numpy as np

from glamm.numdiff import pairs
from glamm.protocols import Array

__all__ = ["Jet", "variables"]

Index = tuple[int, ...]

# set partitions of one, two and three positions, and splits of them into two parts
_PARTITIONS: tuple[tuple[tuple[Index, ...], ...], ...] = (
    (),
    (((0,),),),
    (((0, 1),), ((0,), (1,))),
    (((0, 1, 2),), ((0,), (1, 2)), ((1,), (0, 2)), ((2,), (0, 1)), ((0,), (1,), (2,))),
)
_SPLITS: tuple[tuple[tuple[Index, Index], ...], ...] = tuple(
    tuple(
        (
            tuple(k for k in range(degree) if chosen >> k & 1),
            tuple(k for k in range(degree) if not chosen >> k & 1),
        )
        for chosen in range(1 << degree)
    )
    for degree in range(4)
)


class Jet:
    """A function and its derivatives.

    Parameters
    ----------
    parts : mapping of index to ndarray
        The function itself under ``()``.
    channels, order : int
        Number of channels and highest degree of derivatives.
    """

    def __init__(self, parts: Mapping[Index, Array], channels: int, order: int) -> None:
        self.parts = dict(parts)
        self.channels = channels
        self.order = order

    @property
    def value(self) -> Array:
        """The function itself."""
        return self.parts[()]

    def _indices(self) -> list[Index]:
        return [
            index
            for degree in range(1, self.order + 1)
            for index in combinations_with_replacement(range(self.channels), degree)
        ]

    def __add__(self, other: Jet | float) -> Jet:
        if not isinstance(other, Jet):
            return Jet({**self.parts, (): self.value + other}, self.channels, self.order)
        parts = dict(self.parts)
        for index, part in other.parts.items():
            parts[index] = parts[index] + part if index in parts else part
        return Jet(parts, self.channels, self.order)

    def __sub__(self, other: Jet | float) -> Jet:
        return self + other * -1.0

    def __mul__(self, other: Jet | float) -> Jet:
        if not isinstance(other, Jet):
            parts = {index: part * other for index, part in self.parts.items()}
            return Jet(parts, self.channels, self.order)
        made: dict[Index, Array] = {(): self.value * other.value}
        for index in self._indices():
            terms = []
            for left, right in _SPLITS[len(index)]:
                a = self.parts.get(tuple(index[k] for k in left))
                b = other.parts.get(tuple(index[k] for k in right))
                if a is not None and b is not None:
                    terms.append(a * b)
            if terms:
                made[index] = np.asarray(sum(terms))
        return Jet(made, self.channels, self.order)

    def through(self, *functions: Callable[[Array], Array]) -> Jet:
        """Return the composition with a function, given with its first three derivatives."""
        outer = [function(self.value) for function in functions[: self.order + 1]]
        made: dict[Index, Array] = {(): outer[0]}
        for index in self._indices():
            terms = []
            for blocks in _PARTITIONS[len(index)]:
                factors = [self.parts.get(tuple(index[k] for k in block)) for block in blocks]
                present = [factor for factor in factors if factor is not None]
                if len(present) == len(blocks):
                    terms.append(reduce(mul, present, outer[len(blocks)]))
            if terms:
                made[index] = np.asarray(sum(terms))
        return Jet(made, self.channels, self.order)

    def block(self) -> tuple[list[Array], ...]:
        """Return value and derivatives in the layout of `Family.block`, all of one shape."""
        n = self.channels
        of_pairs = pairs(n)
        layout: list[list[Index]] = [
            [()],
            [(k,) for k in range(n)],
            list(of_pairs),
            [(*pair, c) for pair in of_pairs for c in range(n)],
        ]
        shape = np.broadcast_shapes(*(np.shape(part) for part in self.parts.values()))
        zero = np.zeros(())
        return tuple(
            [np.broadcast_to(self.parts.get(tuple(sorted(index)), zero), shape) for index in indices]
            for indices in layout[: self.order + 1]
        )


def variables(nu: Sequence[Array], order: int) -> list[Jet]:
    """Return the channels themselves as jets."""
    return [
        Jet({(): np.asarray(value, float), (k,): np.ones(())} if order else {(): value}, len(nu), order)
        for k, value in enumerate(nu)
    ]
