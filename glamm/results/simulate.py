"""Responses drawn from a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.inference.adjoints import Coordinates
from glamm.results.forms import Moments
from glamm.results.source import Source

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["simulate"]


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Draws of one response.

    Attributes
    ----------
    y : ndarray, shape (units, ny)
    nu : list of ndarray, shape (units,)
        Linear predictors.
    shown_by, position : ndarray of intp
        Unit and row of the data of each row that shows one.
    """

    y: Array
    nu: list[Array]
    shown_by: Index
    position: Index


class _Simulation:
    """Draws of the responses of a fit.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self.observed = source.observed()
        self.responses, self.index = source.rows(None)
        self.branches = source.branches()
        self.factors = source.factors()
        self.forms = [layout.form for layout in source.layout.responses]
        self.laws = source.coordinate_laws()
        self.covariances = source.residual_covariances()

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """Return one draw of every response column, by column name."""
        coordinates = self._coordinates(rng)
        chosen = self._chosen(coordinates, rng)
        columns: dict[str, Any] = {}
        drawn_units = []
        for rows, y in zip(self.responses, self.observed, strict=True):
            at = _values(rows.space, coordinates, rows.clusters)
            nu = [predictor.expected(at) for predictor in rows.predictors]
            kept = np.flatnonzero(chosen[0][rows.clusters[0]])
            position = rows.position[kept]
            units, first, shown_by = np.unique(rows.unit[kept], return_index=True, return_inverse=True)
            sets = rows.alternatives
            if sets is not None:
                nu = sets.masked(nu)
                position = sets.position[np.isin(sets.unit, kept)]
            at_units = [value[kept[first]] for value in nu]
            drawn = rows.family.simulate(rng, y[units], rows.categories, at_units)
            drawn_units.append(_Drawn(drawn, at_units, shown_by, position))
        self._correlate(drawn_units, rng)
        for rows, form, found in zip(self.responses, self.forms, drawn_units, strict=True):
            shown = rows.family.decode(form.call, found.y[found.shown_by])
            if rows.alternatives is None:
                for name, values in zip(form.factors, shown.T, strict=True):
                    columns[name] = self._column(values, found.position, rows.categories)
            else:
                # what is drawn of a set are its alternatives' values, not the set
                columns[form.factors[0]] = self._column(shown[:, 0], found.position, ())
        return pd.DataFrame(columns, index=self.index)

    def _correlate(self, drawn: Sequence[_Drawn], rng: np.random.Generator) -> None:
        """Draw the Gaussian responses whose residuals covary anew, rows of the data together."""
        members = sorted({r for first, second, _ in self.covariances for r in (first, second)})
        if not members:
            return
        n, k = len(self.index), len(members)
        sd, present = np.ones((n, k)), np.zeros((n, k), dtype=bool)
        for m, r in enumerate(members):
            sd[drawn[r].position, m] = np.exp(drawn[r].nu[1][drawn[r].shown_by])
            present[drawn[r].position, m] = True
        matrix = sd[:, :, None] ** 2 * np.eye(k)
        for first, second, value in self.covariances:
            a, b = members.index(first), members.index(second)
            matrix[:, a, b] = matrix[:, b, a] = np.where(present[:, a] & present[:, b], value, 0.0)
        residual = (np.linalg.cholesky(matrix) @ rng.standard_normal((n, k, 1)))[:, :, 0]
        for m, r in enumerate(members):
            found = drawn[r]
            found.y[found.shown_by, 0] = found.nu[0][found.shown_by] + residual[found.position, m]

    def _column(self, values: Array, position: Index, categories: tuple[str, ...]) -> Any:
        if not categories:
            numbers = np.full(len(self.index), np.nan)
            numbers[position] = values
            return numbers
        full = np.full(len(self.index), None, dtype=object)
        full[position] = np.asarray(categories, dtype=object)[values.astype(np.intp)]
        return pd.Categorical(full, categories=list(categories), ordered=True)

    def _coordinates(self, rng: np.random.Generator) -> list[Array]:
        """Return standard coordinates of each level, shape (clusters of the plan, q)."""
        drawn: list[Array] = []
        for branches, factor in zip(self.branches, self.factors, strict=True):
            # the copies of a cluster in its classes share them
            size = int(branches.copy_of.max(initial=-1)) + 1
            values = rng.standard_normal((size, len(factor)))
            for law in self.laws:
                if law.level == len(drawn):
                    values[:, law.coordinate] = law.draw(rng, size)
            drawn.append(values[branches.copy_of])
        return drawn

    def _chosen(self, coordinates: Sequence[Array], rng: np.random.Generator) -> list[NDArray[np.bool_]]:
        """Return for each level which copies of its clusters are in the classes drawn, one of each."""
        found: list[NDArray[np.bool_]] = []
        for level, branches in reversed(list(enumerate(self.branches))):
            size = len(branches.copy_of)
            chosen = np.ones(size, dtype=bool) if branches.parent is None else found[0][branches.parent]
            here = [m for m in branches.memberships if m.level == level]
            if here:
                at = _values(branches.space, coordinates, branches.clusters)
                with np.errstate(divide="ignore"):
                    logs = np.where(chosen, 0.0, -np.inf)
                    for membership in here:
                        nu = [predictor.expected(at) for predictor in membership.predictors]
                        logs = logs + np.log(membership.probability(nu))
                # the largest of the logs plus Gumbel variables has the probabilities
                keys = logs + rng.gumbel(size=size)
                best = np.full(int(branches.copy_of.max()) + 1, -np.inf)
                np.maximum.at(best, branches.copy_of, keys)
                chosen = keys == best[branches.copy_of]
            found.insert(0, chosen)
        return found


def _values(space: Coordinates, coordinates: Sequence[Array], clusters: Sequence[Index | None]) -> Moments:
    """Return the coordinates of rows as moments: they are known, or not needed where there is no cluster."""
    top = clusters[-1]
    assert top is not None
    n = len(top)
    u = np.hstack(
        [
            np.zeros((n, values.shape[1])) if cluster is None else values[cluster]
            for values, cluster in zip(coordinates, clusters, strict=True)
        ]
    )
    products = [u[:, x] * u[:, y] for x, y in space.pairs]
    return Moments(u, np.column_stack([np.zeros((len(u), 0)), *products]))


def simulate(source: Source, rng: np.random.Generator, n: int | None) -> pd.DataFrame:
    """Return draws of the responses; see `Result.simulate`."""
    simulation = _Simulation(source)
    if n is None:
        return simulation.draw(rng)
    draws = {(number, name): column for number in range(n) for name, column in simulation.draw(rng).items()}
    frame = pd.DataFrame(draws)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["draw", "column"])
    return frame
