"""The log-likelihood of a plan as a function of theta, with its exact gradient.

The chain rule in both directions: theta makes offsets and loadings of every unit, the engine returns
their adjoints, and those are summed back to theta. Offsets are linear in the coefficients and loadings
linear in the Cholesky factors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference import louis
from glamm.inference.adjoints import Backward, Form, Sums
from glamm.inference.chain import Chain
from glamm.inference.collapsing import collapse
from glamm.inference.distinct_chain import DistinctChain, Tables, chain_of
from glamm.inference.elimination import Layer
from glamm.inference.engines import lanes_of, levels_of, sources_of
from glamm.inference.mixtures_alternatives import Alternatives, Assigned
from glamm.inference.mixtures_nodes import has_lower_classes, placed_nodes, prior_nodes, spread_units
from glamm.inference.nesting import Nesting, arrange, nest, stacks_of
from glamm.inference.rules import rule
from glamm.inference.units import top_edges
from glamm.kernels._engine import Engine
from glamm.kernels._lanes import Lanes

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Objective"]

# below this many units one thread is faster than starting several
_THREADED_FROM = 20_000

# posterior expectations by fewer points are not what standard errors should rest on
LOUIS_POINTS = 9

# the vectorised engine keeps this many node values of a cluster at most, 64 bytes each in every thread
LANE_NODES = 2_000_000

NODE_PASSES, NODE_TOLERANCE = 20, 1e-7
"""Passes in which nodes that are given move to the posterior moments that they lead to, and the change of the
log-likelihood, relative to the number of clusters, at which they have come to rest."""


class Objective(Chain):
    """Log-likelihood of a plan by nested adaptive quadrature.

    Parameters
    ----------
    plan : Plan
    points : int or sequence of int
        Gauss-Hermite nodes a latent coordinate or, beyond `rules.MOST_POINTS`, quasi-random nodes in all, for
        all levels or one number a level (lowest first); 1 is the Laplace approximation.
    threads : int, optional
        Default: one for small data, the machine's number of processors otherwise.

    Notes
    -----
    The modes around which the nodes lie are the only state. An evaluation starts them where `accept` last
    left them, so values do not depend on the path of rejected trial points.
    """

    summed = False
    """Whether sums over clusters, known beforehand, make gradients cheap."""

    def __init__(self, plan: Plan, points: int | Sequence[int] = 7, threads: int | None = None) -> None:
        plan = spread_units(plan)
        self._patterns = collapse(plan)
        super().__init__(plan if self._patterns is None else self._patterns.plan)
        plan = self.plan
        self._nodes = prior_nodes(plan) if has_lower_classes(plan) else None
        sizes = [len(level.factor) for level in plan.levels]
        total = sum(units.n for units in self.units)
        self._threads = threads or (1 if total < _THREADED_FROM else os.cpu_count() or 1)
        self._tops = top_edges(plan.levels)
        self._fast = self._arrange()
        self._accepted = [np.zeros((level.clusters, q)) for level, q in zip(plan.levels, sizes, strict=True)]
        if self._nesting is not None:
            self._accepted = self._nesting.start()
        self._trial = self._accepted
        top = plan.levels[-1]
        self._mixture = None if top.group is None else Alternatives(top.group)
        weight = np.ones(top.clusters) if top.weight is None else top.weight
        self._weight = weight if self._mixture is None else weight[self._mixture.first]
        self.points: tuple[int, ...] = ()
        self._set_points(points)

    # ------------------------------------------------ structure

    def _arrange(self) -> Lanes | None:
        """Decide what is integrated inside what and which engine does it; return it if it is the fast one.

        Responses that are one already go to the fast engine if they can; others only where their
        coordinates cannot be separated.
        """
        plan, pairs = self.plan, self.space.pairs

        def fast(nesting: Nesting | None) -> Lanes | None:
            self._nesting = nesting
            self._sources = sources_of(self.units, nesting, plan.levels[0].clusters, pairs)
            return lanes_of(plan.levels, self._sources)

        lanes = fast(None) if len(self.units) == 1 else None
        if lanes is None:
            groups = stacks_of(plan.units, [units.shape for units in self.units])
            layers = None if self.exact else nest(plan)
            lanes = fast(arrange(plan, pairs, layers, groups))
            if layers is not None:
                return None
        return lanes

    def _set_points(self, points: int | Sequence[int]) -> None:
        levels = self.plan.levels
        counts = [points] * len(levels) if isinstance(points, int) else list(points)
        self.points = tuple(k if len(level.factor) else 1 for k, level in zip(counts, levels, strict=True))
        if self._nesting is None:
            rules = [rule(len(v.factor), k) for v, k in zip(levels, self.points, strict=True)]
        else:
            rules = self._nesting.rules(self.points)
        self._engine: Lanes | Engine
        if self._fast is not None and self._fast.largest * len(rules[0][0]) <= LANE_NODES:
            self._engine = self._fast
        else:
            levels_given = levels_of(levels, self._tops, self._nesting)
            self._engine = Engine(levels_given, [source.response() for source in self._sources])
        self._engine.set_rule(rules)

    def with_points(self, points: int | Sequence[int]) -> Objective:
        """Return an objective of the same plan with another rule, its modes started from the present."""
        other = copy(self)
        other._fast = None if self._fast is None else self._fast.fork()
        other._accepted = other._trial = [mode.copy() for mode in self._accepted]
        other._set_points(points)
        return other

    def with_shares(self, share: Array) -> Objective:
        """Return the expected complete-data log-likelihood when the classes have the given probabilities.

        Parameters
        ----------
        share : ndarray, shape (top-level clusters,)
            Of each cluster among its alternatives.
        """
        assert self._mixture is not None
        other = self.with_points(self.points)
        other._mixture = Assigned(self._mixture.group, share)
        return other

    @property
    def exact(self) -> bool:
        """Whether one point is exact: every latent part enters a quadratic log density."""
        if self._nodes is not None and self.space.width:
            # a mixture of normal posteriors is not normal
            return False
        return all(
            len(units.active) == 0
            or (
                len(units.active) == 1
                and not units.multiplies
                and units.plan.family.is_quadratic(int(units.active[0]))
            )
            for units in self.units
        )

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Latent coordinates of each level that are integrated one inside the other."""
        if self._nesting is not None:
            return self._nesting.dimensions
        return tuple(len(level.factor) for level in self.plan.levels)

    @property
    def layers(self) -> list[Layer]:
        """Blocks of coordinates by depth, lowest first; empty where all are integrated jointly."""
        return self._nesting.layers if self._nesting is not None and self._nesting.nested else []

    @property
    def integration(self) -> str:
        """How many latent coordinates are integrated in fewer dimensions; empty where all are jointly."""
        if self._nesting is None or not self._nesting.nested:
            return ""
        total = sum(len(level.factor) for level in self.plan.levels)
        nested = sum(self.dimensions)
        return f"{total} latent dimensions as {nested} nested ones"

    @property
    def vectorised(self) -> bool:
        """Whether the vectorised engine can evaluate the model."""
        return self._fast is not None

    @cached_property
    def distinct(self) -> DistinctChain | None:
        """The chain rule by way of distinct units; None where units do not repeat often."""
        return chain_of(self.plan, self.space.pairs)

    @cached_property
    def _tables(self) -> Tables | None:
        """The engine's arguments by way of distinct units; None where they are made unit by unit."""
        nesting, chain = self._nesting, None if self._nesting is None else self.distinct
        return None if nesting is None or chain is None else Tables(chain, nesting, self.units)

    @property
    def n_clusters(self) -> int:
        """Number of top-level clusters of the data, those with the same data counted once."""
        return len(self._weight)

    # ------------------------------------------------ evaluation

    def _arguments(self, theta: Array, factors: Sequence[Array]) -> tuple[Any, ...] | None:
        """Return the engine's arguments, latent variables, and residuals; None where theta makes none."""
        forms = self.latent_forms(theta, factors)
        made = [units.forms(self.space, theta, factors, forms) for units in self.units]
        o, slopes = [offset for offset, _ in made], [slope for _, slope in made]
        joint = [one.forward(theta, o, slopes) for one in self.joint]
        if None in joint:
            return None
        width = self.space.width
        a = [s if s.shape[2] == width else np.ascontiguousarray(s[:, :, :width]) for s in slopes]
        c = [
            np.ascontiguousarray(s[:, :, width:]) if units.multiplies else None
            for s, units in zip(slopes, self.units, strict=True)
        ]
        if self._nesting is not None:
            o, a, c = self._nesting.scatter(o, a, c)
        return o, a, {"c": c} if self.space.pairs else {}, forms, joint

    def _evaluate(
        self, theta: Array, *, gradient: bool = False, moments: bool = False, tables: Tables | None = None
    ) -> _Evaluation:
        factors = self.factors(theta)
        made: tuple[Any, ...] | None = None
        if all(np.isfinite(factor).all() for factor in factors):
            made = self._arguments(theta, factors) if tables is None else tables.scatter(theta)
        if made is None:
            return self._failed(factors)
        o, a, options, forms, joint = made
        if self._nodes is not None:
            options["held"] = self._nodes
        # a class that is impossible for a cluster leaves the others their say
        out: dict[str, Any] = self._engine.evaluate(
            o, a, self._accepted, gradient=gradient, moments=moments, threads=self._threads, **options
        )
        if not out["failed"]:
            self._trial = out["modes"]
        if self._nesting is not None and tables is None:
            self._nesting.gather(out)
        if self._mixture is not None:
            out["loglik"], out["top_share"] = self._mixture.mix(out["loglik"])
            out["failed"] = not np.isfinite(out["loglik"]).all()
        return _Evaluation(out, factors, forms, joint)

    def _failed(self, factors: list[Array]) -> _Evaluation:
        loglik = np.full(self.n_clusters, -np.inf)
        return _Evaluation({"failed": True, "loglik": loglik}, factors, [], [])

    def _pull(self, theta: Array, found: _Evaluation, edges: Sequence[Index] | None) -> Array:
        """Return the gradient (T, P), a row for each top-level cluster where `edges` are given."""
        sums = [Sums(None if edges is None else of_level) for of_level in (edges or self._tops)]
        tops = 1 if edges is None else self.n_clusters
        share = found.out.get("top_share")
        state = Backward(sums, theta, found.factors, found.forms, tops)
        products = found.out.get("gc") or [None] * len(self.units)
        offsets, slopes = [], []
        for units, go, ga, gc in zip(self.units, found.out["go"], found.out["ga"], products, strict=True):
            slope = ga
            if self.space.pairs:
                pulled = units.multiplies and gc is not None
                rest = gc if pulled else np.zeros((*ga.shape[:2], len(self.space.pairs)))
                slope = np.concatenate([ga, rest], axis=2)
            if share is not None:
                weight = share[units.top]
                go, slope = go * weight, slope * weight[:, None]
            offsets.append(np.array(go) if units.joined else go)
            slopes.append(np.array(slope) if units.joined else slope)
        if self.joint:
            rows = [self._sum_of(units.top, tops) for units in self.units]
            for joint, parts in zip(self.joint, found.joint, strict=True):
                joint.backward(parts, offsets, slopes, rows, state.out)
        for units, offset, slope in zip(self.units, offsets, slopes, strict=True):
            first = None if edges is None else np.searchsorted(units.plan.cluster, edges[0]).astype(np.intp)
            units.pull(self.space, offset, slope, Sums(first), state)
        self.pull_latents(theta, state)
        return state.out

    def _sum_of(self, top: Index, tops: int) -> Index:
        """Return which of the sums kept apart each unit goes into."""
        if tops == 1:
            return np.zeros_like(top)
        return top if self._mixture is None else self._mixture.group[top]

    def place_nodes(self, theta: Array) -> bool:
        """Place nodes that do not follow theta by themselves; return whether there are such nodes.

        Under classes below the highest level nodes stand where the posterior moments of an earlier
        evaluation put them. The log-likelihood at theta is another afterwards.
        """
        if self._nodes is None:
            return False
        before = -np.inf
        for _ in range(NODE_PASSES):
            out = self._evaluate(np.asarray(theta, float), moments=True).out
            moments = [*out.get("path_mean", []), *out.get("path_cov", [])]
            if out["failed"] or not all(np.isfinite(part).all() for part in moments):
                break
            self._nodes = placed_nodes(self.plan, out["path_mean"], out["path_cov"])
            present = self._total(np.asarray(out["loglik"]))
            if abs(present - before) < NODE_TOLERANCE * self.n_clusters:
                break
            before = present
        return True

    def accept(self) -> None:
        """Start later evaluations from the modes found by the last one that succeeded."""
        self._accepted = self._trial

    def cluster_logliks(self, theta: Array) -> Array:
        """Return the log-likelihood of each top-level cluster, not weighted, shape (clusters,)."""
        loglik = np.asarray(self._evaluate(np.asarray(theta, float), tables=self._tables).out["loglik"])
        return loglik if self._patterns is None else self._patterns.spread(loglik)

    def _total(self, loglik: Array) -> float:
        # NumPy's own sum is the same whatever number of threads a BLAS would use
        weighted = np.where(self._weight > 0.0, self._weight * loglik, 0.0)
        return float(weighted.sum())

    def value(self, theta: Array) -> float:
        """Return the log-likelihood; -inf where it cannot be computed."""
        out = self._evaluate(np.asarray(theta, float), tables=self._tables).out
        return -np.inf if out["failed"] else self._total(np.asarray(out["loglik"]))

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, shape (n_parameters,)."""
        theta = np.asarray(theta, float)
        tables = self._tables
        found = self._evaluate(theta, gradient=True, tables=tables)
        if found.out["failed"]:
            return -np.inf, np.full(self.n_parameters, np.nan)
        value = self._total(np.asarray(found.out["loglik"]))
        if tables is None:
            return value, self._pull(theta, found, None)[0]
        return value, tables.gradient(theta, found.out["go"], found.out["ga"])

    def cluster_scores(self, theta: Array) -> Array:
        """Return the gradient of each top-level cluster's weighted term, shape (clusters, parameters)."""
        theta = np.asarray(theta, float)
        found = self._evaluate(theta, gradient=True)
        edges = self._tops
        if self._mixture is not None:
            edges = [of_level[self._mixture.edges] for of_level in edges]
        scores = np.full((self.n_clusters, self.n_parameters), np.nan)
        if not found.out["failed"]:
            scores = self._pull(theta, found, edges)
        return scores if self._patterns is None else self._patterns.divide(scores)

    def expected_information(self, theta: Array) -> Array | None:
        """Return None: quadrature has no closed form of it."""
        return None

    def standard_moments(self, theta: Array) -> tuple[Array, Array]:
        """Return posterior means (n_clusters, q) and covariances of the lowest level's coordinates."""
        found = self._evaluate(np.asarray(theta, float), moments=True).out
        return np.asarray(found["mean"][0]), np.asarray(found["cov"][0])

    def information(self, theta: Array) -> Array | None:
        """Return the observed information (P, P) where there is a closed form, see `louis`."""
        if self.exact or not louis.applies(self) or min(self.points) < LOUIS_POINTS:
            return None
        return louis.louis_information(self, np.asarray(theta, float))

    def shares(self, theta: Array) -> list[Array]:
        """Return for each level the probability of every cluster among its alternatives, given the data.

        Clusters of a level without classes of its own have probability 1.
        """
        found = self._evaluate(np.asarray(theta, float), moments=True)
        inner = found.out.get("share") or [np.ones(level.clusters) for level in self.plan.levels]
        shares = [np.asarray(share) for share in inner]
        if self._mixture is not None:
            shares[-1] = np.asarray(found.out["top_share"])
        return shares if self._patterns is None else [self._patterns.spread(share) for share in shares]

    def posterior(self, theta: Array) -> list[tuple[Array, Array]]:
        """Return posterior means (clusters, q) and covariances (clusters, q, q) of the latent variables."""
        found = self._evaluate(np.asarray(theta, float), moments=True)
        moments = [
            (mean @ factor.T, np.einsum("ij,cjk,lk->cil", factor, cov, factor))
            for factor, mean, cov in zip(found.factors, found.out["mean"], found.out["cov"], strict=True)
        ]
        if self._patterns is None:
            return moments
        return [(self._patterns.spread(mean), self._patterns.spread(cov)) for mean, cov in moments]

    def path_posterior(self, theta: Array) -> list[tuple[Array, Array]]:
        """Return posterior moments of the standard coordinates of each cluster and of those above it.

        Returns
        -------
        list of (ndarray of shape (clusters, P), ndarray of shape (clusters, P, P))
            For each level; the P coordinates are those of the level and then of the levels above it.
        """
        found = self._evaluate(np.asarray(theta, float), moments=True)
        moments = list(zip(found.out["path_mean"], found.out["path_cov"], strict=True))
        if self._patterns is None:
            return moments
        return [(self._patterns.spread(mean), self._patterns.spread(cov)) for mean, cov in moments]


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluation:
    """What the engine returned, and the factors and latent variables it was given."""

    out: dict[str, Any]
    factors: list[Array]
    forms: list[Form]
    joint: list[Any]
