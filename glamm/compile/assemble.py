"""Linear predictors, latent variables and parameters of a model, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm import registry
from glamm.compile.checks import all_alone, collinear
from glamm.compile.clusters import unit_of_cluster
from glamm.compile.coefficients import Coefficients, Column
from glamm.compile.constraints import Resolver, constrained_names, derived_parameters
from glamm.compile.latents import Coordinate, CovarianceStructure, LevelDraft, entered_as_covariances
from glamm.compile.layout import (
    LatentLayout,
    LoadingLayout,
    PredictorLayout,
    ResponseLayout,
    TermLayout,
    merge_loadings,
)
from glamm.compile.levels import ClusterTree
from glamm.compile.parameters import LatentFactor, ParameterRow, ParameterTable
from glamm.compile.plan import LatentPlan, LevelPlan, PredictorPlan, ResponsePlan, TermPlan
from glamm.compile.stacked import Sets, within_sets
from glamm.compile.terms import fixed_modifiers, latent_columns
from glamm.data import Design, Table
from glamm.errors import DataError, GlammError, Problem, Span, nearest
from glamm.graph import (
    ROW,
    AuxiliaryModel,
    CovarianceSpec,
    FamilySpec,
    LatentVariable,
    ModelGraph,
    Modifier,
    RandomBlock,
    Response,
    Term,
)
from glamm.protocols import Encoded, Family, Predictor
from glamm.protocols.latents import LatentRatio

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
class _Owner:
    """A linear predictor to be: what it is called and the rows its designs are made of."""

    name: str
    predictor: Predictor
    written: str
    chosen: Index | None
    n: int


def _written(response: str, predictor: Predictor) -> str:
    """Return a predictor as the model language writes it: ``y``, ``y[b]``, ``threshold(y)[1|2]``."""
    name = response if predictor.name == "mu" else f"{predictor.name}({response})"
    return f"{name}[{predictor.label}]" if predictor.label else name


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
        self._order = latent_order(graph)
        self._number = {name: i for i, name in enumerate(self._order)}
        self._named = {latent.name: latent for latent in graph.latents}
        self._designs: dict[tuple[tuple[Term, ...], bool, bool, int], Design] = {}
        self._coefficients = Coefficients()
        self.drafts = [LevelDraft() for _ in tree.levels]
        self._loadings: dict[tuple[str, str, str], list[tuple[int, Design, Index]]] = {}
        self._block_coordinates: list[tuple[RandomBlock, list[int]]] = []
        self._factors: tuple[LatentFactor, ...] | None = None
        self._residuals = {
            spec.left: spec for spec in graph.covariances if spec.left == spec.right not in self._number
        }
        self._check_names()
        for block in graph.blocks:
            self._add_block(block)
        self._add_latents()

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
            spec = self._residuals.get(observed.response.name)
            if spec is not None and not ("sigma" in known and observed.family.is_quadratic(0)):
                message = f"{observed.response.name!r} has no residual variance: its family is {observed.family.name}"
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
        plain = len(names) == 1 and not self._graph.latents
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
                bare = plain and predictor.name == "mu" and not predictor.label
                prefix = "" if bare else f"{_written(name, predictor)}: "
                first = len(draft.coordinates)
                latent = np.arange(first, first + len(design.names), dtype=np.intp)
                draft.coordinates += [
                    Coordinate(prefix + column, name, predictor.name, predictor.label)
                    for column in design.names
                ]
                group += latent.tolist()
                key = (name, predictor.name, predictor.label)
                self._loadings.setdefault(key, []).append((level, design, latent))
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

    def _add_latents(self) -> None:
        """Give each named latent variable with a disturbance its coordinate and covariances."""
        specs = list(self._graph.covariances)
        scaled = {x.name for x in self._graph.latents if any(p.parameter == "sd" for p in x.predictors)}
        specs = [
            replace(spec, modifier=Modifier(fixed=1.0)) if spec.left == spec.right in scaled else spec
            for spec in specs
        ]
        still = {
            spec.left
            for spec in specs
            if spec.left == spec.right and spec.modifier is not None and spec.modifier.fixed == 0.0
        }
        self._disturbed = {
            latent.name
            for latent in self._graph.latents
            if latent.name not in still and latent.distribution.name != "none"
        }
        for position, level in enumerate(self._tree.levels):
            members = [
                latent.name
                for latent in self._graph.latents
                if latent.level == level.level.name and latent.name in self._disturbed
            ]
            draft = self.drafts[position]
            unit = []
            if level.level.name == ROW:
                # what is missing of a covariate has the scale of its response, not one of its own
                unit = [m.name for m in self._graph.missing if m.name in self._number]
            specs_here = [*specs, *(CovarianceSpec(name, name, Modifier(fixed=1.0)) for name in unit)]
            draft.coordinates += [Coordinate(name, name, "mu", "", True) for name in (*members, *unit)]
            draft.structures += CovarianceStructure.components([*members, *unit], specs_here)

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
                )
            )
            layouts.append(layout)
        if problems:
            raise DataError(problems)
        return tuple(plans), tuple(layouts)

    def latents(
        self, responses: Sequence[ResponseLayout]
    ) -> tuple[tuple[LatentPlan, ...], tuple[LatentLayout, ...]]:
        """Return the plan and the layout of each named latent variable and covariate with missing values.

        Parameters
        ----------
        responses : sequence of ResponseLayout
            What `responses` returned.
        """
        plans, layouts = [], []
        for name in self._order:
            if name not in self._named:
                plan, layout = self._missing_covariate(name, responses)
                plans.append(plan)
                layouts.append(layout)
                continue
            latent = self._named[name]
            level = self._position[latent.level]
            models = {model.parameter: model for model in latent.predictors}
            plan, layout = self._latent_predictor(latent, models["mu"], level)
            scale, scale_layout = None, None
            if "sd" in models:
                scale, scale_layout = self._latent_predictor(latent, models["sd"], level)
            draft = self.drafts[level]
            coordinate = draft.place(latent.name) if latent.name in self._disturbed else -1
            plans.append(LatentPlan(level, plan, scale, coordinate))
            layouts.append(LatentLayout(latent.name, level, layout, scale_layout, coordinate))
        return tuple(plans), tuple(layouts)

    def ratios(self) -> tuple[ResponsePlan, ...]:
        """Return the densities of coordinates that are not normal; to be called after `latents`."""
        plans: list[ResponsePlan] = []
        for latent in self._graph.latents:
            if latent.distribution.name not in ("normal", "none") and latent.name in self._disturbed:
                level = self._position[latent.level]
                place = [self.drafts[level].place(latent.name)]
                plans += self._ratio(latent.distribution, latent.name, level, place, latent.span)
        for block, coordinates in self._block_coordinates:
            if block.distribution is not None:
                level = self._position[block.level]
                plans += self._ratio(block.distribution, block.name, level, coordinates, block.span)
        return tuple(plans)

    def _ratio(
        self, spec: FamilySpec, name: str, level: int, coordinates: Sequence[int], span: Span
    ) -> list[ResponsePlan]:
        """Return the density ratio of each coordinate; they share the parameters of the distribution."""
        try:
            distribution = registry.latent(spec.name, **{key: float(value) for key, value in spec.options})
        except GlammError as error:
            raise type(error)([Problem(p.message, span, p.hint) for p in error.problems]) from None
        family = LatentRatio(distribution)
        clusters = len(self._tree.levels[level].labels)
        encoded = family.units(clusters)
        parameters = []
        for predictor in family.predictors(encoded)[1:]:
            if predictor.fixed is not None:
                nothing = np.zeros((clusters, 0)), np.zeros(0, dtype=np.intp)
                parameters.append(PredictorPlan(*nothing, predictor.fixed))
                continue
            row = ParameterRow(
                f"{predictor.name}({name})",
                "auxiliary",
                name,
                predictor.name,
                terms=("1",),
                level=self._tree.levels[level].level.name,
                scale=predictor.transform,
            )
            numbered = self._coefficients.add([Column(row, None, predictor.start)])
            parameters.append(PredictorPlan(np.ones((clusters, 1)), numbered.coefficient, 0.0))
        cluster, weight = unit_of_cluster(self._tree, level)
        nothing = np.zeros((clusters, 0)), np.zeros(0, dtype=np.intp)
        return [
            ResponsePlan(
                family,
                encoded,
                cluster,
                weight,
                (PredictorPlan(*nothing, 0.0, coordinate=(level, coordinate)), *parameters),
                None,
            )
            for coordinate in coordinates
        ]

    def _missing_covariate(
        self, name: str, responses: Sequence[ResponseLayout]
    ) -> tuple[LatentPlan, LatentLayout]:
        """Return a covariate as a latent variable: what was observed, or what its own regression says."""
        (response,) = (m.response for m in self._graph.missing if m.name == name)
        at = [observed.response.name for observed in self._observed].index(response)
        observed, layout = self._observed[at], responses[at]
        predictors = {p.name: p for p in layout.predictors}
        if set(predictors) != {"mu", "sigma"} or not observed.family.is_quadratic(0):
            raise DataError(
                Problem(
                    f"{name} needs a Gaussian or categorical {response!r}, not the family "
                    f"{observed.family.name!r}",
                    observed.response.span,
                )
            )
        level = self._position[ROW]
        rows = self._cluster_rows[level]
        values = np.full(self._table.n_rows, np.nan)
        values[observed.rows] = observed.encoded.y[:, 0]
        values = values[rows]
        missing = np.isnan(values)
        mu = _where(predictors["mu"].apply(self._table, rows), missing, np.nan_to_num(values))
        # a disturbance of standard deviation exp(-inf) = 0 where the covariate was observed
        sigma = _where(predictors["sigma"].apply(self._table, rows), missing, np.full(len(rows), -np.inf))
        coordinate = self.drafts[level].place(name)
        plan = LatentPlan(level, mu, sigma, coordinate)
        return plan, LatentLayout(name, level, predictors["mu"], predictors["sigma"], coordinate)

    def _latent_predictor(
        self, latent: LatentVariable, model: AuxiliaryModel, level: int
    ) -> tuple[PredictorPlan, PredictorLayout]:
        rows = self._cluster_rows[level]
        predictor = Predictor("mu") if model.parameter == "mu" else Predictor("sd", transform="log")
        owner = _Owner(latent.name, predictor, _written(latent.name, predictor), rows, len(rows))
        intercept = bool(model.intercept) if model.parameter == "mu" else model.intercept is not False
        design = self._table.design(model.fixed_terms, intercept, rows)
        written = f"{owner.written} ~ ..."
        problems = collinear(design.matrix, design.names, written, model.span)
        if problems:
            raise DataError(problems)
        return self._predictor(owner, model, design, True, 0.0, 0.0)

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
            owner = _Owner(name, predictor, _written(name, predictor), observed.chosen, n)
            first = predictor.name not in met
            met.add(predictor.name)
            plan, layout = self._predictor(owner, model, design, first, start, held)
            plans.append(plan)
            layouts.append(layout)
        layout = ResponseLayout(
            name,
            observed.response.form,
            observed.family,
            observed.encoded.categories,
            observed.rows,
            tuple(layouts),
        )
        return tuple(plans), layout

    def _set_response(
        self, observed: Observed, sets: Sets
    ) -> tuple[tuple[PredictorPlan, ...], ResponseLayout]:
        """Return the predictors of the alternatives of sets, which share their coefficients."""
        response = observed.response
        (model,) = response.predictors
        predictor = Predictor("mu", intercept=False)
        design = self._table.design(
            model.fixed_terms, bool(model.intercept), observed.chosen, as_if_intercept=True
        )
        within = within_sets(sets, design.matrix)
        problems = []
        for column, name in enumerate(design.names):
            if (
                not np.abs(within[:, column]).max(initial=0.0)
                > 1e-12 * np.abs(design.matrix[:, column]).max()
            ):
                what = "the intercept" if name == "1" else repr(name)
                problems.append(
                    Problem(
                        f"{what} is the same for all alternatives of a set, so it tells nothing of them",
                        model.span,
                        "let it interact with a column that differs between alternatives",
                    )
                )
        problems = problems or collinear(within, design.names, response.name, model.span)
        if problems:
            raise DataError(problems)
        owner = _Owner(response.name, predictor, response.name, observed.chosen, len(observed.rows))
        plan, layout = self._predictor(owner, model, design, True, 0.0, 0.0)
        made = ResponseLayout(
            response.name,
            response.form,
            observed.family,
            observed.encoded.categories,
            observed.unit_rows,
            (layout,),
        )
        return sets.split(plan), made

    def _predictor(
        self,
        owner: _Owner,
        model: AuxiliaryModel | None,
        design: Design | None,
        first: bool,
        start: float,
        held: float,
    ) -> tuple[PredictorPlan, PredictorLayout]:
        """Return a linear predictor; `first` says that no predictor of its name came before."""
        matrix = np.zeros((owner.n, 0)) if design is None else design.matrix
        columns = self._coefficients.add(
            [] if design is None else self._fixed_columns(owner, model, design, start)
        )
        free, coefficient, fixed = columns.split(matrix)
        offset = self._table.offset(model.offsets, owner.chosen) if model and model.offsets else None
        key = (owner.name, owner.predictor.name, owner.predictor.label)
        parts = self._loadings.get(key, [])
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
        self, owner: _Owner, model: AuxiliaryModel | None, design: Design, start: float
    ) -> list[Column]:
        predictor = owner.predictor
        modifiers = (
            fixed_modifiers(self._table, model.fixed_terms, design, owner.chosen) if model is not None else {}
        )
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
            written = owner.written if own else f"{owner.written} ~ {name}"
            scale = predictor.transform if own else "identity"
            if residual is not None:
                kind, written, scale = "residual", f"{owner.name} ~~ {owner.name}", "log"
                modifier = _of_log_sd(residual.modifier)
            span = term.span if term is not None else None if model is None else model.span
            row = ParameterRow(
                written, kind, owner.name, predictor.name, predictor.label, (name,), scale=scale
            )
            columns.append(Column(row, modifier, start if name == "1" else 0.0, span))
        return columns

    def _terms(
        self, owner: _Owner, model: AuxiliaryModel | None, first: bool
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
                    written = f"{term.measures} =~ {':'.join([owner.written, *column])}"
                    kind, terms = "loading", (term.measures,)
                else:
                    effect = ":".join([*term.latents, *column])
                    written, kind, terms = f"{owner.written} ~ {effect}", "fixed", (effect,)
                predictor = owner.predictor
                row = ParameterRow(written, kind, owner.name, predictor.name, predictor.label, terms)
                start = 1.0 if term.measures else 0.0
                columns.append(Column(row, modifier, start, term.span))
            numbered = self._coefficients.add(columns)
            latents = tuple(self._number[name] for name in term.latents)
            plans.append(TermPlan(latents, made.design.matrix, numbered.coefficient, numbered.held))
            layouts.append(TermLayout(latents, made.design.names, made.design.spec, numbered))
        return tuple(plans), tuple(layouts)

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
        return ParameterTable(tuple(rows), factors, len(self._coefficients.start), derived)

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
                start[own[own >= 0]] = 1.0
        return start


def _where(plan: PredictorPlan, rows: NDArray[np.bool_], otherwise: Array) -> PredictorPlan:
    """Return a predictor that is as planned at some rows, and a known number elsewhere."""
    keep = rows[:, None]
    offset = np.where(rows, plan.offset, otherwise)
    return PredictorPlan(
        np.where(keep, plan.design, 0.0),
        plan.coefficient,
        offset,
        tuple(replace(part, design=np.where(keep, part.design, 0.0)) for part in plan.loadings),
        tuple(replace(term, design=np.where(keep, term.design, 0.0)) for term in plan.terms),
    )


def latent_order(graph: ModelGraph) -> list[str]:
    """Return named latent variables and covariates with missing values, each after those it depends on."""
    models = {latent.name: latent.predictors for latent in graph.latents}
    responses = {response.name: response.predictors for response in graph.responses}
    models |= {m.name: responses[m.response] for m in graph.missing}
    needs = {
        name: {other for model in own for term in model.latent_terms for other in term.latents}
        for name, own in models.items()
    }
    order: list[str] = []
    left = list(models)
    while left:
        ready = [name for name in left if not (needs[name] & set(left)) - {name}]
        if not ready:
            raise DataError(f"{' and '.join(left)} depend on each other")
        order += ready
        left = [name for name in left if name not in ready]
    return order


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
