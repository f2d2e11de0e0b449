"""From the optimum of a plan to a result: numbers meet their names again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout, Lowered
from glamm.compile.classes import ClassStates
from glamm.compile.factors import fill_factor
from glamm.errors import GlammError
from glamm.graph import ROW
from glamm.inference import Missing, Objective, Optimum
from glamm.inference.covariance import opg, sandwich
from glamm.inference.discrete import DiscreteObjective, objective_for
from glamm.inference.forms import clusters_of
from glamm.protocols import LatentRatio, SetFamily
from glamm.protocols.latents import natural
from glamm.results.covariance import check_covariance, delta_method
from glamm.results.facts_of import facts_of
from glamm.results.fit_measures import FitMeasures, fit_measures
from glamm.results.forms import Forms, LevelPosterior, evaluate_forms
from glamm.results.laws import CoordinateLaw
from glamm.results.moments import implied_moments
from glamm.results.newdata import new_rows
from glamm.results.posterior import Clusters, Scores, latent_scores
from glamm.results.result import Result
from glamm.results.rows import Alternatives, Branches, MembershipRows, ModelLayout, ResponseRows
from glamm.results.standardized import Standardized, standardized

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["FittedSource", "fitted_result"]


class FittedSource:
    """The source of a result that still has its plan.

    Parameters
    ----------
    lowered : Lowered
    optimum : Optimum
    index : pandas.Index
        Labels of the rows of the data.
    threads : int or None
    """

    def __init__(self, lowered: Lowered, optimum: Optimum, index: pd.Index, threads: int | None) -> None:
        self.lowered = lowered
        self.optimum = optimum
        self.index = index
        self.threads = threads

    @property
    def theta(self) -> Array:
        """Optimised parameters."""
        return self.optimum.theta

    @property
    def layout(self) -> ModelLayout:
        """How everything in the model is made of data."""
        lowered = self.lowered
        return ModelLayout(
            lowered.responses,
            lowered.latents,
            lowered.memberships,
            lowered.classes,
            lowered.levels,
            lowered.graph.missing,
        )

    @property
    def levels(self) -> tuple[LevelLayout, ...]:
        """The levels of clusters."""
        return self.lowered.levels

    # ------------------------------------------------ uncertainty

    def _objective(self, points: tuple[int, ...]) -> Objective | DiscreteObjective:
        objective = objective_for(self.lowered.plan, points, self.threads)
        objective.place_nodes(self.theta)
        return objective

    @cached_property
    def _scores(self) -> Array:
        return self._objective(self.optimum.points).cluster_scores(self.theta)

    def _frequencies(self) -> Array | None:
        """Return the frequency weights of the highest clusters, shape (clusters,), or None.

        Without groups the rows are the clusters, so their weights count copies of clusters.
        """
        top = self.lowered.plan.levels[-1]
        if self.lowered.levels[-1].group is not None:
            if top.weight is None or top.group is None:
                return top.weight
            # scores are of clusters of the data, of which each class has a copy
            return np.asarray(top.weight[np.unique(top.group, return_index=True)[1]])
        weight = np.ones(top.clusters)
        for response in self.lowered.plan.responses:
            if response.weight is None:
                return None
            weight[response.cluster] = response.weight
        return weight

    def _theta_covariance(self, cov_type: str) -> Array:
        known = self.optimum.covariance
        if cov_type == "nonrobust":
            return known
        weight = self._frequencies()
        if cov_type == "robust":
            clusters = len(self._scores) if weight is None else float(weight.sum())
            if clusters < 2:
                raise GlammError("robust standard errors need at least two clusters of the highest level")
            return sandwich(known, self._scores, weight)
        scores = self._scores
        if weight is not None:
            # cluster scores hold the weight; a frequency weight counts the outer product once a copy
            scores = scores[weight > 0.0] / np.sqrt(weight[weight > 0.0])[:, None]
        return opg(scores, np.flatnonzero(np.isfinite(np.diagonal(known))))

    def covariance(self, cov_type: str) -> tuple[Array, tuple[str, ...]]:
        """Return the covariance matrix of the reported parameters and why some have none."""
        check_covariance(cov_type)
        table = self.lowered.parameters
        jacobian = table.jacobian(self.theta)
        covariance = delta_method(self._theta_covariance(cov_type), jacobian)
        values = table.natural(self.theta)
        missing = dict(self.optimum.missing)
        reasons = []
        for k, row in enumerate(table.rows):
            edge = row.kind == "cor" and abs(values[k]) > 1.0 - 1e-9
            undefined = row.kind == "derived" and not np.isfinite(values[k])
            if edge or undefined or (row.kind == "variance" and values[k] == 0.0):
                # the slope vanishes there, so the delta method would call it certain
                covariance[k, :] = covariance[:, k] = np.nan
            known = bool(np.isfinite(covariance[k, k]))
            involved = [missing[p] for p in np.flatnonzero(jacobian[k]).tolist() if p in missing]
            reasons.append("" if known else _reason(row.kind, float(values[k]), involved))
        return covariance, tuple(reasons)

    def factors(self) -> tuple[Array, ...]:
        """Return the Cholesky factors of the latent covariance matrices."""
        table = self.lowered.parameters
        return tuple(table.latent_factor(self.theta, k) for k in range(len(table.factors)))

    @cached_property
    def _moments_objective(self) -> Objective:
        # one point has no spread; two give the mean and covariance of a normal posterior exactly
        points = tuple(max(p, 2) for p in self.optimum.points)
        objective = Objective(self.lowered.plan, points, threads=self.threads)
        objective.place_nodes(self.theta)
        return objective

    def posterior(self) -> tuple[LevelPosterior, ...]:
        """Return the posterior moments of the standard coordinates."""
        return self._posterior

    @cached_property
    def _posterior(self) -> tuple[LevelPosterior, ...]:
        return tuple(LevelPosterior(m, c) for m, c in self._moments_objective.path_posterior(self.theta))

    def shares(self) -> tuple[Array, ...]:
        """Return the posterior probability of each cluster among its classes."""
        return self._shares

    @cached_property
    def _shares(self) -> tuple[Array, ...]:
        if not self.lowered.classes:
            return tuple(np.ones(level.clusters) for level in self.lowered.plan.levels)
        return tuple(self._moments_objective.shares(self.theta))

    def clusters(self) -> tuple[Clusters, ...]:
        """Return the clusters of the data at each level."""
        found: list[Clusters] = []
        above = np.ones(1)
        for level in reversed(range(len(self.levels))):
            plan, layout = self.lowered.plan.levels[level], self.levels[level]
            parent = np.zeros(plan.clusters, dtype=np.intp) if plan.parent is None else plan.parent
            above = self.shares()[level] * above[parent]
            if layout.group is None:
                found.insert(0, Clusters(pd.RangeIndex(plan.clusters), np.arange(plan.clusters), above))
                continue
            distinct = list(dict.fromkeys(layout.labels))
            if layout.name == ROW:
                # in the order of the data
                distinct.sort()
                index = self.index[distinct]
            else:
                index = pd.Index(distinct, name=layout.name)
            place = {label: k for k, label in enumerate(distinct)}
            copy_of = np.array([place[label] for label in layout.labels], dtype=np.intp)
            found.insert(0, Clusters(index, copy_of, above))
        return tuple(found)

    # ------------------------------------------------ rows

    @cached_property
    def _forms(self) -> Forms:
        """Forms of the latent variables, and of the predictors of responses and class variables."""
        return self._forms_at(self.theta)

    def _forms_at(self, theta: Array) -> Forms:
        plan = self.lowered.plan
        latents = [
            (latent, clusters_of(plan, np.arange(plan.levels[latent.level].clusters), latent.level))
            for latent in plan.latents
        ]
        owners = [
            (unit.predictors, clusters_of(plan, unit.cluster)) for unit in plan.responses + plan.memberships
        ]
        factors = [fill_factor(level, theta) for level in plan.levels]
        return evaluate_forms(theta, factors, latents, owners)

    def latent_scores(self) -> tuple[Scores, ...]:
        """Return the posterior moments of the named latent variables."""
        plans = self.lowered.plan.latents
        named = [(layout.name, plan) for layout, plan in zip(self.lowered.latents, plans, strict=True)]
        return tuple(
            latent_scores(self._forms, level, named, moments)
            for level, moments in enumerate(self.posterior())
        )

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of the fit, or of new data."""
        if newdata is not None:
            return new_rows(self.layout, self.theta, self.factors(), self.shares(), newdata)
        lowered = self.lowered
        found = []
        for k, layout in enumerate(lowered.responses):
            unit, rows, lowest = self._shown(k)
            clusters = _known(clusters_of(lowered.plan, lowest))
            share = np.ones(len(unit))
            for own, cluster in zip(self.shares(), clusters, strict=True):
                share = share * own[cluster]
            found.append(
                ResponseRows(
                    layout.name,
                    layout.family,
                    layout.categories,
                    self._forms.space,
                    tuple(form.take(unit) for form in self._forms.predictors[k]),
                    clusters,
                    rows,
                    self._memberships(clusters),
                    share,
                    unit,
                    self._alternatives(k),
                )
            )
        return tuple(found), self.index

    def _shown(self, response: int) -> tuple[Index, Index, Index]:
        """Return the units of a response as rows of the data show them: unit, row and lowest cluster.

        A row shows the unit of a higher level that belongs to its cluster, if it enters the likelihood.
        """
        lowered = self.lowered
        layout, plan = lowered.responses[response], lowered.plan.responses[response]
        of_response = lowered.graph.responses[response].level
        if of_response == ROW:
            return np.arange(len(layout.rows)), self._origin(layout.rows), plan.cluster
        rows, lowest = self._origin(lowered.rows), lowered.cluster
        level = [own.name for own in lowered.levels].index(of_response)
        unit_of = np.full(lowered.plan.levels[level].clusters, -1, dtype=np.intp)
        unit_of[_known(clusters_of(lowered.plan, plan.cluster))[level]] = np.arange(len(plan.cluster))
        unit = unit_of[_known(clusters_of(lowered.plan, lowest))[level]]
        kept = np.flatnonzero(unit >= 0)
        return unit[kept], rows[kept], lowest[kept]

    def _alternatives(self, response: int) -> Alternatives | None:
        """Return the alternatives of a response whose units are sets."""
        layout = self.lowered.responses[response]
        if not isinstance(layout.family, SetFamily) or layout.alternatives is None:
            return None
        sizes = layout.family.sizes(self.lowered.plan.responses[response].encoded.y)
        return Alternatives.of(sizes, self._origin(layout.alternatives))

    def _origin(self, rows: Index) -> Index:
        """Return the rows of the data that rows of the extended data repeat."""
        origin = self.lowered.origin
        return rows if origin is None else origin[rows]

    def branches(self) -> tuple[Branches, ...]:
        """Return the clusters of the plan and their membership models."""
        plan = self.lowered.plan
        found = []
        for level, own in enumerate(self.clusters()):
            clusters = clusters_of(plan, np.arange(plan.levels[level].clusters), level)
            found.append(
                Branches(
                    plan.levels[level].parent,
                    own.copy_of,
                    tuple(clusters),
                    self._forms.space,
                    self._memberships(clusters),
                )
            )
        return tuple(found)

    def coordinate_laws(self) -> tuple[CoordinateLaw, ...]:
        """Return the distributions of the standard coordinates that are not normal."""
        laws = []
        for ratio in self.lowered.plan.ratios:
            assert isinstance(ratio.family, LatentRatio)
            coordinate = ratio.predictors[0].coordinate
            assert coordinate is not None
            # the parameters of a distribution are the same in all clusters
            linear = [
                np.array(np.ravel(p.offset)[0] + p.design[0] @ self.theta[p.coefficient])
                for p in ratio.predictors[1:]
            ]
            found = natural(ratio.family.distribution.parameters, linear)
            laws.append(CoordinateLaw(*coordinate, ratio.family.distribution, tuple(map(float, found))))
        return tuple(laws)

    def residual_covariances(self) -> tuple[tuple[int, int, float], ...]:
        """Return pairs of responses, by position, and the covariance of their residuals in a row."""
        return tuple(
            (pair.first, pair.second, float(self.theta[pair.index]) if pair.index >= 0 else pair.held)
            for pair in self.lowered.plan.residual_covariances
        )

    def _memberships(self, clusters: Sequence[Index | None]) -> tuple[MembershipRows, ...]:
        """Return the membership models in rows of given clusters."""
        lowered = self.lowered
        found = []
        for m, (layout, unit) in enumerate(zip(lowered.memberships, lowered.plan.memberships, strict=True)):
            level = self._level_of(lowered.classes[m])
            cluster = clusters[level]
            if cluster is None:
                continue
            unit_of = np.full(lowered.plan.levels[level].clusters, -1, dtype=np.intp)
            unit_of[_known(clusters_of(lowered.plan, unit.cluster))[level]] = np.arange(len(unit.cluster))
            rows = unit_of[cluster]
            forms = self._forms.predictors[len(lowered.responses) + m]
            found.append(
                MembershipRows(
                    level,
                    layout.family,
                    layout.categories,
                    unit.encoded.y[:, 0].astype(np.intp)[rows],
                    tuple(form.take(rows) for form in forms),
                )
            )
        return tuple(found)

    def _level_of(self, states: ClassStates) -> int:
        return [level.name for level in self.levels].index(states.variable.level)

    def fit_measures(self, parameters: int) -> FitMeasures | GlammError:
        """Return the fit measures, or why there are none."""
        try:
            implied = implied_moments(self.lowered, self.theta, self._forms)
            return fit_measures(
                implied.responses,
                implied.covariates,
                float(self.optimum.loglik),
                parameters,
                implied.coefficients,
                implied.covariance,
            )
        except GlammError as error:
            return error

    def standardized(self, cov_type: str) -> pd.DataFrame:
        """Return the standardised parameters."""
        return self._standardized.frame(self._theta_covariance(cov_type))

    @cached_property
    def _standardized(self) -> Standardized:
        return standardized(self.lowered, self.theta, self._forms_at)

    def observed(self) -> tuple[Array, ...]:
        """Return the encoded response values."""
        return tuple(response.encoded.y for response in self.lowered.plan.responses)

    def __getstate__(self) -> dict[str, Any]:
        # what can be computed again is left out of pickles
        return {key: self.__dict__[key] for key in ("lowered", "optimum", "index", "threads")}


def _known(clusters: Sequence[Index | None]) -> tuple[Index, ...]:
    """Return the clusters of rows that lie in one of every level."""
    return tuple(cluster for cluster in clusters if cluster is not None)


def _reason(kind: str, value: float, involved: list[Missing]) -> str:
    """Return why a reported parameter has no standard error."""
    if kind in ("sd", "variance") and value == 0.0:
        return "0, on the boundary: no standard error"
    if kind == "derived" and not np.isfinite(value):
        return "not defined at the estimates: no standard error"
    if kind == "cor" and np.isnan(value):
        return "undefined, as a standard deviation is 0: no standard error"
    if kind == "cor" and abs(value) > 1.0 - 1e-9:
        return f"{value:.0f}, on the boundary: no standard error"
    why = (involved or [Missing.NOT_COMPUTED])[0]
    return f"no standard error: {why.value}"


def fitted_result(
    lowered: Lowered,
    optimum: Optimum,
    index: pd.Index,
    *,
    threads: int | None = None,
    cov_type: str = "nonrobust",
) -> Result:
    """Return the result of a fit.

    Parameters
    ----------
    lowered : Lowered
    optimum : Optimum
    index : pandas.Index
        Labels of the rows of the data.
    threads : int, optional
        For what is computed later.
    cov_type : {"nonrobust", "robust", "opg"}
    """
    source = FittedSource(lowered, optimum, index, threads)
    values = lowered.parameters.natural(optimum.theta)
    return Result(facts_of(lowered, optimum), lowered.parameters.rows, values, source, cov_type=cov_type)
