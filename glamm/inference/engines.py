"""What the compiled engines need to know of the responses, however the units are arranged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan
from glamm.inference.nesting import Nesting
from glamm.kernels._block import evaluate
from glamm.kernels._lanes import MOST_COEFFICIENTS, Lanes
from glamm.protocols import Family

if TYPE_CHECKING:
    from glamm.inference.units import Units

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Source", "lanes_of", "levels_of", "sources_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One response of the engine.

    Attributes
    ----------
    y : ndarray, shape (n, ny)
    first : ndarray of intp, shape (clusters + 1,)
        First unit of each lowest cluster.
    weight : ndarray, shape (n,), or None
    channels : int
    active : ndarray of intp
        Channels with a latent part.
    family : Family
    pairs : ndarray of intp, shape (P, 2), or None
        Coordinates that are multiplied; None where none are.
    """

    y: Array
    first: Index
    weight: Array | None
    channels: int
    active: Index
    family: Family
    pairs: Index | None

    def response(self) -> tuple[object, ...]:
        """Return the response for `Engine`."""
        kernel = self.family.kernel()
        block = self.family if kernel is None else kernel
        quadratic = [self.family.is_quadratic(int(channel)) for channel in self.active]
        return self.y, self.first, self.weight, self.channels, self.active, quadratic, block, self.pairs


def _stacked(members: Sequence[Units]) -> tuple[Array, Array | None]:
    """Return the values (n, ny) and weights (n,) of units of some responses, one after the other."""
    plans = [units.plan for units in members]
    y = np.concatenate([units.values for units in members])
    if all(plan.weight is None for plan in plans):
        return y, None
    weights = [np.ones(len(p.cluster)) if p.weight is None else p.weight for p in plans]
    return y, np.concatenate(weights)


def sources_of(
    units: Sequence[Units], nesting: Nesting | None, clusters: int, pairs: Sequence[tuple[int, int]]
) -> list[Source]:
    """Return the engine's responses from those of the plan, which has `clusters` lowest clusters."""
    found = []
    if nesting is None:
        edges = np.arange(clusters + 1)
        for own in units:
            plan = own.plan
            first = np.searchsorted(plan.cluster, edges).astype(np.intp)
            products = np.array(pairs, dtype=np.intp) if own.multiplies else None
            data = own.values, first, plan.weight
            found.append(Source(*data, own.channels, own.active, plan.family, products))
        return found
    for stack in nesting.stacks:
        own = units[stack.members[0]]
        y, weight = _stacked([units[r] for r in stack.members])
        products = np.array(stack.pairs, dtype=np.intp) if own.multiplies else None
        data = y[stack.order], stack.first, None if weight is None else weight[stack.order]
        found.append(Source(*data, own.channels, own.active, own.plan.family, products))
    return found


def levels_of(
    levels: Sequence[LevelPlan], tops: Sequence[Index], nesting: Nesting | None
) -> list[tuple[object, ...]]:
    """Return the levels for `Engine`, with the first cluster of each top-level cluster in `tops`."""
    if nesting is not None:
        return list(nesting.levels())
    return [
        (
            len(level.factor),
            level.parent,
            level.weight,
            edges,
            None if level.parent is None else level.group,
        )
        for level, edges in zip(levels, tops, strict=True)
    ]


def lanes_of(levels: Sequence[LevelPlan], sources: Sequence[Source]) -> Lanes | None:
    """Return the vectorised engine where the model has the form it is made for."""
    level, source = levels[0], sources[0]
    family = source.family
    if (
        len(levels) + len(sources) > 2
        or not 1 <= len(level.factor) <= MOST_COEFFICIENTS
        or source.weight is not None
        or source.pairs is not None
        or source.channels != 1
        or len(source.active) != 1
        or not family.cumulant()
    ):
        return None
    y, cumulant, kernel = source.y, family.cumulant(), family.kernel()
    zero = np.zeros((1, len(y)))
    at_zero = family.block(y, list(zero))[0][0] if kernel is None else evaluate(kernel, y, zero)[0]
    constant = np.ravel(at_zero) + (y[:, 1] * np.log(2.0) if cumulant == "logistic" else 1.0)
    return Lanes(y, source.first, level.weight, cumulant, constant, len(level.factor))
