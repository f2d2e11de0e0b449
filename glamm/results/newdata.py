"""Rows of new data, made ready for prediction as the rows of the fit were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout, LoadingPlan, PredictorPlan, ResponseLayout
from glamm.data import Table
from glamm.results.predict import ResponseRows

Index = NDArray[np.intp]

__all__ = ["index_of", "new_rows"]


def index_of(data: Any, n_rows: int) -> pd.Index:
    """Return the labels that predictions for the rows of `data` carry."""
    return data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(n_rows)


def new_rows(
    responses: Sequence[ResponseLayout],
    levels: Sequence[LevelLayout],
    newdata: Any,
) -> tuple[tuple[ResponseRows, ...], pd.Index]:
    """Return the rows of each response in new data, without those that lack a covariate.

    Parameters
    ----------
    responses : sequence of ResponseLayout
    levels : sequence of LevelLayout
    newdata : data frame of any library, or mapping of columns
    """
    table = Table.from_any(newdata)
    clusters = [level.clusters(table) for level in levels]
    found = []
    for layout in responses:
        predictors = [own.apply(table) for own in layout.predictors]
        position = np.flatnonzero(_complete(predictors, table.n_rows))
        rows = ResponseRows(
            layout.name,
            layout.family,
            layout.categories,
            tuple(_take(predictor, position) for predictor in predictors),
            tuple(code[position] for code in clusters),
            position,
        )
        found.append(rows)
    return tuple(found), index_of(newdata, table.n_rows)


def _complete(predictors: Sequence[PredictorPlan], n: int) -> NDArray[np.bool_]:
    complete = np.ones(n, dtype=bool)
    for predictor in predictors:
        complete &= np.isfinite(predictor.design).all(axis=1) & np.isfinite(predictor.offset)
        for loading in predictor.loadings:
            complete &= np.isfinite(loading.design).all(axis=1)
        for term in predictor.terms:
            complete &= np.isfinite(term.design).all(axis=1)
    return complete


def _take(predictor: PredictorPlan, rows: Index) -> PredictorPlan:
    offset = predictor.offset[rows] if isinstance(predictor.offset, np.ndarray) else predictor.offset
    loadings = tuple(LoadingPlan(p.level, p.design[rows], p.latent) for p in predictor.loadings)
    terms = tuple(replace(term, design=term.design[rows]) for term in predictor.terms)
    return PredictorPlan(predictor.design[rows], predictor.coefficient, offset, loadings, terms)
