"""Responses drawn from a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.results.predict import conditional_predictors
from glamm.results.source import Source

Array = NDArray[np.float64]

__all__ = ["simulate"]


def _effects(psi: Array, clusters: int, rng: np.random.Generator) -> Array:
    """Return random effects of a level, shape (clusters, q)."""
    values, vectors = np.linalg.eigh(psi)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn: Array = rng.standard_normal((clusters, len(psi))) @ root.T
    return drawn


def _draw(source: Source, rng: np.random.Generator) -> pd.DataFrame:
    """Return one draw of every response column, by column name."""
    observed = source.observed()
    responses, index = source.rows(None)
    effects = [
        _effects(psi, len(labels), rng) for psi, labels in zip(source.psi(), source.labels(), strict=True)
    ]
    columns: dict[str, Any] = {}
    for rows, y, layout in zip(responses, observed, source.responses, strict=True):
        nu = conditional_predictors(rows, source.theta, effects)
        drawn = rows.family.simulate(rng, y, rows.categories, nu)
        shown = rows.family.decode(layout.form.call, drawn)
        for name, values in zip(layout.form.factors, shown.T, strict=True):
            if rows.categories:
                full = np.full(len(index), None, dtype=object)
                full[rows.position] = np.asarray(rows.categories, dtype=object)[values.astype(np.intp)]
                columns[name] = pd.Categorical(full, categories=list(rows.categories), ordered=True)
            else:
                numbers = np.full(len(index), np.nan)
                numbers[rows.position] = values
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
