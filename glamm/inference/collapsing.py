"""Clusters with the same data are one cluster that counts as often.

Ten items have at most 1024 patterns of answers, however many people answer them. Nothing is lost: the
log-likelihood of a cluster depends on its data alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan, Plan, PredictorPlan, ResponsePlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Hash = NDArray[np.uint64]

__all__ = ["Patterns", "collapse", "columns_of_clusters", "columns_of_units"]

FIRST = 2000
"""Clusters that are looked at before all are: where they all differ the others will."""

WORTH = 0.5
"""Share of clusters that may be left for the collapse to be worth it."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """A plan of the distinct clusters of another.

    Attributes
    ----------
    plan : Plan
    pattern : ndarray of intp, shape (clusters,)
        Cluster of `plan` that stands for each of the original.
    share : ndarray, shape (clusters,)
        Weight of each original cluster relative to the one that stands for it.
    """

    plan: Plan
    pattern: Index
    share: Array

    def spread(self, values: Array) -> Array:
        """Return values of the distinct clusters, (patterns, ...), for each of the original."""
        return values[self.pattern]

    def divide(self, values: Array) -> Array:
        """Return weighted sums (patterns, P) as the original clusters' parts of them, (clusters, P)."""
        return values[self.pattern] * self.share[:, None]


def _columns_of_predictor(predictor: PredictorPlan) -> Iterator[Array]:
    yield from predictor.design.T
    if np.ndim(predictor.offset):
        yield np.asarray(predictor.offset)
    for loading in predictor.loadings:
        yield from loading.design.T
    for term in predictor.terms:
        yield from term.design.T


def columns_of_units(response: ResponsePlan) -> Iterator[Array]:
    """Yield the columns, shape (n,) each, that say all there is to say of the units of a response."""
    yield from response.encoded.y.T
    if response.weight is not None:
        yield response.weight
    if response.channels is not None:
        yield from response.channels.T.astype(float)
    for predictor in response.predictors:
        yield from _columns_of_predictor(predictor)


def columns_of_clusters(plan: Plan) -> Iterator[Array]:
    """Yield the columns, shape (clusters,) each, that latent variables of a plan of one level depend on."""
    for latent in plan.latents:
        yield from _columns_of_predictor(latent.predictor)
        if latent.scale is not None:
            yield from _columns_of_predictor(latent.scale)


def _mix(code: Hash) -> Hash:
    mixed: Hash = (code ^ (code >> np.uint64(29))) * MULTIPLIER
    return mixed ^ (mixed >> np.uint64(32))


def _add(code: Hash, column: Array) -> Hash:
    # -0.0 is 0.0
    bits = np.ascontiguousarray(column[: len(code)] + 0.0).view(np.uint64)
    return _mix(code ^ bits)


def _codes(plan: Plan, clusters: int) -> Hash:
    """Return a number for each of the first clusters that depends on their data, in order."""
    code = np.zeros(clusters, dtype=np.uint64)
    for column in columns_of_clusters(plan):
        code = _add(code, column)
    for response in plan.units:
        units = int(np.searchsorted(response.cluster, clusters))
        own = np.zeros(units, dtype=np.uint64)
        for column in columns_of_units(response):
            own = _add(own, column)
        cluster, position = response.cluster[:units], _positions(response)[:units]
        first = np.flatnonzero(position == 0)
        total = np.zeros(clusters, dtype=np.uint64)
        if units:
            placed = _mix(own + (2 * position + 1).astype(np.uint64) * MULTIPLIER)
            total[cluster[first]] = np.add.reduceat(placed, first)
        code = _mix(code ^ total)
    return code


def _positions(response: ResponsePlan) -> Index:
    """Return the number of each unit within its cluster."""
    cluster = response.cluster
    return np.asarray(np.arange(len(cluster)) - np.searchsorted(cluster, cluster), dtype=np.intp)


def _same(plan: Plan, standing: Index) -> bool:
    """Return whether every cluster has the data of the one that is to stand for it."""
    if not all((column == column[standing]).all() for column in columns_of_clusters(plan)):
        return False
    for response in plan.units:
        edges = np.searchsorted(response.cluster, np.arange(len(standing) + 1))
        sizes = np.diff(edges)
        if (sizes != sizes[standing]).any():
            return False
        partner = edges[standing[response.cluster]] + _positions(response)
        if not all((column == column[partner]).all() for column in columns_of_units(response)):
            return False
    return True


def _units_of(response: ResponsePlan, number: Index) -> ResponsePlan:
    """Return the units of the clusters that have a number from 0 up; others have -1."""
    rows = np.flatnonzero(number[response.cluster] >= 0)
    return response.take(rows, number[response.cluster[rows]])


def collapse(plan: Plan) -> Patterns | None:
    """Return the distinct clusters of a plan of one level, or None where they are not much fewer."""
    level: LevelPlan = plan.levels[0]
    mixed = level.group is not None
    if len(plan.levels) > 1 or mixed or not len(level.factor) or plan.residual_covariances:
        return None
    few = min(level.clusters, FIRST)
    if len(np.unique(_codes(plan, few))) == few:
        return None
    _, first, group = np.unique(_codes(plan, level.clusters), return_index=True, return_inverse=True)
    if len(first) > WORTH * level.clusters:
        return None
    # distinct clusters stay in the order in which they come
    order = np.argsort(first)
    kept = first[order]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pattern = rank[group].astype(np.intp)
    if not _same(plan, kept[pattern]):
        return None
    number = np.full(level.clusters, -1, dtype=np.intp)
    number[kept] = np.arange(len(kept))
    weight = np.ones(level.clusters) if level.weight is None else level.weight
    total: Array = np.bincount(pattern, weights=weight, minlength=len(kept)).astype(float)
    share = weight / np.where(total > 0.0, total, 1.0)[pattern]
    smaller = replace(
        plan,
        levels=(replace(level, clusters=len(kept), weight=total),),
        responses=tuple(_units_of(response, number) for response in plan.responses),
        latents=tuple(latent.take(kept) for latent in plan.latents),
        memberships=tuple(_units_of(response, number) for response in plan.memberships),
        ratios=tuple(_units_of(response, number) for response in plan.ratios),
    )
    return Patterns(smaller, pattern, share)
