"""The log-likelihood of a plan as a function of theta, with its exact gradient.

The chain rule in both directions: theta makes offsets and loadings of every unit, the engine returns
their adjoints, and those are summed back to theta. Offsets are linear in the coefficients and loadings
linear in the Cholesky factors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan, ResponsePlan
from glamm.inference.rules import product_rule
from glamm.kernels._block import evaluate
from glamm.kernels._engine import Engine
from glamm.kernels._lanes import MOST_COEFFICIENTS, Lanes
from glamm.kernels._products import crossed, rows_times, times_rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Objective"]

# below this many units one thread is faster than starting several
_THREADED_FROM = 20_000

# the vectorised engine keeps this many node values of a cluster at most, 64 bytes each in every thread
LANE_NODES = 2_000_000


class _Units:
    """One response: how theta makes its offsets and loadings, and how adjoints return."""

    def __init__(self, plan: ResponsePlan, starts: Sequence[int]) -> None:
        self.plan = plan
        self.n = len(plan.cluster)
        self.starts = starts
        self.channels = len(plan.predictors) if plan.channels is None else plan.channels.shape[1]
        latent = np.array([bool(p.loadings) for p in plan.predictors], dtype=bool)
        if plan.channels is None:
            self.active = np.flatnonzero(latent)
        else:
            fed = latent[plan.channels] & (plan.channels >= 0)
            self.active = np.flatnonzero(fed.any(axis=0))
        # which units of each active channel are fed by which predictor with a latent part
        self.sources = [self._find_sources(int(channel)) for channel in self.active]

    def offsets(self, theta: Array) -> Array:
        """Return the offsets of all channels, shape (K, n)."""
        plan = self.plan
        values = np.empty((len(plan.predictors), self.n))
        for row, predictor in zip(values, plan.predictors, strict=True):
            if predictor.design.shape[1]:
                rows_times(predictor.design, theta[predictor.coefficient], row)
                if np.any(predictor.offset):
                    row += predictor.offset
            else:
                row[:] = predictor.offset
        if plan.channels is None:
            return values
        chosen = values[plan.channels.T, np.arange(self.n)]
        chosen[plan.channels.T < 0] = 0.0
        return np.ascontiguousarray(chosen)

    def loadings(self, factors: Sequence[Array], width: int) -> Array:
        """Return the loadings of the active channels, shape (active, n, Q)."""
        a = np.empty((len(self.active), self.n, width))
        for row, sources in zip(a, self.sources, strict=True):
            filled: set[int] = set()
            for rows, predictor in sources:
                for loading in predictor.loadings:
                    start, factor = self.starts[loading.level], factors[loading.level]
                    for column, latent in zip(loading.design.T, loading.latent, strict=True):
                        # row `latent` of a lower triangle ends at its diagonal
                        for k in range(latent + 1):
                            target = row[:, start + k]
                            if start + k in filled or not isinstance(rows, slice):
                                if start + k not in filled:
                                    target[:] = 0.0
                                target[rows] += column[rows] * factor[latent, k]
                            else:
                                np.multiply(column, factor[latent, k], out=target)
                            filled.add(start + k)
            for unused in set(range(width)) - filled:
                row[:, unused] = 0.0
        return a

    def _find_sources(self, channel: int) -> list[tuple[slice | Index, PredictorPlan]]:
        plan = self.plan
        if plan.channels is None:
            return [(slice(None), plan.predictors[channel])]
        column = plan.channels[:, channel]
        found: list[tuple[slice | Index, PredictorPlan]] = []
        for index, predictor in enumerate(plan.predictors):
            if predictor.loadings:
                rows = np.flatnonzero(column == index)
                if len(rows) == self.n:
                    found.append((slice(None), predictor))
                elif len(rows):
                    found.append((rows, predictor))
        return found

    def predictor_adjoints(self, go: Array) -> Array:
        """Return adjoints of the predictors, shape (predictors, n), from those of the channels."""
        plan = self.plan
        if plan.channels is None:
            return go
        adjoint = np.zeros((len(plan.predictors) + 1, self.n))
        rows = np.arange(self.n)
        for channel, values in zip(plan.channels.T, go, strict=True):
            # the last row collects what unused channels give
            adjoint[channel, rows] += values
        return adjoint[:-1]

    def factor_adjoints(self, ga: Array, out: Sequence[Array]) -> None:
        """Add the adjoints of the Cholesky factors, one array (q, q) a level."""
        for row, sources in zip(ga, self.sources, strict=True):
            for rows, predictor in sources:
                for loading in predictor.loadings:
                    q = len(out[loading.level])
                    columns = slice(self.starts[loading.level], self.starts[loading.level] + q)
                    part = row[rows, columns]
                    sums = crossed(loading.design[rows], np.ones(len(part)), np.ascontiguousarray(part))
                    np.add.at(out[loading.level], loading.latent, sums)


class Objective:
    """Log-likelihood of a plan by nested adaptive quadrature.

    Parameters
    ----------
    plan : Plan
    points : int or sequence of int
        Gauss-Hermite nodes a latent coordinate, for all levels or one number a level (lowest first);
        1 is the Laplace approximation.
    threads : int, optional
        Default: one for small data, the machine's number of processors otherwise.

    Notes
    -----
    The modes around which the nodes lie are the only state. An evaluation starts them where `accept` last
    left them, so values do not depend on the path of rejected trial points.
    """

    def __init__(self, plan: Plan, points: int | Sequence[int] = 7, threads: int | None = None) -> None:
        self.plan = plan
        self.n_parameters = plan.n_parameters
        sizes = [len(level.factor) for level in plan.levels]
        self._starts = [int(s) for s in np.concatenate(([0], np.cumsum(sizes)))[:-1]]
        self._width = sum(sizes)
        self._units = [_Units(response, self._starts) for response in plan.responses]
        total = sum(units.n for units in self._units)
        self._threads = threads or (1 if total < _THREADED_FROM else os.cpu_count() or 1)
        self._tops = self._top_edges()
        self._fast = self._lanes()
        self._accepted = [np.zeros((level.clusters, q)) for level, q in zip(plan.levels, sizes, strict=True)]
        self._trial = self._accepted
        weight = plan.levels[-1].weight
        self._weight = np.ones(plan.levels[-1].clusters) if weight is None else weight
        self.points: tuple[int, ...] = ()
        self._set_points(points)

    # ------------------------------------------------ structure

    def _top_edges(self) -> list[Index]:
        """Return, for each level, the first cluster of each top-level cluster."""
        levels = self.plan.levels
        count = levels[-1].clusters
        edges = [np.arange(count + 1, dtype=np.intp)]
        top = np.arange(count, dtype=np.intp)
        for level in reversed(levels[:-1]):
            assert level.parent is not None
            top = top[level.parent]
            edges.insert(0, np.searchsorted(top, np.arange(count + 1)).astype(np.intp))
        return edges

    def _engine_levels(self) -> list[tuple[int, Index | None, Array | None, Index]]:
        return [
            (len(level.factor), level.parent, level.weight, edges)
            for level, edges in zip(self.plan.levels, self._tops, strict=True)
        ]

    def _engine_response(self, units: _Units) -> tuple[object, ...]:
        plan = units.plan
        clusters = self.plan.levels[0].clusters
        first = np.searchsorted(plan.cluster, np.arange(clusters + 1)).astype(np.intp)
        block = plan.family.kernel()
        block = plan.family if block is None else block
        quadratic = [plan.family.is_quadratic(int(channel)) for channel in units.active]
        return plan.encoded.y, first, plan.weight, units.channels, units.active, quadratic, block

    def _lanes(self) -> Lanes | None:
        """Return the vectorised engine where the model has the form it is made for."""
        level, units = self.plan.levels[0], self._units[0]
        response = units.plan
        if (
            len(self.plan.levels) + len(self._units) > 2
            or not 1 <= len(level.factor) <= MOST_COEFFICIENTS
            or response.weight is not None
        ):
            return None
        if units.channels != 1 or len(units.active) != 1 or not response.family.cumulant():
            return None
        y, cumulant, kernel = response.encoded.y, response.family.cumulant(), response.family.kernel()
        zero = np.zeros((1, units.n))
        if kernel is None:
            at_zero = response.family.block(y, list(zero))[0][0]
        else:
            at_zero = evaluate(kernel, y, zero)[0]
        constant = np.ravel(at_zero) + (y[:, 1] * np.log(2.0) if cumulant == "logistic" else 1.0)
        first = np.searchsorted(response.cluster, np.arange(level.clusters + 1)).astype(np.intp)
        return Lanes(y, first, level.weight, cumulant, constant, len(level.factor))

    def _set_points(self, points: int | Sequence[int]) -> None:
        levels = self.plan.levels
        counts = [points] * len(levels) if isinstance(points, int) else list(points)
        self.points = tuple(k if len(level.factor) else 1 for k, level in zip(counts, levels, strict=True))
        rules = [product_rule(len(v.factor), k) for v, k in zip(levels, self.points, strict=True)]
        self._engine: Lanes | Engine
        if self._fast is not None and self._fast.largest * len(rules[0][0]) <= LANE_NODES:
            self._engine = self._fast
        else:
            self._engine = Engine(self._engine_levels(), [self._engine_response(u) for u in self._units])
        self._engine.set_rule(rules)

    def with_points(self, points: int | Sequence[int]) -> Objective:
        """Return an objective of the same plan with another rule, its modes started from the present."""
        other = copy(self)
        other._fast = None if self._fast is None else self._fast.fork()
        other._accepted = other._trial = [mode.copy() for mode in self._accepted]
        other._set_points(points)
        return other

    @property
    def exact(self) -> bool:
        """Whether one point is exact: every latent part enters a quadratic log density."""
        return all(
            len(units.active) == 0
            or (len(units.active) == 1 and units.plan.family.is_quadratic(int(units.active[0])))
            for units in self._units
        )

    @property
    def n_clusters(self) -> int:
        """Number of top-level clusters."""
        return self.plan.levels[-1].clusters

    # ------------------------------------------------ evaluation

    def factors(self, theta: Array) -> list[Array]:
        """Return the Cholesky factor of each level's latent covariance matrix, shape (q, q)."""
        padded = np.append(theta, 0.0)
        return [padded[level.factor] for level in self.plan.levels]

    def _evaluate(self, theta: Array, *, gradient: bool = False, moments: bool = False) -> dict[str, Any]:
        factors = self.factors(theta)
        o = [units.offsets(theta) for units in self._units]
        a = [units.loadings(factors, self._width) for units in self._units]
        out: dict[str, Any] = self._engine.evaluate(
            o, a, self._accepted, gradient=gradient, moments=moments, threads=self._threads
        )
        if not out["failed"]:
            self._trial = out["modes"]
        return out

    def accept(self) -> None:
        """Start later evaluations from the modes found by the last one that succeeded."""
        self._accepted = self._trial

    def cluster_logliks(self, theta: Array) -> Array:
        """Return the log-likelihood of each top-level cluster, not weighted, shape (clusters,)."""
        return np.asarray(self._evaluate(np.asarray(theta, float))["loglik"])

    def _total(self, loglik: Array) -> float:
        # NumPy's own sum is the same whatever number of threads a BLAS would use
        weighted = np.where(self._weight > 0.0, self._weight * loglik, 0.0)
        return float(weighted.sum())

    def value(self, theta: Array) -> float:
        """Return the log-likelihood; -inf where it cannot be computed."""
        out = self._evaluate(np.asarray(theta, float))
        return -np.inf if out["failed"] else self._total(np.asarray(out["loglik"]))

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, shape (n_parameters,)."""
        out = self._evaluate(np.asarray(theta, float), gradient=True)
        if out["failed"]:
            return -np.inf, np.full(self.n_parameters, np.nan)
        gradient = np.zeros(self.n_parameters)
        adjoint = [np.zeros((len(level.factor), len(level.factor))) for level in self.plan.levels]
        for units, go, ga in zip(self._units, out["go"], out["ga"], strict=True):
            units.factor_adjoints(ga, adjoint)
            for predictor, values in zip(units.plan.predictors, units.predictor_adjoints(go), strict=True):
                np.add.at(gradient, predictor.coefficient, times_rows(values, predictor.design))
        for level, values in zip(self.plan.levels, adjoint, strict=True):
            free = level.factor >= 0
            np.add.at(gradient, level.factor[free], values[free])
        return self._total(np.asarray(out["loglik"])), gradient

    def cluster_scores(self, theta: Array) -> Array:
        """Return the gradient of each top-level cluster's weighted term, shape (clusters, parameters)."""
        out = self._evaluate(np.asarray(theta, float), gradient=True)
        scores = np.zeros((self.n_clusters, self.n_parameters))
        if out["failed"]:
            return np.full_like(scores, np.nan)
        for units, go, ga in zip(self._units, out["go"], out["ga"], strict=True):
            first = np.searchsorted(units.plan.cluster, self._tops[0])
            for predictor, values in zip(units.plan.predictors, units.predictor_adjoints(go), strict=True):
                for column, index in zip(predictor.design.T, predictor.coefficient, strict=True):
                    scores[:, index] += _segment_sums(column * values, first)
            for row, sources in zip(ga, units.sources, strict=True):
                for rows, predictor in sources:
                    for loading in predictor.loadings:
                        self._add_factor_scores(scores, units, row, rows, loading, first)
        return scores

    def _add_factor_scores(self, scores, units, row, rows, loading, first) -> None:  # type: ignore[no-untyped-def]
        factor = self.plan.levels[loading.level].factor
        start = self._starts[loading.level]
        for m, latent in enumerate(loading.latent):
            for k in range(len(factor)):
                index = factor[latent, k]
                if index < 0:
                    continue
                product = np.zeros(units.n)
                product[rows] = loading.design[rows, m] * row[rows, start + k]
                scores[:, index] += _segment_sums(product, first)

    def posterior(self, theta: Array) -> list[tuple[Array, Array]]:
        """Return posterior means (clusters, q) and covariances (clusters, q, q) of the latent variables."""
        out = self._evaluate(np.asarray(theta, float), moments=True)
        found = []
        for factor, mean, cov in zip(
            self.factors(np.asarray(theta, float)),
            out["mean"],
            out["cov"],
            strict=True,
        ):
            found.append((mean @ factor.T, np.einsum("ij,cjk,lk->cil", factor, cov, factor)))
        return found


def _segment_sums(values: Array, edges: Index) -> Array:
    """Return the sums of values[edges[i]:edges[i + 1]]."""
    sums = np.zeros(len(edges) - 1)
    filled = np.flatnonzero(np.diff(edges))
    if len(filled):
        sums[filled] = np.add.reduceat(values, edges[filled])
    return sums
