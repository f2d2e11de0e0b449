"""The log-likelihood of models whose responses are all Gaussian, from sufficient statistics.

Where slopes and standard deviations are the same for many clusters, the log-likelihood of those is

    -n/2 (k log 2 pi + log |Sigma| + tr(Sigma^-1 S)),

S the mean cross-product of residuals. An evaluation costs the same for any number of clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from glamm.compile.plan import Plan
from glamm.inference.discrete import DiscreteObjective, objective_for
from glamm.inference.objective import Objective
from glamm.inference.patterns import Configuration, Pattern, configurations
from glamm.inference.structure import Moments, Structure

Array = NDArray[np.float64]

__all__ = ["GaussianObjective", "objective_of"]

LOG_2PI = float(np.log(2.0 * np.pi))


def objective_of(
    plan: Plan, points: int | Sequence[int] = 7, threads: int | None = None
) -> GaussianObjective | DiscreteObjective | Objective:
    """Return the log-likelihood of a plan, in closed form or as sums over classes where that is shorter."""
    found = configurations(plan) if _is_gaussian(plan) else None
    return objective_for(plan, points, threads) if found is None else GaussianObjective(plan, found, threads)


def _is_gaussian(plan: Plan) -> bool:
    """Return whether all of a plan with one level is Gaussian, with something random or covarying in it."""
    (level, *above) = plan.levels
    if above or level.group is not None or plan.memberships or plan.ratios:
        return False
    if not len(level.factor) and not plan.residual_covariances:
        return False
    terms = [t for latent in plan.latents for t in latent.predictor.terms]
    for response in plan.responses:
        family = response.family
        names = [predictor.name for predictor in family.predictors(response.encoded)]
        if names != ["mu", "sigma"] or not family.is_quadratic(0) or response.channels is not None:
            return False
        if response.weight is not None or response.predictors[1].is_random:
            return False
        terms += response.predictors[0].terms
    scales = [latent.scale for latent in plan.latents if latent.scale is not None]
    if any(len(term.latents) > 1 for term in terms) or any(scale.is_random for scale in scales):
        return False
    return _rows_are_clusters(plan)


def _rows_are_clusters(plan: Plan) -> bool:
    """Return whether units with residual covariances are those that share a cluster, one a response."""
    joined = sorted({r for c in plan.residual_covariances for r in (c.first, c.second)})
    row = np.full(plan.levels[0].clusters, -1, dtype=np.intp)
    for r in joined:
        response = plan.responses[r]
        assert response.row is not None
        if np.any(response.cluster[1:] == response.cluster[:-1]):
            return False
        before = row[response.cluster]
        if np.any((before >= 0) & (before != response.row)):
            return False
        row[response.cluster] = response.row
    return True


class GaussianObjective:
    """Log-likelihood of a plan from sufficient statistics.

    Parameters
    ----------
    plan : Plan
    found : list of Configuration
    threads : int, optional
        Of the engine, for what is about single clusters.
    """

    exact = True

    def __init__(self, plan: Plan, found: list[Configuration], threads: int | None = None) -> None:
        self.plan = plan
        self.n_parameters = plan.n_parameters
        self.points: tuple[int, ...] = (1,)
        self.n_clusters = plan.levels[0].clusters
        self._threads = threads
        self._parts = [(Structure(plan, one), one.patterns) for one in found]

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Latent coordinates of each level that are integrated one inside the other."""
        return tuple(len(level.factor) for level in self.plan.levels)

    def information(self, theta: Array) -> None:
        """Return None: differences of the gradient cost little."""
        del theta

    def place_nodes(self, theta: Array) -> bool:
        """Return False: there are no nodes."""
        del theta
        return False

    # ------------------------------------------------ all clusters together

    def value(self, theta: Array) -> float:
        """Return the log-likelihood; -inf where it cannot be computed."""
        return self.value_and_gradient(theta)[0]

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, shape (n_parameters,)."""
        theta = np.asarray(theta, float)
        value, gradient = 0.0, np.zeros(self.n_parameters)
        failed = -np.inf, np.full(self.n_parameters, np.nan)
        for structure, patterns in self._parts:
            at = structure.moments(theta)
            if not (np.isfinite(at.covariance).all() and np.isfinite(at.mean).all()):
                return failed
            mean, covariance = np.zeros_like(at.mean), np.zeros_like(at.covariance)
            for pattern in patterns:
                found = _add_pattern(pattern, at, mean, covariance)
                if not np.isfinite(found):
                    return failed
                value += found
            gradient += structure.pull(theta, at, mean, covariance)
        return value, gradient

    def expected_information(self, theta: Array) -> Array:
        """Return the expected information given the covariates, shape (n_parameters, n_parameters)."""
        theta = np.asarray(theta, float)
        total = np.zeros((self.n_parameters, self.n_parameters))
        for structure, patterns in self._parts:
            at = structure.moments(theta)
            mean, covariance = structure.slopes(theta, at)
            for pattern in patterns:
                own = pattern.present
                k = len(own)
                inverse = np.linalg.inv(at.covariance[np.ix_(own, own)])
                turned = inverse @ covariance[:, own[:, None], own]
                flat = turned.reshape(len(turned), -1)
                total += 0.5 * pattern.weight * flat @ np.swapaxes(turned, 1, 2).reshape(len(turned), -1).T
                means = pattern.mean[k:]
                squares = pattern.cross[k:, k:] + pattern.weight * np.outer(means, means)
                slope = mean[:, own]
                weighted = inverse @ slope @ squares
                total += slope.reshape(len(slope), -1) @ weighted.reshape(len(slope), -1).T
        return total

    @property
    def integration(self) -> str:
        """How latent variables are integrated in fewer dimensions: not at all."""
        return ""

    def accept(self) -> None:
        """Do nothing: there are no modes to keep."""

    def with_points(self, points: int | Sequence[int]) -> GaussianObjective:
        """Return the same: it is exact."""
        return self

    def factors(self, theta: Array) -> list[Array]:
        """Return the Cholesky factor of the level's latent covariance matrix, shape (q, q)."""
        return self._engine.factors(theta)

    # ------------------------------------------------ single clusters

    @cached_property
    def _engine(self) -> Objective:
        return Objective(self.plan, 1, self._threads)

    def cluster_logliks(self, theta: Array) -> Array:
        """Return the log-likelihood of each cluster, not weighted, shape (clusters,)."""
        return self._engine.cluster_logliks(theta)

    def cluster_scores(self, theta: Array) -> Array:
        """Return the gradient of each cluster's weighted term, shape (clusters, parameters)."""
        return self._engine.cluster_scores(theta)

    def shares(self, theta: Array) -> list[Array]:
        """Return the probability of every cluster among its alternatives: 1."""
        return self._engine.shares(theta)

    def posterior(self, theta: Array) -> list[tuple[Array, Array]]:
        """Return posterior means (clusters, q) and covariances (clusters, q, q) of the latent variables."""
        return self._engine.posterior(theta)


def _add_pattern(pattern: Pattern, at: Moments, mean: Array, covariance: Array) -> float:
    """Return the log-likelihood of a pattern; add its adjoints to those of mean and covariance."""
    own, n = pattern.present, pattern.weight
    k = len(own)
    if n == 0.0:
        return 0.0
    everything = k == len(at.covariance)
    sigma = at.covariance if everything else at.covariance[np.ix_(own, own)]
    slope = at.mean if everything else at.mean[own]
    lower, failed = dpotrf(sigma, lower=1)
    if failed:
        return -np.inf
    # the lower triangle of the inverse, zeros above it
    triangle, _ = dpotri(lower, lower=1)
    inverse = triangle + triangle.T
    inverse.flat[:: k + 1] *= 0.5
    # residuals are responses less columns: (I, -slope) times both
    error = pattern.mean[:k] - slope @ pattern.mean[k:]
    crossed = pattern.cross[:k] - slope @ pattern.cross[k:]
    squares = crossed[:, :k] - crossed[:, k:] @ slope.T + n * error[:, None] * error
    weighted = inverse @ squares
    loglik = -0.5 * (n * (k * LOG_2PI + 2.0 * np.log(np.diagonal(lower)).sum()) + float(np.trace(weighted)))
    to_mean = inverse @ (crossed[:, k:] + n * error[:, None] * pattern.mean[k:])
    to_covariance = 0.5 * (weighted @ inverse - n * inverse)
    if everything:
        mean += to_mean
        covariance += to_covariance
    else:
        mean[own] += to_mean
        covariance[np.ix_(own, own)] += to_covariance
    return float(loglik)
