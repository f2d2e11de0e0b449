"""Responses drawn from a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.inference.forms import Coordinates
from glamm.results.forms import Moments
from glamm.results.source import Source

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["simulate"]


def _coordinates(source: Source, rng: np.random.Generator) -> list[Array]:
    """Return standard coordinates of each level, shape (clusters of the plan, q)."""
    drawn = []
    for branches, factor in zip(source.branches(), source.factors(), strict=True):
        # the copies of a cluster in its classes share them
        values = rng.standard_normal((int(branches.copy_of.max(initial=-1)) + 1, len(factor)))
        drawn.append(values[branches.copy_of])
    return drawn


def _chosen(
    source: Source, coordinates: Sequence[Array], rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Return for each level which copies of its clusters are in the classes drawn, one of each cluster."""
    found: list[NDArray[np.bool_]] = []
    for level, branches in reversed(list(enumerate(source.branches()))):
        size = len(branches.copy_of)
        chosen = np.ones(size, dtype=bool) if branches.parent is None else found[0][branches.parent]
        here = [m for m in branches.memberships if m.level == level]
        if here:
            at = _values(branches.space, coordinates, branches.clusters)
            with np.errstate(divide="ignore"):
                logs = np.where(chosen, 0.0, -np.inf)
                for membership in here:
                    logs = logs + np.log(
                        membership.probability([f.expected(at) for f in membership.predictors])
                    )
            # the largest of the logs plus Gumbel variables has the probabilities
            keys = logs + rng.gumbel(size=size)
            best = np.full(int(branches.copy_of.max()) + 1, -np.inf)
            np.maximum.at(best, branches.copy_of, keys)
            chosen = keys == best[branches.copy_of]
        found.insert(0, chosen)
    return found


def _values(space: Coordinates, coordinates: Sequence[Array], clusters: Sequence[Index | None]) -> Moments:
    """Return the coordinates of rows as moments: they are known, or not needed where there is no cluster."""
    n = len(clusters[-1])
    u = np.hstack(
        [
            np.zeros((n, values.shape[1])) if cluster is None else values[cluster]
            for values, cluster in zip(coordinates, clusters, strict=True)
        ]
    )
    products = [u[:, x] * u[:, y] for x, y in space.pairs]
    return Moments(u, np.column_stack([np.zeros((len(u), 0)), *products]))


def _draw(source: Source, rng: np.random.Generator) -> pd.DataFrame:
    """Return one draw of every response column, by column name."""
    observed = source.observed()
    responses, index = source.rows(None)
    coordinates = _coordinates(source, rng)
    chosen = _chosen(source, coordinates, rng)
    columns: dict[str, Any] = {}
    for rows, y, layout in zip(responses, observed, source.layout.responses, strict=True):
        at = _values(rows.space, coordinates, rows.clusters)
        nu = [form.expected(at) for form in rows.predictors]
        kept = np.flatnonzero(chosen[0][rows.clusters[0]])
        position = rows.position[kept]
        units, first, shown_by = np.unique(rows.unit[kept], return_index=True, return_inverse=True)
        at_units = [value[kept[first]] for value in nu]
        drawn = rows.family.simulate(rng, y[units], rows.categories, at_units)[shown_by]
        shown = rows.family.decode(layout.form.call, drawn)
        for name, values in zip(layout.form.factors, shown.T, strict=True):
            if rows.categories:
                full = np.full(len(index), None, dtype=object)
                full[position] = np.asarray(rows.categories, dtype=object)[values.astype(np.intp)]
                columns[name] = pd.Categorical(full, categories=list(rows.categories), ordered=True)
            else:
                numbers = np.full(len(index), np.nan)
                numbers[position] = values
                columns[name] = numbers
    return pd.DataFrame(columns, index=index)


def simulate(source: Source, rng: np.random.Generator, n: int | None) -> pd.DataFrame:
    """Return draws of the responses; see `Result.simulate`."""
    if n is None:
        return _draw(source, rng)
    draws = {(number, name): column for number in range(n) for name, column in _draw(source, rng).items()}
    frame = pd.DataFrame(draws)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["draw", "column"])
    return frame
