"""Gaussian data as sufficient statistics of clusters with the same responses, slopes and deviations.

A *slot* is the t-th unit of one response in a cluster. Clusters whose slots agree in everything but values
and covariates of the mean are one pattern; patterns that differ only in which slots are there share a
`Configuration`. Means are linear in *raw columns*: 1, and each distinct covariate of a slot or of a latent
variable; so cross-products of responses and raw columns are all that the likelihood needs.

Given the standard coordinates of higher levels the same is true, whose slopes are linear in raw columns too:
for those, sums of products within each cluster of the next level are kept (`GroupSums`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, PredictorPlan
from glamm.inference.forms import cluster_weights, clusters_of
from glamm.inference.pattern_sums import Pattern, group_sums, pattern_of

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Configuration", "configurations"]

MOST_SLOTS = 200

SHARE = 0.2
"""Most patterns, relative to the clusters, for which sums over patterns pay."""


@dataclass(slots=True, eq=False)
class Configuration:
    """Clusters that have the same slopes and standard deviations where they have the same slots.

    Attributes
    ----------
    slots : list of (response, unit)
        A unit that stands for each slot.
    cluster : int
        A cluster that stands for all.
    fixed : list of (slot, column, factor, coefficient)
        Raw columns in the means: the coefficient, 1 at position -1, times the factor.
    latent : list of (latent variable, column, factor, coefficient)
        The same of the latent variables' own predictors.
    columns : int
        C, the number of raw columns; the first is 1.
    slopes : list of (slot, slope column, level, random effect, factor)
        Random effects of higher levels in the slots' predictors.
    latent_slopes : list of (latent variable, slope column, level, random effect, factor)
        The same in the latent variables' own predictors.
    slope_columns : list of int
        Raw column that each slope column is; the first is 1.
    patterns : list of Pattern
    """

    slots: list[tuple[int, int]]
    cluster: int
    fixed: list[tuple[int, int, float, int]] = field(default_factory=list)
    latent: list[tuple[int, int, float, int]] = field(default_factory=list)
    columns: int = 1
    slopes: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    latent_slopes: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    slope_columns: list[int] = field(default_factory=lambda: [0])
    patterns: list[Pattern] = field(default_factory=list)

    def slope_column(self, raw: int) -> int:
        """Return the number of the slope column that a raw column is."""
        if raw not in self.slope_columns:
            self.slope_columns.append(raw)
        return self.slope_columns.index(raw)


class _RawColumns:
    """Distinct columns over the clusters of a configuration, known in part of them."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.values: list[Array] = []
        self.known: list[NDArray[np.bool_] | None] = []

    def place(self, column: Array, rows: Index | None) -> tuple[int, float]:
        """Return the number of a column that is given in some rows, and what to multiply it by."""
        if len(column) == 0:
            return 0, 0.0
        if bool((column == column[0]).all()):
            return 0, float(column[0])
        for k, (values, known) in enumerate(zip(self.values, self.known, strict=True)):
            here = values if rows is None else values[rows]
            if known is None:
                if np.array_equal(here, column):
                    return k + 1, 1.0
                continue
            both = known if rows is None else known[rows]
            if both.any() and np.array_equal(here[both], column[both]):
                if rows is None:
                    self.values[k], self.known[k] = column, None
                else:
                    values[rows] = column
                    known[rows] = True
                return k + 1, 1.0
        if rows is None:
            self.values.append(np.ascontiguousarray(column))
            self.known.append(None)
        else:
            whole, known = np.zeros(self.n), np.zeros(self.n, dtype=bool)
            whole[rows], known[rows] = column, True
            self.values.append(whole)
            self.known.append(known)
        return len(self.values), 1.0


def _combine(code: Index | None, values: Array | Index) -> Index:
    """Return numbers that tell rows apart where `code` or `values` do."""
    _, own = np.unique(values, return_inverse=True)
    if code is None:
        return np.asarray(own, dtype=np.intp)
    _, both = np.unique(code * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
    return np.asarray(both, dtype=np.intp)


def _features(plan: PredictorPlan, slopes_only: bool) -> Iterator[Array]:
    """Yield the columns of a predictor that must agree within a pattern and do not."""
    designs = [part.design for part in plan.loadings if part.level == 0] + [t.design for t in plan.terms]
    columns = [column for design in designs for column in design.T]
    if not slopes_only:
        columns += [*plan.design.T]
        if np.ndim(plan.offset):
            columns.append(np.asarray(plan.offset))
    for column in columns:
        if len(column) and not bool((column == column[0]).all()):
            yield column


def _kinds(plan: Plan) -> tuple[list[Index | None], Index | None]:
    """Return the kind of each unit, by response, and of each cluster; None where all are of one kind."""
    units: list[Index | None] = []
    for response in plan.responses:
        code: Index | None = None
        for k, predictor in enumerate(response.predictors):
            for column in _features(predictor, k == 0):
                code = _combine(code, column)
        units.append(code)
    of_clusters: Index | None = None
    for latent in (latent for latent in plan.latents if latent.level == 0):
        for column in _features(latent.predictor, True):
            of_clusters = _combine(of_clusters, column)
        if latent.scale is not None:
            for column in _features(latent.scale, False):
                of_clusters = _combine(of_clusters, column)
    return units, of_clusters


def _slots(plan: Plan) -> list[tuple[int, Index]] | None:
    """Return each slot's response and unit in each cluster, -1 where it is missing; None if too many."""
    n = plan.levels[0].clusters
    found: list[tuple[int, Index]] = []
    for r, response in enumerate(plan.responses):
        cluster = response.cluster
        if not len(cluster):
            continue
        start = np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])
        if len(start) == len(cluster):
            unit = np.full(n, -1, dtype=np.intp)
            unit[cluster] = start
            found.append((r, unit))
            continue
        size = np.diff(np.append(start, len(cluster)))
        if len(found) + size.max() > MOST_SLOTS:
            return None
        position = np.arange(len(cluster)) - np.repeat(start, size)
        for t in range(int(size.max())):
            own = np.flatnonzero(position == t)
            unit = np.full(n, -1, dtype=np.intp)
            unit[cluster[own]] = own
            found.append((r, unit))
    return found


def _higher_slopes_vary(plan: Plan) -> bool:
    """Return whether slopes or scales of latent variables of higher levels differ between clusters."""
    for latent in (latent for latent in plan.latents if latent.level > 0):
        if any(not _constant(column) for term in latent.predictor.terms for column in term.design.T):
            return True
        if latent.scale is not None and any(True for _ in _features(latent.scale, False)):
            return True
    return False


def _constant(column: Array) -> bool:
    return bool((column == column[:1]).all())


def configurations(plan: Plan) -> list[Configuration] | None:
    """Return the sufficient statistics of a plan; None where they are not much shorter than the data.

    Parameters
    ----------
    plan : Plan
        All responses Gaussian, identity link, with standard deviations that nothing random enters.
    """
    slots = _slots(plan)
    if slots is None or _higher_slopes_vary(plan):
        return None
    kinds, of_clusters = _kinds(plan)
    n = plan.levels[0].clusters
    code: Index | None = of_clusters
    most = max(1.0, SHARE * n)
    if code is not None and code.max(initial=0) >= most:
        return None
    for r, unit in slots:
        kind = kinds[r]
        present = unit >= 0
        if kind is None and present.all():
            continue
        values = present.astype(np.intp) if kind is None else np.where(present, kind[unit] + 1, 0)
        code = _combine(code, values)
        if code.max(initial=0) >= most:
            return None
    if code is None:
        code = np.zeros(n, dtype=np.intp)
    _, first = np.unique(code, return_index=True)
    groups = _merged(slots, kinds, of_clusters, first)
    return [_configuration(plan, slots, code, group) for group in groups]


@dataclass(slots=True, eq=False)
class _Group:
    """Patterns that can share a configuration: their numbers, and each slot's kind and unit so far."""

    cluster: int
    patterns: list[int]
    kind: Index
    unit: Index


def _merged(
    slots: list[tuple[int, Index]], kinds: list[Index | None], of_clusters: Index | None, first: Index
) -> list[_Group]:
    rows = []
    for cluster in first:
        unit = np.array([u[cluster] for _, u in slots], dtype=np.intp)
        kind = np.array(
            [
                -1 if u < 0 else 0 if kinds[r] is None else kinds[r][u]  # type: ignore[index]
                for (r, _), u in zip(slots, unit, strict=True)
            ],
            dtype=np.intp,
        )
        rows.append((kind, unit))
    groups: list[_Group] = []
    for p in np.argsort([-int((kind >= 0).sum()) for kind, _ in rows], kind="stable"):
        kind, unit = rows[p]
        cluster = int(first[p])
        for group in groups:
            both = (kind >= 0) & (group.kind >= 0)
            same = of_clusters is None or of_clusters[cluster] == of_clusters[group.cluster]
            if same and np.array_equal(kind[both], group.kind[both]):
                new = (kind >= 0) & (group.kind < 0)
                group.kind[new], group.unit[new] = kind[new], unit[new]
                group.patterns.append(int(p))
                break
        else:
            groups.append(_Group(cluster, [int(p)], kind.copy(), unit.copy()))
    return groups


def _configuration(plan: Plan, slots: list[tuple[int, Index]], code: Index, group: _Group) -> Configuration:
    used = np.flatnonzero(group.kind >= 0)
    found = Configuration([(slots[s][0], int(group.unit[s])) for s in used], group.cluster)
    number = np.full(int(code.max(initial=0)) + 1, -1, dtype=np.intp)
    number[group.patterns] = np.arange(len(group.patterns))
    whole = bool((number >= 0).all())
    clusters = None if whole else np.flatnonzero(number[code] >= 0)
    n = len(code) if clusters is None else len(clusters)
    raw = _RawColumns(n)
    units = [slots[s][1] if clusters is None else slots[s][1][clusters] for s in used]
    for i, unit in enumerate(units):
        response = plan.responses[slots[used[i]][0]]
        present = unit >= 0
        where = None if present.all() else np.flatnonzero(present)
        own = unit if where is None else unit[where]
        for column, coefficient in _columns(response.predictors[0], own):
            c, factor = raw.place(column, where)
            found.fixed.append((i, c, factor, coefficient))
        for column, level, effect in _slopes(response.predictors[0], own):
            c, factor = raw.place(column, where)
            found.slopes.append((i, found.slope_column(c), level, effect, factor))
    every = np.arange(n, dtype=np.intp) if clusters is None else clusters
    above = clusters_of(plan, every)
    for m, latent in enumerate(plan.latents):
        at = above[latent.level]
        assert at is not None
        for column, coefficient in _columns(latent.predictor, at):
            c, factor = raw.place(column, None)
            found.latent.append((m, c, factor, coefficient))
        for column, level, effect in _slopes(latent.predictor, at):
            c, factor = raw.place(column, None)
            found.latent_slopes.append((m, found.slope_column(c), level, effect, factor))
    found.columns = 1 + len(raw.values)
    weighted = any(level.weight is not None for level in plan.levels)
    weight = cluster_weights(plan)[0] if weighted else None
    for p in group.patterns:
        of_pattern = None if len(group.patterns) == 1 else np.flatnonzero(number[code[every]] == number[p])
        rows = np.arange(n, dtype=np.intp) if of_pattern is None else of_pattern
        seen = np.array([i for i, unit in enumerate(units) if unit[rows[0]] >= 0], dtype=np.intp)
        y = [(plan.responses[slots[used[i]][0]].encoded.y[:, 0], units[i]) for i in seen]
        own_weight = None if weight is None else weight[every[rows]]
        groups = None
        if len(plan.levels) > 1:
            assert above[1] is not None
            w = plan.levels[0].weight
            z = [raw.values[c - 1] for c in found.slope_columns[1:]]
            groups = group_sums(y, raw.values, z, rows, above[1][rows], None if w is None else w[every[rows]])
        found.patterns.append(pattern_of(seen, y, raw.values, rows, own_weight, groups))
    return found


def _slopes(plan: PredictorPlan, rows: Index) -> Iterator[tuple[Array, int, int]]:
    """Yield the columns of random effects of higher levels in some rows, with their levels and numbers."""
    for part in (part for part in plan.loadings if part.level > 0):
        for column, effect in zip(part.design.T, part.latent.tolist(), strict=True):
            yield column[rows], part.level, effect


def _columns(plan: PredictorPlan, rows: Index) -> Iterator[tuple[Array, int]]:
    """Yield the design columns of some rows with their coefficients, -1 for the known part."""
    for column, coefficient in zip(plan.design.T, plan.coefficient.tolist(), strict=True):
        yield column[rows], coefficient
    if np.any(plan.offset):
        yield np.broadcast_to(np.asarray(plan.offset, dtype=float), (len(plan.design),))[rows], -1
