"""Named latent variables, covariates with missing values and the densities of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm import registry
from glamm.compile.checks import collinear
from glamm.compile.clusters import at_level, unit_of_cluster
from glamm.compile.coefficients import Column
from glamm.compile.latents import Coordinate, CovarianceStructure, LevelDraft
from glamm.compile.layout import LatentLayout, PredictorLayout, ResponseLayout
from glamm.compile.levels import ClusterTree
from glamm.compile.parameters import ParameterRow
from glamm.compile.plan import LatentPlan, MassPoints, PredictorPlan, ResponsePlan
from glamm.compile.predictors import Observed, Owner, Predictors, written
from glamm.data import Table
from glamm.errors import DataError, GlammError, Problem, Span
from glamm.graph import (
    AuxiliaryModel,
    CovarianceSpec,
    FamilySpec,
    LatentVariable,
    ModelGraph,
    Modifier,
    RandomBlock,
)
from glamm.protocols import Predictor
from glamm.protocols.latents import LatentRatio

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["LatentStructure", "latent_order"]


class LatentStructure:
    """Makes the latent variables of a model.

    Parameters
    ----------
    graph : ModelGraph
    table : Table
    tree : ClusterTree
    predictors : Predictors
    cluster_rows : sequence of ndarray of intp, shape (clusters,)
        For each level a row of the data for each cluster.
    order : sequence of str
        As `latent_order` returns it.

    Attributes
    ----------
    drafts : list of LevelDraft
        The standard coordinates of each level.
    points : list of MassPoints
        Distributions on mass points.
    """

    def __init__(
        self,
        graph: ModelGraph,
        table: Table,
        tree: ClusterTree,
        predictors: Predictors,
        cluster_rows: Sequence[Index],
        order: Sequence[str],
    ) -> None:
        self._graph = graph
        self._table = table
        self._tree = tree
        self._predictors = predictors
        self._coefficients = predictors.coefficients
        self._cluster_rows = cluster_rows
        self._order = order
        self._position = {level.level.name: i for i, level in enumerate(tree.levels)}
        self._named = {latent.name: latent for latent in graph.latents}
        self.drafts = [LevelDraft() for _ in tree.levels]
        self.points: list[MassPoints] = []

    def add_disturbances(self) -> None:
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
        levels = {response.name: response.level for response in self._graph.responses}
        for position, level in enumerate(self._tree.levels):
            members = [
                latent.name
                for latent in self._graph.latents
                if latent.level == level.level.name and latent.name in self._disturbed
            ]
            draft = self.drafts[position]
            # what is missing of a covariate has the scale of its response, not one of its own
            unit = [m.name for m in self._graph.missing if levels[m.response] == level.level.name]
            specs_here = [*specs, *(CovarianceSpec(name, name, Modifier(fixed=1.0)) for name in unit)]
            draft.coordinates += [Coordinate(name, name, "mu", "", True) for name in (*members, *unit)]
            draft.structures += CovarianceStructure.components([*members, *unit], specs_here)

    def latents(
        self, observed: Sequence[Observed], responses: Sequence[ResponseLayout]
    ) -> tuple[tuple[LatentPlan, ...], tuple[LatentLayout, ...]]:
        """Return the plan and the layout of each named latent variable and covariate with missing values.

        Parameters
        ----------
        observed : sequence of Observed
        responses : sequence of ResponseLayout
            Of `observed`, in the same order.
        """
        plans, layouts = [], []
        for name in self._order:
            if name not in self._named:
                plan, layout = self._missing_covariate(name, observed, responses)
            else:
                plan, layout = self._named_latent(self._named[name], responses)
            plans.append(plan)
            layouts.append(layout)
        return tuple(plans), tuple(layouts)

    def _named_latent(
        self, latent: LatentVariable, responses: Sequence[ResponseLayout]
    ) -> tuple[LatentPlan, LatentLayout]:
        level = self._position[latent.level]
        models = {model.parameter: model for model in latent.predictors}
        plan, layout = self._latent_predictor(latent, models["mu"], level)
        scale, scale_layout = None, None
        if "sd" in models:
            scale, scale_layout = self._latent_predictor(latent, models["sd"], level)
        coordinate = self.drafts[level].place(latent.name) if latent.name in self._disturbed else -1
        points = self._mass_points(latent, layout, responses)
        return (
            LatentPlan(level, plan, scale, coordinate, points),
            LatentLayout(latent.name, level, layout, scale_layout, coordinate, points),
        )

    def _mass_points(
        self, latent: LatentVariable, layout: PredictorLayout, responses: Sequence[ResponseLayout]
    ) -> MassPoints | None:
        """Return the distribution of a latent variable that lives on mass points.

        Its locations are reported as deviations from their mean, in place of their coefficients.
        """
        found = [c for c in self._graph.classes if c.points and f"`{c.name}`" in _factors_of(latent)]
        if not found or latent.distribution.name != "none":
            return None
        (membership,) = [r for r in responses if r.name == found[0].name]
        own = [k for k, name in enumerate(layout.columns) if name.startswith(f"{found[0].name}[T.")]
        places = layout.numbered.coefficient[own]
        points = MassPoints(
            np.concatenate([[-1], places]).astype(np.intp),
            np.concatenate([p.numbered.coefficient for p in membership.predictors]),
        )
        rows = self._coefficients.rows
        rows[:] = [row for row in rows if row.place not in [(int(place),) for place in places]]
        which = len(self.points)
        self.points.append(points)
        rows += [
            ParameterRow(f"{found[0].name}[{k + 1}]", "location", latent.name, "mu", place=(which, k))
            for k in range(len(points.location))
        ]
        return points

    def ratios(self, blocks: Sequence[tuple[RandomBlock, list[int]]]) -> tuple[ResponsePlan, ...]:
        """Return the densities of coordinates that are not normal; to be called after `latents`.

        Parameters
        ----------
        blocks : sequence of (RandomBlock, list of int)
            Random effects and their coordinates.
        """
        plans: list[ResponsePlan] = []
        for latent in self._graph.latents:
            if latent.distribution.name not in ("normal", "none") and latent.name in self._disturbed:
                level = self._position[latent.level]
                place = [self.drafts[level].place(latent.name)]
                plans += self._ratio(latent.distribution, latent.name, level, place, latent.span)
        for block, coordinates in blocks:
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
        self, name: str, responses: Sequence[Observed], layouts: Sequence[ResponseLayout]
    ) -> tuple[LatentPlan, LatentLayout]:
        """Return a covariate as a latent variable: what was observed, or what its own regression says."""
        (response,) = (m.response for m in self._graph.missing if m.name == name)
        at = [observed.response.name for observed in responses].index(response)
        observed, layout = responses[at], layouts[at]
        predictors = {p.name: p for p in layout.predictors}
        if set(predictors) != {"mu", "sigma"} or not observed.family.is_quadratic(0):
            raise DataError(
                Problem(
                    f"{name} needs a Gaussian or categorical {response!r}, not the family "
                    f"{observed.family.name!r}",
                    observed.response.span,
                )
            )
        level = self._position[observed.response.level]
        rows = self._cluster_rows[level]
        values = np.full(len(rows), np.nan)
        values[at_level(self._tree, observed.cluster, level)] = observed.encoded.y[:, 0]
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
        owner = Owner(latent.name, predictor, written(latent.name, predictor), rows, len(rows))
        intercept = bool(model.intercept) if model.parameter == "mu" else model.intercept is not False
        # without an intercept of its own the mean of a latent variable is 0 in the first category
        as_if = model.parameter == "mu" and not intercept
        design = self._table.design(model.fixed_terms, intercept, rows, as_if_intercept=as_if)
        problems = collinear(design.matrix, design.names, owner.written, model.span)
        if problems:
            raise DataError(problems)
        return self._predictors.make(owner, model, design, True, 0.0, 0.0)


def _factors_of(latent: LatentVariable) -> set[str]:
    return {factor for model in latent.predictors for term in model.terms for factor in term.factors}


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
