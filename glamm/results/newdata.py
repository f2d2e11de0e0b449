"""Rows of new data, made ready for prediction as the rows of the fit were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LatentLayout, LatentPlan, LevelLayout, LoadingPlan, PredictorPlan, ResponseLayout
from glamm.compile.classes import ClassStates, extend
from glamm.data import Table
from glamm.data.expressions import evaluate, read
from glamm.errors import DataError
from glamm.graph import GroupFactor, Level, MissingCovariate, ModelGraph
from glamm.results.forms import evaluate_forms
from glamm.results.rows import MembershipRows, ModelLayout, ResponseRows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["index_of", "new_rows"]

IMPOSSIBLE = -2
"""Cluster of a row that stands in a class its cluster cannot belong to."""


def index_of(data: Any, n_rows: int) -> pd.Index:
    """Return the labels that predictions for the rows of `data` carry."""
    return data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(n_rows)


def new_rows(
    layout: ModelLayout, theta: Array, factors: Sequence[Array], shares: Sequence[Array], newdata: Any
) -> tuple[tuple[ResponseRows, ...], pd.Index]:
    """Return the rows of each response in new data, without those that lack a covariate.

    The rows of a cluster that the fit has not seen stand once for each of its classes.

    Parameters
    ----------
    layout : ModelLayout
    theta : ndarray, shape (P,)
    factors : sequence of ndarray, shape (q, q)
        Cholesky factors of the levels' latent covariance matrices.
    shares : sequence of ndarray, shape (clusters,)
        Posterior probability of each cluster of the fit among its classes.
    newdata : data frame of any library, or mapping of columns
    """
    base = Table.from_any(newdata)
    table, codes, origin = _extended(base, layout.classes, layout.levels)
    n = table.n_rows
    clusters = [_clusters(level, table, codes) for level in layout.levels]
    values = {missing.name: _observed(layout, missing, table) for missing in layout.missing}
    latents = [_latent(latent, table, values.get(latent.name)) for latent in layout.latents]
    memberships = [[own.apply(table) for own in m.predictors] for m in layout.memberships]
    possible = np.all([cluster != IMPOSSIBLE for cluster in clusters], axis=0)
    for predictors in memberships:
        possible &= _complete(predictors, latents, n)
    found = []
    for response in layout.responses:
        stacked = response.family.stacked
        # the alternatives of a set share their coefficients
        layouts = response.predictors[:1] if stacked else response.predictors
        predictors = [own.apply(table) for own in layouts]
        kept = np.flatnonzero(possible & _complete(predictors, latents, n))
        own = np.arange(len(kept), dtype=np.intp)
        above: list[Index | None] = [own] * len(layout.levels)
        unseen: list[Index | None] = [None] * len(layout.levels)
        owners = [[p.take(kept) for p in part] for part in (predictors, *memberships)]
        forms = evaluate_forms(
            theta,
            factors,
            [(latent.take(kept), unseen[: latent.level] + above[latent.level :]) for latent in latents],
            [(part, above) for part in owners],
        )
        here = tuple(cluster[kept] for cluster in clusters)
        rows = ResponseRows(
            response.name,
            response.family,
            response.categories,
            forms.space,
            forms.predictors[0],
            here,
            origin[kept],
            tuple(
                MembershipRows(
                    [level.name for level in layout.levels].index(states.variable.level),
                    m.family,
                    m.categories,
                    _codes(states, codes[states.variable.name][kept], m.categories),
                    part,
                )
                for states, m, part in zip(
                    layout.classes, layout.memberships, forms.predictors[1:], strict=True
                )
            ),
            _share(shares, here),
            own,
        )
        found.append(rows.gathered(_sets(response, table, kept, codes, here)) if stacked else rows)
    return tuple(found), index_of(newdata, base.n_rows)


def _sets(
    response: ResponseLayout,
    table: Table,
    rows: Index,
    codes: Mapping[str, Index],
    clusters: Sequence[Index],
) -> Index:
    """Return the set of each of some rows, one for each of the classes that they stand in.

    Raises
    ------
    DataError
        The data lack the column of the sets, or a set lies in several clusters.
    """
    column = response.form.factors[1].strip("`")
    if column not in table:
        raise DataError(
            f"the data have no column {column!r}: predictions of {response.name} need the set that "
            "each alternative belongs to"
        )
    code, labels = table.group(GroupFactor((column,)), rows)
    keys = np.column_stack([code, *(own[rows] for own in codes.values())])
    _, first, found = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    found = found.ravel().astype(np.intp)
    for cluster in clusters:
        strays = np.flatnonzero(cluster != cluster[first][found])
        if strays.size:
            label = labels[int(code[strays[0]])]
            raise DataError(f"the set {label!r} of {response.name} lies in several clusters")
    return found


def _share(shares: Sequence[Array], clusters: Sequence[Index]) -> Array:
    """Return the posterior probability of the classes of the known clusters of each row."""
    product = np.ones(len(clusters[0]))
    for share, cluster in zip(shares, clusters, strict=True):
        product *= np.where(cluster < 0, 1.0, share[cluster])
    return product


def _codes(states: ClassStates, codes: Index, categories: Sequence[str]) -> Index:
    """Return the categories of a membership model that codes of classes are."""
    place = np.array([list(categories).index(label) for label in states.labels], dtype=np.intp)
    return np.asarray(place[codes])


def _extended(
    base: Table, classes: Sequence[ClassStates], levels: Sequence[LevelLayout]
) -> tuple[Table, Mapping[str, Index], Index]:
    """Return the data with a row for each class, the codes of their classes, and the rows they repeat."""
    if not classes:
        return base, {}, np.arange(base.n_rows, dtype=np.intp)
    variables = [
        replace(
            states.variable,
            labels=states.labels,
            known=states.variable.known if states.variable.known in base else "",
        )
        for states in classes
    ]
    known = tuple(Level(level.name, level.group) for level in levels if level.group is not None)
    extension = extend(base, ModelGraph("", (), known, (), classes=tuple(variables)))
    assert extension.origin is not None
    return extension.table, {s.variable.name: s.codes for s in extension.classes}, extension.origin


def _clusters(level: LevelLayout, table: Table, codes: Mapping[str, Index]) -> Index:
    """Return the cluster of the fit that each row lies in, in the row's classes; -1 where there is none.

    A cluster that cannot be in the row's classes is IMPOSSIBLE. Rows of new data are new clusters of the
    level of the rows.
    """
    if level.group is None or not level.group.columns:
        return np.full(table.n_rows, -1, dtype=np.intp)
    first = level.clusters(table)
    if not level.states:
        return first
    # clusters by any one of their copies and by their classes
    whole = {label: place for place, label in enumerate(level.labels)}
    of_fit = np.column_stack([[whole[label] for label in level.labels], *(s for _, s in level.states)])
    place = {tuple(key): k for k, key in enumerate(of_fit.tolist())}
    keys = np.column_stack([first, *(codes[name] for name, _ in level.states)])
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    matched = [-1 if key[0] < 0 else place.get(tuple(key), IMPOSSIBLE) for key in distinct.tolist()]
    return np.asarray(np.array(matched, dtype=np.intp)[inverse.ravel()])


def _observed(layout: ModelLayout, missing: MissingCovariate, table: Table) -> Array | None:
    """Return a covariate with missing values, NaN where it is missing; None without its column."""
    response = next(own for own in layout.responses if own.name == missing.response)
    (text,) = response.form.factors
    if read(text, table).unknown:
        return None
    values = np.full(table.n_rows, np.nan)
    known = np.flatnonzero(table.complete([text]))
    values[known] = evaluate(text, table, known).values
    return values


def _latent(layout: LatentLayout, table: Table, values: Array | None) -> LatentPlan:
    """Return a latent variable of new data, which is no variable where it has a value."""
    predictor = layout.predictor.apply(table)
    scale = None if layout.scale is None else layout.scale.apply(table)
    if values is not None and scale is not None:
        known = np.isfinite(values)
        predictor = _held(predictor, known, values)
        # a disturbance of standard deviation exp(-inf) = 0
        scale = _held(scale, known, np.full(len(values), -np.inf))
    return LatentPlan(layout.level, predictor, scale, layout.coordinate, layout.points)


def _held(predictor: PredictorPlan, rows: NDArray[np.bool_], values: Array) -> PredictorPlan:
    """Return a predictor that has given values at some rows."""
    known = rows[:, None]
    return replace(
        predictor,
        design=np.where(known, 0.0, predictor.design),
        offset=np.where(rows, values, predictor.offset),
        loadings=tuple(
            LoadingPlan(p.level, np.where(known, 0.0, p.design), p.latent) for p in predictor.loadings
        ),
        terms=tuple(replace(term, design=np.where(known, 0.0, term.design)) for term in predictor.terms),
    )


def _complete(
    predictors: Sequence[PredictorPlan], latents: Sequence[LatentPlan], n: int
) -> NDArray[np.bool_]:
    """Return the rows that have all covariates of the predictors and of the latent variables in them."""
    complete = np.ones(n, dtype=bool)
    todo, seen = list(predictors), set[int]()
    for predictor in todo:
        complete &= np.isfinite(predictor.design).all(axis=1) & ~np.isnan(predictor.offset)
        for loading in predictor.loadings:
            complete &= np.isfinite(loading.design).all(axis=1)
        for term in predictor.terms:
            complete &= np.isfinite(term.design).all(axis=1)
            for number in set(term.latents) - seen:
                seen.add(number)
                todo += [part for part in (latents[number].predictor, latents[number].scale) if part]
    return complete
