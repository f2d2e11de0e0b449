"""The chain rule by way of distinct units: what theta makes of them, and how adjoints of all units return."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.adjoints import Backward, Sums
from glamm.inference.chain import Chain
from glamm.inference.distinct import Distinct
from glamm.inference.nesting import Nesting, Stack
from glamm.inference.units import Units

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["DistinctChain", "Tables", "chain_of"]

REPEATS = 8.0
"""How often a distinct unit is met, on the average, where the way by distinct units is the shorter one."""


class DistinctChain(Chain):
    """Offsets and slopes of distinct units as functions of theta.

    Parameters
    ----------
    distinct : Distinct

    Attributes
    ----------
    rows : list of slice
        Of each response's units among the U distinct ones.
    size : int
        U.
    """

    def __init__(self, distinct: Distinct) -> None:
        super().__init__(distinct.plan)
        self.distinct = distinct
        edges = np.concatenate(([0], np.cumsum([units.n for units in self.units])))
        self.rows = [slice(int(begin), int(end)) for begin, end in itertools.pairwise(edges)]
        self.size = int(edges[-1])

    def forms(self, theta: Array) -> list[tuple[Array, Array]] | None:
        """Return offsets (K, n) and slopes (active, n, q) by response; None where theta makes none."""
        factors = self.factors(theta)
        if not all(np.isfinite(factor).all() for factor in factors):
            return None
        latents = self.latent_forms(theta, factors)
        return [units.forms(self.space, theta, factors, latents) for units in self.units]

    def pull(self, theta: Array, adjoints: Sequence[tuple[Array, Array]], tops: int = 1) -> Array:
        """Return what adjoints of the predictors mean for theta: their sum (1, P), or by unit (U, P).

        Parameters
        ----------
        theta : ndarray, shape (P,)
        adjoints : sequence of (ndarray, ndarray)
            Of what `forms` returns.
        tops : int
            1, or U for one row of each distinct unit.
        """
        every = np.arange(tops + 1, dtype=np.intp)
        factors = self.factors(theta)
        sums = Sums(None if tops == 1 else every)
        state = Backward([sums], theta, factors, self.latent_forms(theta, factors), tops)
        for units, (offset, slope) in zip(self.units, adjoints, strict=True):
            first = None if tops == 1 else np.searchsorted(units.plan.cluster, every).astype(np.intp)
            units.pull(self.space, offset, slope, Sums(first), state)
        self.pull_latents(theta, state)
        return state.out


def chain_of(plan: Plan, pairs: Sequence[tuple[int, int]]) -> DistinctChain | None:
    """Return the chain rule of a plan of one level by way of distinct units, or None.

    None where units do not repeat often, where latent variables are discrete or multiplied, `pairs` of
    coordinates, and where residuals covary.
    """
    apart = plan.memberships or plan.ratios or plan.residual_covariances or pairs
    if len(plan.levels) > 1 or plan.levels[0].group is not None or apart:
        return None
    distinct = Distinct.of(plan, REPEATS)
    return None if distinct is None else DistinctChain(distinct)


class _Table:
    """The distinct units in one response of the engine.

    Attributes
    ----------
    units : ndarray of intp, shape (m,)
        Those that occur.
    number : ndarray of intp, shape (n,)
        Which of them each unit is, in the engine's order.
    parts : list of (ndarray of intp, ndarray of intp, ndarray of intp)
        Some of them, and columns of the engine and of the plan that their slopes stand in.
    """

    def __init__(self, stack: Stack, numbers: Sequence[Index], active: Index, channels: int) -> None:
        of_units = np.concatenate([numbers[r] for r in stack.members])[stack.order]
        size = int(of_units.max(initial=-1)) + 1
        present = np.zeros(size, dtype=bool)
        present[of_units] = True
        self.units = np.flatnonzero(present).astype(np.intp)
        place = np.cumsum(present) - 1
        self.number = place[of_units].astype(np.intp)
        self.width, self.active, self.channels = stack.width, active, channels
        self.parts = [
            (np.unique(self.number[part.to_rows]).astype(np.intp), part.to_columns, part.from_columns)
            for part in stack.parts
        ]

    def spread(self, offset: Array, slope: Array) -> tuple[Array, Array]:
        """Return offsets (K, n) and slopes (active, n, width) of all units from (K', U) and (K', U, q)."""
        offset = offset[: self.channels, self.units]
        own = slope[self.active[:, None], self.units]
        table = np.zeros((len(self.active), len(self.units), self.width))
        for rows, to, source in self.parts:
            table[:, rows[:, None], to] = own[:, rows[:, None], source]
        return np.take(offset, self.number, axis=1), np.take(table, self.number, axis=1)

    def collect(self, go: Array, ga: Array, offset: Array, slope: Array) -> None:
        """Add the adjoints of all units, in the engine's order, to those of the distinct ones."""
        size = len(self.units)
        for k, values in enumerate(go):
            offset[k, self.units] += np.bincount(self.number, values, size)
        for k, values in zip(self.active, ga, strict=True):
            own = np.empty((size, self.width))
            for column, of_column in zip(own.T, values.T, strict=True):
                column[:] = np.bincount(self.number, of_column, size)
            for rows, to, source in self.parts:
                slope[k, self.units[rows, None], source] += own[rows[:, None], to]


class Tables:
    """The engine's arguments and results by way of distinct units.

    Parameters
    ----------
    chain : DistinctChain
    nesting : Nesting
    units : sequence of Units
        Of the responses of the plan whose units are not distinct.
    """

    def __init__(self, chain: DistinctChain, nesting: Nesting, units: Sequence[Units]) -> None:
        self._chain = chain
        self._tables = []
        for stack in nesting.stacks:
            first = units[stack.members[0]]
            self._tables.append(_Table(stack, chain.distinct.numbers, first.active, first.channels))
        self._channels = max(units.channels for units in chain.units)

    def _empty(self) -> tuple[Array, Array]:
        chain = self._chain
        return np.zeros((self._channels, chain.size)), np.zeros(
            (self._channels, chain.size, chain.space.width)
        )

    def scatter(self, theta: Array) -> tuple[Any, ...] | None:
        """Return the engine's arguments as `Objective` makes them of all units; None where there are none."""
        forms = self._chain.forms(theta)
        if forms is None:
            return None
        offset, slope = self._empty()
        for units, rows, (own, own_slope) in zip(self._chain.units, self._chain.rows, forms, strict=True):
            offset[: len(own), rows] = own
            slope[units.active, rows] = own_slope
        made = [table.spread(offset, slope) for table in self._tables]
        return [o for o, _ in made], [a for _, a in made], {}, [], []

    def gradient(self, theta: Array, go: Sequence[Array], ga: Sequence[Array]) -> Array:
        """Return the gradient (P,) from the engine's adjoints."""
        offset, slope = self._empty()
        for table, own, own_slope in zip(self._tables, go, ga, strict=True):
            table.collect(own, own_slope, offset, slope)
        adjoints = [
            (offset[: units.channels, rows], slope[units.active, rows])
            for units, rows in zip(self._chain.units, self._chain.rows, strict=True)
        ]
        return np.asarray(self._chain.pull(theta, adjoints)[0])
