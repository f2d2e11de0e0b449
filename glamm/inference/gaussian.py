"""The log-likelihood of models whose responses are all Gaussian, from sufficient statistics.

Where slopes and standard deviations are the same for many clusters, the log-likelihood of those is

    -n/2 (k log 2 pi + log |Sigma| + tr(Sigma^-1 S)),

S the mean cross-product of residuals. An evaluation costs the same for any number of clusters. With higher
levels this is given their coordinates, which are integrated in `glamm.inference.gaussian_levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from glamm.compile.plan import Plan
from glamm.inference.discrete import DiscreteObjective, objective_for
from glamm.inference.gaussian_atoms import with_atoms
from glamm.inference.gaussian_levels import Levels, PatternSlopes
from glamm.inference.objective import Objective
from glamm.inference.pattern_sums import Pattern
from glamm.inference.patterns import Configuration, configurations
from glamm.inference.structure import Moments, Structure

Array = NDArray[np.float64]

__all__ = ["GaussianObjective", "objective_of"]

MOST_ENTRIES = 50_000_000
"""Numbers that matrices of single clusters may have together."""

LOG_2PI = float(np.log(2.0 * np.pi))


def objective_of(
    plan: Plan, points: int | Sequence[int] = 7, threads: int | None = None
) -> GaussianObjective | DiscreteObjective | Objective:
    """Return the log-likelihood of a plan, in closed form or as sums over classes where that is shorter."""
    if _is_gaussian(plan):
        unweighted = all(response.weight is None for response in plan.responses)
        for below in (False, True):
            own = with_atoms(plan) if below else plan if unweighted and _rows_are_clusters(plan) else None
            found = None if own is None or _is_large(own) else configurations(own)
            if own is not None and found is not None:
                return GaussianObjective(plan, found, threads, own)
    return objective_for(plan, points, threads)


def _is_large(plan: Plan) -> bool:
    """Return whether the matrices of the clusters above the lowest level take too much memory."""
    size = sum(len(level.factor) for level in plan.levels[1:])
    return len(plan.levels) > 1 and plan.levels[1].clusters * size**2 > MOST_ENTRIES


def _is_gaussian(plan: Plan) -> bool:
    """Return whether all of a plan is Gaussian, with something random or covarying in it."""
    if any(level.group is not None for level in plan.levels) or plan.memberships or plan.ratios:
        return False
    if not any(len(level.factor) for level in plan.levels) and not plan.residual_covariances:
        return False
    terms = [t for latent in plan.latents for t in latent.predictor.terms]
    for response in plan.responses:
        family = response.family
        names = [predictor.name for predictor in family.predictors(response.encoded)]
        if names != ["mu", "sigma"] or not family.is_quadratic(0) or response.channels is not None:
            return False
        if response.predictors[1].is_random:
            return False
        terms += response.predictors[0].terms
    scales = [latent.scale for latent in plan.latents if latent.scale is not None]
    return all(len(term.latents) == 1 for term in terms) and not any(scale.is_random for scale in scales)


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
        Of `atoms`.
    threads : int, optional
        Of the engine, for what is about single clusters.
    atoms : Plan
        The same with a level of atoms below, or the plan itself.
    """

    exact = True
    summed = True

    def __init__(self, plan: Plan, found: list[Configuration], threads: int | None, atoms: Plan) -> None:
        self.plan = plan
        self.n_parameters = plan.n_parameters
        self.points: tuple[int, ...] = (1,) * len(plan.levels)
        self.n_clusters = plan.levels[-1].clusters
        self._threads = threads
        self._parts = [(Structure(atoms, one), one.patterns) for one in found]
        random = any(len(level.factor) for level in atoms.levels[1:])
        self._levels = Levels(atoms) if random else None

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
        levels = self._levels
        linear, square = (np.zeros((0, 0)), np.zeros((0, 0, 0))) if levels is None else levels.empty()
        done = []
        for structure, patterns in self._parts:
            at = structure.moments(theta)
            if not all(np.isfinite(part).all() for part in (at.covariance, at.mean, at.above)):
                return failed
            mean, covariance = np.zeros_like(at.mean), np.zeros_like(at.covariance)
            slopes = []
            for pattern in patterns:
                found, inverse = _add_pattern(pattern, at, mean, covariance)
                if not np.isfinite(found):
                    return failed
                value += found
                if levels is not None:
                    slopes.append(PatternSlopes.of(pattern, at, inverse))
                    slopes[-1].add(linear, square)
            done.append((structure, at, mean, covariance, slopes))
        if levels is not None:
            integral, linear, square = levels.integrate(linear, square)
            if not np.isfinite(integral):
                return failed
            value += integral
        for structure, at, mean, covariance, slopes in done:
            above = np.zeros_like(at.above)
            for own in slopes:
                own.pull(linear, square, mean, covariance, above)
            gradient += structure.pull(theta, at, mean, covariance, above)
        return value, gradient

    def expected_information(self, theta: Array) -> Array | None:
        """Return the expected information given the covariates, shape (n_parameters, n_parameters).

        None with more than one level.
        """
        if self._levels is not None:
            return None
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


def _add_pattern(pattern: Pattern, at: Moments, mean: Array, covariance: Array) -> tuple[float, Array]:
    """Return the log-likelihood of a pattern and the inverse of its covariance matrix, shape (k, k).

    Its adjoints are added to those of mean and covariance.
    """
    own, n = pattern.present, pattern.weight
    k = len(own)
    if n == 0.0:
        return 0.0, np.zeros((k, k))
    everything = k == len(at.covariance)
    sigma = at.covariance if everything else at.covariance[np.ix_(own, own)]
    slope = at.mean if everything else at.mean[own]
    lower, failed = dpotrf(sigma, lower=1)
    if failed:
        return -np.inf, sigma
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
    return float(loglik), inverse
