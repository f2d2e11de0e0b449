"""From the optimum of a plan to a result: numbers meet their names again."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout, Lowered, Plan, ResponseLayout
from glamm.errors import GlammError
from glamm.graph import FamilySpec
from glamm.inference import Missing, Objective, Optimum, Status
from glamm.inference.covariance import opg, sandwich
from glamm.results.covariance import check_covariance, delta_method
from glamm.results.facts import Facts, LevelFact, ResponseFact
from glamm.results.newdata import new_rows
from glamm.results.posterior import LevelPosterior
from glamm.results.predict import ResponseRows
from glamm.results.result import Result

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["FittedSource", "facts_of", "fitted_result"]


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
    def responses(self) -> tuple[ResponseLayout, ...]:
        """How the responses are made of data."""
        return self.lowered.responses

    @property
    def levels(self) -> tuple[LevelLayout, ...]:
        """The levels of clusters."""
        return self.lowered.levels

    # ------------------------------------------------ uncertainty

    def _objective(self) -> Objective:
        return Objective(self.lowered.plan, self.optimum.points, threads=self.threads)

    @cached_property
    def _scores(self) -> Array:
        return self._objective().cluster_scores(self.theta)

    def _frequencies(self) -> Array | None:
        """Return the frequency weights of the highest clusters, shape (clusters,), or None.

        Without groups the rows are the clusters, so their weights count copies of clusters.
        """
        top = self.lowered.plan.levels[-1]
        if self.lowered.levels[-1].group is not None:
            return top.weight
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
            if row.kind == "cor" and abs(values[k]) > 1.0 - 1e-9:
                # its slope vanishes at -1 and 1, so the delta method would call it certain
                covariance[k, :] = covariance[:, k] = np.nan
            known = bool(np.isfinite(covariance[k, k]))
            involved = [missing[p] for p in np.flatnonzero(jacobian[k]).tolist() if p in missing]
            reasons.append("" if known else _reason(row.kind, float(values[k]), involved))
        return covariance, tuple(reasons)

    def posterior(self) -> tuple[LevelPosterior, ...]:
        """Return the posterior moments of the random effects."""
        return self._posterior

    @cached_property
    def _posterior(self) -> tuple[LevelPosterior, ...]:
        # one point has no spread; two give the mean and covariance of a normal posterior exactly
        points = tuple(max(p, 2) for p in self.optimum.points)
        objective = self._objective().with_points(points)
        return tuple(LevelPosterior(m, c) for m, c in objective.posterior(self.theta))

    def labels(self) -> tuple[pd.Index, ...]:
        """Return the names of the clusters."""
        return tuple(
            pd.Index(list(level.labels), name=level.name) if level.group is not None else pd.RangeIndex(0)
            for level in self.lowered.levels
        )

    def psi(self) -> tuple[Array, ...]:
        """Return the covariance matrices of the random effects."""
        table = self.lowered.parameters
        factors = [table.latent_factor(self.theta, k) for k in range(len(table.factors))]
        return tuple(factor @ factor.T for factor in factors) or (np.zeros((0, 0)),)

    # ------------------------------------------------ rows

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of the fit, or of new data."""
        if newdata is not None:
            return new_rows(self.responses, self.lowered.levels, newdata)
        found = []
        for layout, plan in zip(self.responses, self.lowered.plan.responses, strict=True):
            cluster = plan.cluster
            clusters = []
            for level in self.lowered.plan.levels:
                clusters.append(cluster)
                cluster = cluster if level.parent is None else level.parent[cluster]
            found.append(
                ResponseRows(
                    layout.name,
                    layout.family,
                    layout.categories,
                    plan.predictors,
                    tuple(clusters),
                    layout.rows,
                )
            )
        return tuple(found), self.index

    def observed(self) -> tuple[Array, ...]:
        """Return the encoded response values."""
        return tuple(response.encoded.y for response in self.lowered.plan.responses)

    def __getstate__(self) -> dict[str, Any]:
        # what can be computed again is left out of pickles
        return {key: self.__dict__[key] for key in ("lowered", "optimum", "index", "threads")}


def _reason(kind: str, value: float, involved: list[Missing]) -> str:
    """Return why a reported parameter has no standard error."""
    if kind == "sd" and value == 0.0:
        return "0, on the boundary: no standard error"
    if kind == "cor" and np.isnan(value):
        return "undefined, as a standard deviation is 0: no standard error"
    if kind == "cor" and abs(value) > 1.0 - 1e-9:
        return f"{value:.0f}, on the boundary: no standard error"
    why = (involved or [Missing.NOT_COMPUTED])[0]
    return f"no standard error: {why.value}"


def _units(plan: Plan) -> float:
    """Return the number of response units, frequency weights of all levels counted."""
    above: Array | None = None
    for level in reversed(plan.levels):
        own = level.weight
        inherited = None if above is None or level.parent is None else above[level.parent]
        parts = [part for part in (own, inherited) if part is not None]
        above = np.prod(parts, axis=0) if parts else None
    total = 0.0
    for response in plan.responses:
        weight = np.ones(len(response.cluster)) if response.weight is None else response.weight
        total += float(weight.sum() if above is None else weight @ above[response.cluster])
    return total


def facts_of(lowered: Lowered, optimum: Optimum) -> Facts:
    """Return the plain facts of a fit."""
    responses = []
    for response, layout in zip(lowered.graph.responses, lowered.responses, strict=True):
        spec = response.family
        link = spec.link or layout.family.link.name
        responses.append(
            ResponseFact(
                layout.name,
                str(FamilySpec(spec.name, link, spec.link_args, spec.options)),
                len(layout.rows),
                tuple((p.name, p.label) for p in layout.predictors),
                layout.categories,
                "sigma" if layout.family.is_quadratic(0) else "",
            )
        )
    levels = tuple(
        LevelFact(layout.name, plan.clusters, layout.latents)
        for layout, plan in zip(lowered.levels, lowered.plan.levels, strict=True)
    )
    return Facts(
        formula=lowered.graph.source.strip(),
        responses=tuple(responses),
        levels=levels,
        nobs=_units(lowered.plan),
        n_parameters=optimum.n_free,
        log_likelihood=float(optimum.loglik),
        points=tuple(optimum.points),
        rule=optimum.rule,
        integration_error=optimum.integration_error,
        converged=optimum.converged,
        status=optimum.status.value,
        gradient=float(optimum.relative_gradient),
        condition=float(optimum.condition),
        interrupted=optimum.status is Status.INTERRUPTED,
        notes=lowered.messages,
        integration=optimum.integration,
    )


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
