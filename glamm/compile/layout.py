"""What lowering knows beside the plan: where the names, rows and designs of a model went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.classes import ClassStates
from glamm.compile.coefficients import Columns
from glamm.compile.parameters import ParameterTable
from glamm.compile.plan import LoadingPlan, MassPoints, Plan, PredictorPlan, TermPlan
from glamm.data import DesignSpec, OffsetSpec, Table
from glamm.graph import GroupFactor, ModelGraph, ResponseForm
from glamm.protocols import Family

Index = NDArray[np.intp]

__all__ = [
    "LatentLayout",
    "LevelLayout",
    "LoadingLayout",
    "Lowered",
    "PredictorLayout",
    "ResponseLayout",
    "TermLayout",
]


@dataclass(frozen=True, slots=True, eq=False)
class LoadingLayout:
    """How the random-effect columns of one block were made.

    Attributes
    ----------
    level : int
    latent : ndarray of intp, shape (m,)
        Latent variable (within its level) of each column.
    spec : DesignSpec
    """

    level: int
    latent: Index
    spec: DesignSpec


@dataclass(frozen=True, slots=True, eq=False)
class TermLayout:
    """How the columns that multiply named latent variables were made.

    Attributes
    ----------
    latents : tuple of int
        Positions in the plan.
    columns : tuple of str
    spec : DesignSpec
    numbered : Columns
    """

    latents: tuple[int, ...]
    columns: tuple[str, ...]
    spec: DesignSpec
    numbered: Columns

    def apply(self, table: Table, rows: Index | None) -> TermPlan:
        """Return the term of other data."""
        return TermPlan(
            self.latents, self.spec.apply(table, rows), self.numbered.coefficient, self.numbered.held
        )


@dataclass(frozen=True, slots=True, eq=False)
class PredictorLayout:
    """One linear predictor and how its columns were made.

    Attributes
    ----------
    name, label : str
        As the family calls it: ``("threshold", "1|2")``.
    transform : str
        Scale of an auxiliary parameter.
    columns : tuple of p str
    spec : DesignSpec or None
        None for a predictor without coefficients.
    offset : OffsetSpec or None
    fixed : float
        What is added to the predictor everywhere.
    loadings : tuple of LoadingLayout
    numbered : Columns
        Where the coefficients of the columns are in theta.
    terms : tuple of TermLayout
    """

    name: str
    label: str
    transform: str
    columns: tuple[str, ...]
    spec: DesignSpec | None
    offset: OffsetSpec | None
    fixed: float
    loadings: tuple[LoadingLayout, ...]
    numbered: Columns
    terms: tuple[TermLayout, ...] = ()

    def apply(self, table: Table, rows: Index | None = None) -> PredictorPlan:
        """Return the predictor of other data, in their row order.

        Parameters
        ----------
        table : Table
        rows : ndarray of intp, shape (n,), or None
        """
        n = table.n_rows if rows is None else len(rows)
        design = np.zeros((n, 0)) if self.spec is None else self.spec.apply(table, rows)
        offset = self.fixed if self.offset is None else self.fixed + self.offset.apply(table, rows)
        loadings = merge_loadings(
            [(part.level, part.spec.apply(table, rows), part.latent) for part in self.loadings]
        )
        free, coefficient, held = self.numbered.split(design)
        terms = tuple(term.apply(table, rows) for term in self.terms)
        return PredictorPlan(free, coefficient, offset + held, loadings, terms)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseLayout:
    """One response.

    Attributes
    ----------
    name : str
    form : ResponseForm
    family : Family
    categories : tuple of str
    rows : ndarray of intp, shape (n,)
        Row of the data that each unit of the plan came from; where units are sets, that of the first
        alternative.
    predictors : tuple of PredictorLayout
        In the order of ``family.predictors``; one where units are sets.
    alternatives : ndarray of intp, shape (m,), or None
        Row of the data of each alternative, set by set, where units are sets.
    """

    name: str
    form: ResponseForm
    family: Family
    categories: tuple[str, ...]
    rows: Index
    predictors: tuple[PredictorLayout, ...]
    alternatives: Index | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LatentLayout:
    """One named latent variable.

    Attributes
    ----------
    name : str
    level : int
    predictor : PredictorLayout
    scale : PredictorLayout or None
    coordinate : int
        Of its level; -1 without a disturbance.
    points : MassPoints or None
        Whose mean is subtracted.
    """

    name: str
    level: int
    predictor: PredictorLayout
    scale: PredictorLayout | None
    coordinate: int
    points: MassPoints | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LevelLayout:
    """One level of clusters.

    Attributes
    ----------
    name : str
        Empty in a model without groups, ``"row"`` for the rows of the data.
    group : GroupFactor or None
    labels : tuple
        Label of each cluster, in the order of the plan; empty in a model without groups.
    latents : tuple of str
        Names of the standard coordinates: random effects and disturbances.
    effects : tuple of int
        Which of them are random effects.
    states : tuple of (str, ndarray of intp)
        Class of each cluster, for the class variables of this level and above.
    """

    name: str
    group: GroupFactor | None
    labels: tuple[Any, ...]
    latents: tuple[str, ...]
    effects: tuple[int, ...] = ()
    states: tuple[tuple[str, Index], ...] = ()

    def clusters(self, table: Table, rows: Index | None = None) -> Index:
        """Return the cluster of each row of other data, shape (n,); -1 where the fit has not seen it.

        A table without the grouping columns has no known clusters.
        """
        n = table.n_rows if rows is None else len(rows)
        if self.group is None or any(name not in table for name in self.group.columns):
            return np.full(n, -1, dtype=np.intp)
        codes, labels = table.group(self.group, rows)
        known = {label: place for place, label in enumerate(self.labels)}
        places = np.array([known.get(label, -1) for label in labels], dtype=np.intp)
        found: Index = places[codes]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A model met with data.

    Attributes
    ----------
    graph : ModelGraph
    plan : Plan
    parameters : ParameterTable
    responses : tuple of ResponseLayout
        As in the plan.
    levels : tuple of LevelLayout
        As in the plan, the lowest first.
    messages : tuple of str
        What the reader should know: rows left out.
    latents : tuple of LatentLayout
        As in the plan.
    memberships : tuple of ResponseLayout
        As in the plan, one for each class variable.
    classes : tuple of ClassStates
    rows, cluster : ndarray of intp, shape (m,)
        Rows of the (extended) data that enter the model, and the lowest-level cluster of each.
    origin : ndarray of intp, or None
        Row of the data that each row of the extended data repeats; None without classes.
    """

    graph: ModelGraph
    plan: Plan
    parameters: ParameterTable
    responses: tuple[ResponseLayout, ...]
    levels: tuple[LevelLayout, ...]
    messages: tuple[str, ...]
    rows: Index
    cluster: Index
    latents: tuple[LatentLayout, ...] = ()
    memberships: tuple[ResponseLayout, ...] = ()
    classes: tuple[ClassStates, ...] = ()
    origin: Index | None = None


def merge_loadings(parts: Sequence[tuple[int, NDArray[np.float64], Index]]) -> tuple[LoadingPlan, ...]:
    """Return one loading plan for each level.

    Parameters
    ----------
    parts : sequence of (level, design of shape (n, m), latent of shape (m,))
    """
    merged = []
    for level in sorted({level for level, _, _ in parts}):
        designs = [design for at, design, _ in parts if at == level]
        latents = [latent for at, _, latent in parts if at == level]
        design = designs[0] if len(designs) == 1 else np.hstack(designs)
        merged.append(LoadingPlan(level, np.ascontiguousarray(design), np.concatenate(latents)))
    return tuple(merged)
