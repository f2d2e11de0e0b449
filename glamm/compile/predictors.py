"""Linear predictors: designs, held and shared coefficients, random effects and latent variables in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.coefficients import Coefficients, Column
from glamm.compile.layout import LoadingLayout, PredictorLayout, TermLayout, merge_loadings
from glamm.compile.parameters import ParameterRow
from glamm.compile.plan import PredictorPlan, TermPlan
from glamm.compile.stacked import Sets
from glamm.compile.terms import fixed_modifiers, latent_columns
from glamm.data import Design, Table
from glamm.graph import AuxiliaryModel, CovarianceSpec, Modifier, Response
from glamm.protocols import Encoded, Family, Predictor

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Observed", "Owner", "Predictors", "written"]


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Values of a response in the order of the plan.

    Attributes
    ----------
    response : Response
    family : Family
    encoded : Encoded
    rows : ndarray of intp, shape (n,)
        Rows of the data.
    chosen : ndarray of intp, shape (n,), or None
        The same, None where they are all rows in the order of the data.
    cluster : ndarray of intp, shape (n,)
        Lowest-level cluster, ascending.
    weight : ndarray, shape (n,), or None
    sets : Sets or None
        Of a response whose units are sets of rows; `rows` and `chosen` are then all their rows.
    """

    response: Response
    family: Family
    encoded: Encoded
    rows: Index
    chosen: Index | None
    cluster: Index
    weight: Array | None
    sets: Sets | None = None

    @property
    def unit_rows(self) -> Index:
        """Row of the data that each unit came from, the first of its set, shape (n,)."""
        return self.rows if self.sets is None else self.rows[self.sets.first]


@dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """A linear predictor to be: what it is called and the rows its designs are made of."""

    name: str
    predictor: Predictor
    written: str
    chosen: Index | None
    n: int


def written(response: str, predictor: Predictor) -> str:
    """Return a predictor as the model language writes it: ``y``, ``y[b]``, ``threshold(y)[1|2]``."""
    name = response if predictor.name == "mu" else f"{predictor.name}({response})"
    return f"{name}[{predictor.label}]" if predictor.label else name


class Predictors:
    """Makes linear predictors and numbers their coefficients.

    Parameters
    ----------
    table : Table
    number : mapping of str to int
        Position of each named latent variable in the plan.
    residuals : mapping of str to CovarianceSpec
        Residual variances that the text writes, by response.

    Attributes
    ----------
    coefficients : Coefficients
    loadings : dict
        Random effects in each predictor, by (owner, predictor, label): level, design and coordinates.
    """

    def __init__(
        self, table: Table, number: Mapping[str, int], residuals: Mapping[str, CovarianceSpec]
    ) -> None:
        self._table = table
        self._number = number
        self._residuals = residuals
        self.coefficients = Coefficients()
        self.loadings: dict[tuple[str, str, str], list[tuple[int, Design, Index]]] = {}

    def make(
        self,
        owner: Owner,
        model: AuxiliaryModel | None,
        design: Design | None,
        first: bool,
        start: float,
        held: float,
    ) -> tuple[PredictorPlan, PredictorLayout]:
        """Return a linear predictor; `first` says that no predictor of its name came before."""
        matrix = np.zeros((owner.n, 0)) if design is None else design.matrix
        columns = self.coefficients.add(
            [] if design is None else self._fixed_columns(owner, model, design, start)
        )
        free, coefficient, fixed = columns.split(matrix)
        offset = self._table.offset(model.offsets, owner.chosen) if model and model.offsets else None
        key = (owner.name, owner.predictor.name, owner.predictor.label)
        parts = self.loadings.get(key, [])
        terms, term_layouts = self._terms(owner, model, first)
        plan = PredictorPlan(
            free,
            coefficient,
            (held if offset is None else held + offset.values) + fixed,
            merge_loadings([(level, part.matrix, latent) for level, part, latent in parts]),
            terms,
        )
        layout = PredictorLayout(
            owner.predictor.name,
            owner.predictor.label,
            owner.predictor.transform,
            () if design is None else design.names,
            None if design is None else design.spec,
            None if offset is None else offset.spec,
            held,
            tuple(LoadingLayout(level, latent, part.spec) for level, part, latent in parts),
            columns,
            term_layouts,
        )
        return plan, layout

    def _fixed_columns(
        self, owner: Owner, model: AuxiliaryModel | None, design: Design, start: float
    ) -> list[Column]:
        predictor = owner.predictor
        modifiers = fixed_modifiers(model.fixed_terms, design) if model is not None else {}
        residual = self._residuals.get(owner.name) if predictor.name == "sigma" and model is None else None
        columns = []
        for name in design.names:
            # On the identity scale an intercept is the parameter itself, with covariates or without.
            natural = model is None or (name == "1" and predictor.transform == "identity")
            own = predictor.name not in ("mu", "sd") and natural
            modifier, term = modifiers.get(name, (None, None))
            if name == "1" and model is not None:
                modifier = model.modifier
            kind = "auxiliary" if own else "fixed"
            called = owner.written if own else f"{owner.written} ~ {name}"
            scale = predictor.transform if own else "identity"
            if residual is not None:
                kind, called, scale = "residual", f"{owner.name} ~~ {owner.name}", "log"
                modifier = _of_log_sd(residual.modifier)
            span = term.span if term is not None else None if model is None else model.span
            row = ParameterRow(
                called, kind, owner.name, predictor.name, predictor.label, (name,), scale=scale
            )
            columns.append(Column(row, modifier, start if name == "1" else 0.0, span))
        return columns

    def _terms(
        self, owner: Owner, model: AuxiliaryModel | None, first: bool
    ) -> tuple[tuple[TermPlan, ...], tuple[TermLayout, ...]]:
        plans, layouts = [], []
        for made in latent_columns(self._table, model.latent_terms if model else (), owner.chosen):
            term = made.term
            columns = []
            for k, name in enumerate(made.design.names):
                modifier = term.modifier
                if term.marker and k == 0 and first:
                    modifier = Modifier(fixed=1.0)
                column = [] if name == "1" else [name]
                if term.measures:
                    called = f"{term.measures} =~ {':'.join([owner.written, *column])}"
                    kind, terms = "loading", (term.measures,)
                else:
                    effect = ":".join([*term.latents, *column])
                    called, kind, terms = f"{owner.written} ~ {effect}", "fixed", (effect,)
                predictor = owner.predictor
                row = ParameterRow(called, kind, owner.name, predictor.name, predictor.label, terms)
                start = 1.0 if term.measures else 0.0
                columns.append(Column(row, modifier, start, term.span))
            numbered = self.coefficients.add(columns)
            latents = tuple(self._number[name] for name in term.latents)
            plans.append(TermPlan(latents, made.design.matrix, numbered.coefficient, numbered.held))
            layouts.append(TermLayout(latents, made.design.names, made.design.spec, numbered))
        return tuple(plans), tuple(layouts)


def _of_log_sd(modifier: Modifier | None) -> Modifier | None:
    """Return the modifier of a residual variance as one of the log of the standard deviation."""
    if modifier is None:
        return None
    fixed, start = modifier.fixed, modifier.start
    with np.errstate(divide="ignore"):
        return replace(
            modifier,
            fixed=None if fixed is None else float(0.5 * np.log(fixed)),
            start=None if start is None else float(0.5 * np.log(start)),
        )
