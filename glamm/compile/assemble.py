"""Linear predictors, latent variables and parameters of a model, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.checks import all_alone, collinear
from glamm.compile.latents import Latent, LatentDraft
from glamm.compile.layout import LoadingLayout, PredictorLayout, ResponseLayout, merge_loadings
from glamm.compile.levels import ClusterTree
from glamm.compile.parameters import LatentFactor, ParameterRow, ParameterTable
from glamm.compile.plan import PredictorPlan, ResponsePlan
from glamm.data import Design, Table
from glamm.errors import DataError, Problem, nearest
from glamm.graph import AuxiliaryModel, ModelGraph, RandomBlock, Response, Term
from glamm.protocols import Encoded, Family, Predictor

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Assembly", "Observed"]


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
    """

    response: Response
    family: Family
    encoded: Encoded
    rows: Index
    chosen: Index | None
    cluster: Index
    weight: Array | None


def _written(response: str, predictor: Predictor) -> str:
    """Return a predictor as the model language writes it: ``y``, ``y[b]``, ``threshold(y)[1|2]``."""
    name = response if predictor.name == "mu" else f"{predictor.name}({response})"
    return f"{name}[{predictor.label}]" if predictor.label else name


class Assembly:
    """Numbers the coefficients and latent variables of a model.

    Coefficients come first in theta, response by response and predictor by predictor, then the free
    entries of the Cholesky factors, the lowest level first, row by row.

    Parameters
    ----------
    graph : ModelGraph
    table : Table
    tree : ClusterTree
    observed : sequence of Observed
        One for each response of the graph.
    """

    def __init__(
        self, graph: ModelGraph, table: Table, tree: ClusterTree, observed: Sequence[Observed]
    ) -> None:
        self._graph = graph
        self._table = table
        self._tree = tree
        self._observed = observed
        self._predictors = [o.family.predictors(o.encoded) for o in observed]
        self._position = {level.level.name: i for i, level in enumerate(tree.levels)}
        self._designs: dict[tuple[tuple[Term, ...], bool, bool, int], Design] = {}
        self._rows: list[ParameterRow] = []
        self._start: list[float] = []
        self._drafts = [LatentDraft() for _ in tree.levels]
        self._loadings: dict[tuple[int, int], list[tuple[int, Design, Index]]] = {}
        self._check_names()
        for block in graph.blocks:
            self._add_block(block)
        self._n_coefficients = 0

    # ------------------------------------------------ what the families say

    def _check_names(self) -> None:
        problems = []
        for observed, predictors in zip(self._observed, self._predictors, strict=True):
            known = list(dict.fromkeys(p.name for p in predictors if p.name != "mu"))
            for model in observed.response.predictors:
                if model.parameter == "mu" or model.parameter in known:
                    continue
                has = f"its auxiliary parameters are {', '.join(known)}" if known else "it has none"
                problems.append(
                    Problem(
                        f"the family {observed.family.name!r} of {observed.response.name!r} has no parameter "
                        f"{model.parameter!r}; {has}",
                        model.span,
                        nearest(model.parameter, known),
                    )
                )
        if problems:
            raise DataError(problems)

    # ------------------------------------------------ designs

    def _design(self, at: int, terms: tuple[Term, ...], intercept: bool, as_if: bool = False) -> Design:
        observed = self._observed[at]
        # Responses observed in the same rows share their designs.
        same = next(
            i
            for i, other in enumerate(self._observed[: at + 1])
            if other is observed or np.array_equal(other.rows, observed.rows)
        )
        key = (terms, intercept, as_if, same)
        if key not in self._designs:
            self._designs[key] = self._table.design(terms, intercept, observed.chosen, as_if_intercept=as_if)
        return self._designs[key]

    def _add_block(self, block: RandomBlock) -> None:
        level = self._position[block.level]
        draft = self._drafts[level]
        names = [response.name for response in self._graph.responses]
        plain = len(names) == 1
        group: list[int] = []
        problems: list[Problem] = []
        for name, parameter in block.members:
            at = names.index(name)
            design = self._design(at, block.terms, block.intercept)
            problems += collinear(design.matrix, design.names, f"({block.name})", block.span)
            for k, predictor in enumerate(self._predictors[at]):
                if predictor.name != parameter:
                    continue
                bare = plain and predictor.name == "mu" and not predictor.label
                prefix = "" if bare else f"{_written(name, predictor)}: "
                latent = np.arange(len(draft.latents), len(draft.latents) + len(design.names), dtype=np.intp)
                draft.latents += [
                    Latent(prefix + column, name, predictor.name, predictor.label) for column in design.names
                ]
                group += latent.tolist()
                self._loadings.setdefault((at, k), []).append((level, design, latent))
        problems += self._alone(block, level)
        if problems:
            raise DataError(problems)
        draft.groups += [group] if block.correlated else [[i] for i in group]

    def _alone(self, block: RandomBlock, level: int) -> list[Problem]:
        """Return the problem of a random intercept of which every unit has its own."""
        members = [o for o in self._observed if (o.response.name, "mu") in block.members]
        if not block.intercept or len(members) != 1:
            return []
        (observed,) = members
        cluster = observed.cluster
        for below in self._tree.levels[:level]:
            assert below.parent is not None
            cluster = below.parent[cluster]
        clusters = len(self._tree.levels[level].labels)
        if not all_alone(cluster, clusters) or observed.family.row_effects(observed.encoded):
            return []
        return [
            Problem(
                f"every cluster of {block.level!r} has one row, so its random intercept cannot be told from "
                f"the {observed.family.name} distribution of {observed.response.name!r}",
                block.span,
            )
        ]

    # ------------------------------------------------ coefficients

    def responses(self) -> tuple[tuple[ResponsePlan, ...], tuple[ResponseLayout, ...]]:
        """Return the plan and the layout of each response."""
        plans, layouts, problems = [], [], []
        for at, observed in enumerate(self._observed):
            problems += self._check_designs(at)
            predictors, layout = self._response(at)
            plans.append(
                ResponsePlan(
                    observed.family,
                    observed.encoded,
                    observed.cluster,
                    observed.weight,
                    predictors,
                    observed.family.channels(observed.encoded),
                )
            )
            layouts.append(layout)
        if problems:
            raise DataError(problems)
        self._n_coefficients = len(self._start)
        return tuple(plans), tuple(layouts)

    def _fixed(self, at: int, predictor: Predictor) -> tuple[AuxiliaryModel | None, Design | None]:
        """Return the regression that the text gives a predictor, and its design if it has coefficients."""
        models = {model.parameter: model for model in self._observed[at].response.predictors}
        model = models.get(predictor.name)
        if model is None:
            return None, None if predictor.fixed is not None else self._design(at, (), predictor.intercept)
        intercept = predictor.intercept and model.intercept is not False
        if model.intercept and predictor.name != "mu":
            intercept = True
        as_if = not predictor.intercept and not intercept
        return model, self._design(at, model.terms, intercept, as_if)

    def _response(self, at: int) -> tuple[tuple[PredictorPlan, ...], ResponseLayout]:
        observed = self._observed[at]
        response = observed.response
        n = len(observed.rows)
        weight = np.ones(n) if observed.weight is None else observed.weight
        starts = observed.family.start(observed.encoded, weight)
        plans, layouts = [], []
        for k, (predictor, start) in enumerate(zip(self._predictors[at], starts, strict=True)):
            model, design = self._fixed(at, predictor)
            first = len(self._start)
            if design is not None:
                self._add_coefficients(response.name, predictor, design, model is not None, start)
            held = predictor.fixed if model is None and predictor.fixed is not None else 0.0
            offset = self._table.offset(model.offsets, observed.chosen) if model and model.offsets else None
            parts = self._loadings.get((at, k), [])
            plans.append(
                PredictorPlan(
                    np.zeros((n, 0)) if design is None else design.matrix,
                    np.arange(first, len(self._start), dtype=np.intp),
                    held if offset is None else held + offset.values,
                    merge_loadings([(level, part.matrix, latent) for level, part, latent in parts]),
                )
            )
            layouts.append(
                PredictorLayout(
                    predictor.name,
                    predictor.label,
                    predictor.transform,
                    () if design is None else design.names,
                    None if design is None else design.spec,
                    None if offset is None else offset.spec,
                    held,
                    tuple(LoadingLayout(level, latent, part.spec) for level, part, latent in parts),
                )
            )
        layout = ResponseLayout(
            response.name,
            response.form,
            observed.family,
            observed.encoded.categories,
            observed.rows,
            tuple(layouts),
        )
        return tuple(plans), layout

    def _add_coefficients(
        self, response: str, predictor: Predictor, design: Design, written: bool, start: float
    ) -> None:
        lhs = _written(response, predictor)
        for column in design.names:
            # On the identity scale an intercept is the parameter itself, with covariates or without.
            natural = not written or (column == "1" and predictor.transform == "identity")
            own = predictor.name != "mu" and natural
            self._rows.append(
                ParameterRow(
                    lhs if own else f"{lhs} ~ {column}",
                    "auxiliary" if own else "fixed",
                    response,
                    predictor.name,
                    predictor.label,
                    (column,),
                    scale=predictor.transform if own else "identity",
                    place=(len(self._start),),
                )
            )
            self._start.append(start if column == "1" else 0.0)

    def _check_designs(self, at: int) -> list[Problem]:
        """Return the problems of columns that the data cannot tell apart."""
        observed = self._observed[at]
        problems: list[Problem] = []
        groups: dict[str, tuple[Predictor, AuxiliaryModel | None, Design]] = {}
        for predictor in self._predictors[at]:
            if predictor.name not in groups:
                model, design = self._fixed(at, predictor)
                if design is not None:
                    groups[predictor.name] = (predictor, model, design)
        # Cut points are intercepts of mu: the two designs must be told apart together.
        cuts = [name for name, (predictor, _, _) in groups.items() if name != "mu" and predictor.label]
        joined = "mu" in groups and not groups["mu"][0].intercept and bool(cuts)
        for name, (predictor, model, design) in groups.items():
            span = observed.response.span if model is None else model.span
            matrix, names = design.matrix, list(design.names)
            if name == "mu" and joined:
                cut = groups[cuts[0]][2]
                matrix = np.hstack([cut.matrix, matrix])
                written = f"{cuts[0]}({observed.response.name})"
                names = [c if c == "1" else f"{written} ~ {c}" for c in cut.names] + names
            elif not predictor.intercept and "1" not in names:
                matrix, names = np.column_stack([np.ones(len(matrix)), matrix]), ["1", *names]
            if name in cuts and joined and model is None:
                continue
            what = observed.response.name if name == "mu" else f"{name}({observed.response.name})"
            if len(matrix) < len(names):
                problems.append(Problem(f"{what} has {len(names)} coefficients for {len(matrix)} rows", span))
            else:
                problems += collinear(matrix, names, what, span)
        return problems

    # ------------------------------------------------ latent variables

    def factors(self) -> tuple[LatentFactor, ...]:
        """Return the Cholesky factor of each level."""
        found = []
        place = self._n_coefficients
        for level, draft in zip(self._tree.levels, self._drafts, strict=True):
            factor = draft.factor(level.level.name, place)
            place += int((factor.index >= 0).sum())
            found.append(factor)
        return tuple(found)

    def parameters(self) -> ParameterTable:
        """Return the reported parameters; to be called after `responses`."""
        factors = self.factors()
        rows = list(self._rows)
        for position, (factor, draft) in enumerate(zip(factors, self._drafts, strict=True)):
            rows += draft.rows(factor.level, position)
        free = sum(int((factor.index >= 0).sum()) for factor in factors)
        if not factors:
            factors = (LatentFactor("", (), np.zeros((0, 0), dtype=np.intp)),)
        return ParameterTable(tuple(rows), factors, self._n_coefficients + free)

    def start(self) -> Array:
        """Return data-free starting values: Cholesky factors are identities."""
        factors = self.factors()
        free = sum(int((factor.index >= 0).sum()) for factor in factors)
        start = np.concatenate([np.asarray(self._start, dtype=float), np.zeros(free)])
        for factor in factors:
            start[np.diagonal(factor.index)] = 1.0
        return start
