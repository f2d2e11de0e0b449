"""Linear predictors, latent variables and parameters of a model, numbered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.checks import all_alone, collinear
from glamm.compile.clusters import at_level
from glamm.compile.constraints import Resolver, constrained_names, derived_parameters
from glamm.compile.latents import Coordinate, entered_as_covariances
from glamm.compile.layout import LatentLayout, ResponseLayout
from glamm.compile.levels import ClusterTree
from glamm.compile.parameters import LatentFactor, ParameterRow, ParameterTable
from glamm.compile.plan import (
    CovarianceBlock,
    LatentPlan,
    LevelPlan,
    PredictorPlan,
    ResidualCovariance,
    ResponsePlan,
)
from glamm.compile.predictors import Observed, Owner, Predictors, written
from glamm.compile.residuals import residual_covariances, residual_pairs
from glamm.compile.stacked import Sets, constant_columns, design_of_alternatives, within_sets
from glamm.compile.structure import LatentStructure, latent_order
from glamm.compile.terms import fixed_modifiers
from glamm.data import Design, Table
from glamm.errors import DataError, Problem, nearest
from glamm.graph import ROW, AuxiliaryModel, ModelGraph, RandomBlock, Term
from glamm.graph.names import as_column
from glamm.protocols import Predictor

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Assembly"]


class Assembly:
    """Numbers the coefficients and latent variables of a model.

    Coefficients come first in theta, response by response and predictor by predictor, then those of the
    latent variables, then the entries of the Cholesky factors and covariances, the lowest level first.

    Parameters
    ----------
    graph : ModelGraph
    table : Table
    tree : ClusterTree
    observed : sequence of Observed
        One for each response of the graph, then one for each class variable.
    cluster_rows : sequence of ndarray of intp, shape (clusters,)
        For each level a row of the data for each cluster.

    Attributes
    ----------
    drafts : list of LevelDraft
        The standard coordinates of each level.
    """

    def __init__(
        self,
        graph: ModelGraph,
        table: Table,
        tree: ClusterTree,
        observed: Sequence[Observed],
        cluster_rows: Sequence[Index],
    ) -> None:
        self._graph = graph
        self._table = table
        self._tree = tree
        self._observed = observed
        self._cluster_rows = cluster_rows
        self._predictors = [o.family.predictors(o.encoded) for o in observed]
        self._position = {level.level.name: i for i, level in enumerate(tree.levels)}
        order = latent_order(graph)
        number = {name: i for i, name in enumerate(order)}
        self._named = {latent.name: latent for latent in graph.latents}
        self._designs: dict[tuple[tuple[Term, ...], bool, bool, int], Design] = {}
        self._block_coordinates: list[tuple[RandomBlock, list[int]]] = []
        self._factors: tuple[LatentFactor, ...] | None = None
        self._residuals = {
            spec.left: spec for spec in graph.covariances if spec.left == spec.right not in number
        }
        self._made = Predictors(table, number, self._residuals)
        self._coefficients = self._made.coefficients
        self._structure = LatentStructure(graph, table, tree, self._made, cluster_rows, order)
        self.drafts = self._structure.drafts
        self._check_names()
        for block in graph.blocks:
            self._add_block(block)
        self._structure.add_disturbances()

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
                        as_column(model.parameter)
                        if model.parameter in self._table
                        else nearest(model.parameter, known),
                    )
                )
            spec = self._residuals.get(observed.response.name)
            if spec is not None and not ("sigma" in known and observed.family.is_quadratic(0)):
                family = observed.family.name
                message = f"{observed.response.name!r} has no residual variance: its family is {family}"
                problems.append(Problem(message, spec.span))
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
        draft = self.drafts[level]
        names = [observed.response.name for observed in self._observed]
        (single, *others) = [response.name for response in self._graph.responses]
        group: list[int] = []
        problems: list[Problem] = []
        for name, parameter in block.members:
            if name in self._named:
                rows = self._cluster_rows[self._position[self._named[name].level]]
                design = self._table.design(block.terms, block.intercept, rows)
                predictors: Sequence[Predictor] = (Predictor("mu"),)
            else:
                at = names.index(name)
                design = self._design(at, block.terms, block.intercept)
                stacked = self._observed[at].sets is not None
                predictors = (Predictor("mu"),) if stacked else self._predictors[at]
            problems += collinear(design.matrix, design.names, f"({block.name})", block.span)
            for predictor in predictors:
                if predictor.name != parameter:
                    continue
                bare = not others and name == single and predictor.name == "mu" and not predictor.label
                prefix = "" if bare else f"{written(name, predictor)}: "
                first = len(draft.coordinates)
                latent = np.arange(first, first + len(design.names), dtype=np.intp)
                draft.coordinates += [
                    Coordinate(prefix + column, name, predictor.name, predictor.label)
                    for column in design.names
                ]
                group += latent.tolist()
                key = (name, predictor.name, predictor.label)
                self._made.loadings.setdefault(key, []).append((level, design, latent))
        problems += self._alone(block, level)
        if problems:
            raise DataError(problems)
        self._block_coordinates.append((block, group))
        draft.groups += [group] if block.correlated else [[i] for i in group]

    def _alone(self, block: RandomBlock, level: int) -> list[Problem]:
        """Return the problem of a random intercept of which every unit has its own."""
        members = [o for o in self._observed if (o.response.name, "mu") in block.members]
        if not block.intercept or len(members) != 1 or len(block.members) != 1:
            return []
        (observed,) = members
        cluster = at_level(self._tree, observed.cluster, level)
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
        """Return the plan and the layout of each response, and then of each class variable."""
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
                    self._joint_rows(observed),
                )
            )
            layouts.append(layout)
        if problems:
            raise DataError(problems)
        return tuple(plans), tuple(layouts)

    def _joint_rows(self, observed: Observed) -> Index | None:
        """Return what tells which units of responses with residual covariances belong together."""
        response = observed.response
        if not any(response.name in (spec.left, spec.right) for spec in residual_pairs(self._graph)):
            return None
        if response.level == ROW:
            return observed.rows
        return at_level(self._tree, observed.cluster, self._position[response.level])

    def residual_covariances(self) -> tuple[ResidualCovariance, ...]:
        """Return the covariances of residuals; to be called after `latents` and before `parameters`."""
        return residual_covariances(self._graph, self._coefficients)

    def latents(
        self, responses: Sequence[ResponseLayout]
    ) -> tuple[tuple[LatentPlan, ...], tuple[LatentLayout, ...]]:
        """Return the plan and the layout of each latent variable, given what `responses` returned."""
        return self._structure.latents(self._observed, responses)

    def ratios(self) -> tuple[ResponsePlan, ...]:
        """Return the densities of coordinates that are not normal; to be called after `latents`."""
        return self._structure.ratios(self._block_coordinates)

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
        return model, self._design(at, model.fixed_terms, intercept, as_if)

    def _response(self, at: int) -> tuple[tuple[PredictorPlan, ...], ResponseLayout]:
        observed = self._observed[at]
        if observed.sets is not None:
            return self._set_response(observed, observed.sets)
        n = len(observed.rows)
        name = observed.response.name
        weight = np.ones(n) if observed.weight is None else observed.weight
        starts = observed.family.start(observed.encoded, weight)
        plans, layouts = [], []
        met: set[str] = set()
        for predictor, start in zip(self._predictors[at], starts, strict=True):
            model, design = self._fixed(at, predictor)
            held = predictor.fixed if model is None and predictor.fixed is not None else 0.0
            owner = Owner(name, predictor, written(name, predictor), observed.chosen, n)
            first = predictor.name not in met
            met.add(predictor.name)
            plan, layout = self._made.make(owner, model, design, first, start, held)
            plans.append(plan)
            layouts.append(layout)
        made = ResponseLayout(
            name,
            observed.response.form,
            observed.family,
            observed.encoded.categories,
            observed.rows,
            tuple(layouts),
        )
        return tuple(plans), made

    def _set_response(
        self, observed: Observed, sets: Sets
    ) -> tuple[tuple[PredictorPlan, ...], ResponseLayout]:
        """Return the predictors of the alternatives of sets, which share their coefficients."""
        response = observed.response
        (model,) = response.predictors
        predictor = Predictor("mu", intercept=False)
        design = design_of_alternatives(
            self._table, model.fixed_terms, bool(model.intercept), observed.chosen, sets
        )
        problems = []
        for name in constant_columns(sets, design):
            what = "the intercept" if name == "1" else repr(name)
            problems.append(
                Problem(
                    f"{what} is the same for all alternatives of a set, so it tells nothing of them",
                    model.span,
                    "let it interact with a column that differs between alternatives",
                )
            )
        within = within_sets(sets, design.matrix)
        problems = problems or collinear(within, design.names, response.name, model.span)
        if problems:
            raise DataError(problems)
        owner = Owner(response.name, predictor, response.name, observed.chosen, len(observed.rows))
        plan, layout = self._made.make(owner, model, design, True, 0.0, 0.0)
        made = ResponseLayout(
            response.name,
            response.form,
            observed.family,
            observed.encoded.categories,
            observed.unit_rows,
            (layout,),
            observed.rows,
        )
        return sets.split(plan), made

    def _check_designs(self, at: int) -> list[Problem]:
        """Return the problems of columns that the data cannot tell apart."""
        observed = self._observed[at]
        problems: list[Problem] = []
        if observed.sets is not None:
            return problems
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
            matrix, names = self._own_columns(model, design)
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

    def _own_columns(self, model: AuxiliaryModel | None, design: Design) -> tuple[Array, list[str]]:
        """Return the columns whose coefficients are neither held nor shared, which this design must tell."""
        modifiers = {} if model is None else fixed_modifiers(model.fixed_terms, design)
        shared = {name for name, (m, _) in modifiers.items() if m.label or m.fixed is not None}
        own = [k for k, name in enumerate(design.names) if name not in shared]
        if len(own) == len(design.names):
            return design.matrix, list(design.names)
        return design.matrix[:, own], [design.names[k] for k in own]

    # ------------------------------------------------ latent variables

    def factors(self) -> tuple[LatentFactor, ...]:
        """Return the Cholesky factor of each level; to be called after `responses` and `latents`."""
        if self._factors is None:
            constrained = entered_as_covariances(self.drafts, constrained_names(self._graph))
            self._factors = tuple(
                draft.factor(
                    level.level.name, self._coefficients.number, constrained, self._coefficients.given
                )
                for level, draft in zip(self._tree.levels, self.drafts, strict=True)
            )
        return self._factors

    def parameters(self) -> ParameterTable:
        """Return the reported parameters; to be called after `responses` and `latents`."""
        factors = self.factors()
        rows = list(self._coefficients.rows)
        for position, (factor, draft) in enumerate(zip(factors, self.drafts, strict=True)):
            rows += draft.rows(factor.level, position)
        if not factors:
            factors = (LatentFactor("", (), LevelPlan(0, None, None, np.zeros((0, 0), dtype=np.intp))),)
        names = self.resolver(rows, factors).resolve()
        derived = derived_parameters(self._graph, names)
        rows += [
            ParameterRow(spec.name, "derived", terms=(spec.name,), place=(k,))
            for k, spec in enumerate(derived)
        ]
        return ParameterTable(
            tuple(rows), factors, len(self._coefficients.start), derived, tuple(self._structure.points)
        )

    def resolver(self, rows: Sequence[ParameterRow], factors: Sequence[LatentFactor]) -> Resolver:
        """Return what the names in constraints and derived parameters stand for."""
        labels = dict(self._coefficients.named)
        for draft in self.drafts:
            labels = draft.labelled() | labels
        return Resolver(rows, factors, labels, self._coefficients.held, self._graph.source)

    @property
    def given(self) -> tuple[tuple[int, float], ...]:
        """Entries of theta whose starting values the text gives."""
        return tuple(sorted(self._coefficients.given.items()))

    def start(self) -> Array:
        """Return data-free starting values: latent covariance matrices are identities."""
        start = np.array(self._coefficients.start, dtype=float)
        for factor in self.factors():
            diagonal = np.diagonal(factor.plan.factor)
            start[diagonal[diagonal >= 0]] = 1.0
            for block in factor.plan.blocks:
                own = np.diagonal(block.index)
                start[own[own >= 0]] = _sufficient(block)[own >= 0]
        return start


def _sufficient(block: CovarianceBlock) -> Array:
    """Return variances that the held covariances of a block leave room for, 1 where there are none."""
    given = np.where(np.diagonal(block.index) < 0, np.diagonal(block.held), 1.0)
    covariance = np.abs(block.held - np.diag(np.diagonal(block.held)))
    return np.asarray(1.0 + (covariance * np.maximum(1.0, covariance / given)).sum(axis=1))
