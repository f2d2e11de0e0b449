"""Predictions and residuals with the labels of the data's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.errors import GlammError
from glamm.results.facts import Facts, ResponseFact
from glamm.results.predict import Mode, predict
from glamm.results.source import Source

Array = NDArray[np.float64]

__all__ = ["predictions", "residuals"]


def _joined(found: Mapping[str, Any]) -> Any:
    """Return the only response's values, or all side by side."""
    return next(iter(found.values())) if len(found) == 1 else pd.concat(found, axis=1)


def _main(fact: ResponseFact) -> list[int]:
    return [k for k, (name, _) in enumerate(fact.predictors) if name == "mu"]


def predictions(source: Source, facts: Facts, mode: Mode, newdata: Any) -> Any:
    """Return predictions as a Series, or as a frame where there are several columns.

    Parameters
    ----------
    source : Source
    facts : Facts
    mode : Mode
    newdata : data frame, or None for the rows of the fit
    """
    responses, index = source.rows(newdata)
    posterior = source.posterior() if mode.random == "conditional" else ()
    laws = source.coordinate_laws() if mode.random == "marginal" else ()
    found: dict[str, Any] = {}
    for rows, fact in zip(responses, facts.responses, strict=True):
        main = _main(fact) if rows.alternatives is None else list(range(len(rows.predictors)))
        values, position = predict(rows, mode, main, posterior, laws), rows.position
        if rows.alternatives is not None:
            values, position = rows.alternatives.spread(values), rows.alternatives.position
        full = np.full((len(index), *values.shape[1:]), np.nan)
        full[position] = values
        if full.ndim == 1:
            found[rows.response] = pd.Series(full, index=index, name=rows.response)
        else:
            labels = [fact.predictors[k][1] for k in main]
            columns = list(rows.categories) if mode.scale == "mean" else labels
            found[rows.response] = pd.DataFrame(full, index=index, columns=columns)
    return _joined(found)


def residuals(source: Source, fitted: Any) -> Any:
    """Return observed minus fitted values, of those responses that are no categories.

    Parameters
    ----------
    source : Source
    fitted : Series or DataFrame
        What `predictions` gives for the rows of the fit.
    """
    observed = source.observed()
    responses, index = source.rows(None)
    found = {}
    for rows, y in zip(responses, observed, strict=True):
        if rows.categories and rows.alternatives is None:
            continue
        mean = np.ravel(fitted if len(responses) == 1 else fitted[rows.response])
        full = np.full(len(index), np.nan)
        seen = rows.family.observed(y)[rows.unit]
        if rows.alternatives is None:
            full[rows.position] = seen
        else:
            full[rows.alternatives.position] = rows.alternatives.observed(seen)
        found[rows.response] = pd.Series(full, index=index, name=rows.response) - mean
    if not found:
        raise GlammError(
            f"{responses[0].response!r} has categories, so observed minus fitted has no meaning; "
            "predict(kind='probability') gives the probabilities"
        )
    return _joined(found)
