"""Linear predictors as functions of the standard coordinates, and the way back of their adjoints.

A linear predictor or a latent variable is a *form* ``o + a'u + sum_p c_p u_x(p) u_y(p)`` in the standard
coordinates u of its clusters. Offset o and slopes (a, c) have one row for each unit or cluster, or a single
row where they are the same for all. Adjoints run backwards through the same operations; they are summed
over all top-level clusters, or kept apart by top-level cluster (T of them) for scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LatentPlan, Plan, PredictorPlan, TermPlan
from glamm.inference.adjoints import (
    Adjoint,
    Backward,
    Coordinates,
    Form,
    Sums,
    product,
    product_adjoint,
)
from glamm.kernels._products import crossed, rows_times

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Latent", "PredictorForm", "cluster_weights", "clusters_of", "coordinate_starts", "named_latents"]


def clusters_of(plan: Plan, cluster: Index, level: int = 0) -> list[Index | None]:
    """Return the cluster at each level of rows that lie in clusters of `level`; None below it."""
    found: list[Index | None] = [None] * level
    for at in plan.levels[level:]:
        found.append(cluster)
        if at.parent is not None:
            cluster = at.parent[cluster]
    return found


def cluster_weights(plan: Plan) -> list[Array]:
    """Return how many clusters of the data each cluster stands for, shape (clusters,), for each level."""
    found: list[Array] = []
    for level in reversed(plan.levels):
        weight = np.ones(level.clusters) if level.weight is None else level.weight
        if found and level.parent is not None:
            weight = weight * found[0][level.parent]
        found.insert(0, weight)
    return found


def _one_row(design: Array) -> bool:
    """Return whether all rows are equal; equal infinities are."""
    return len(design) > 0 and bool((design == design[0]).all())


def _sum_by(cluster: Index, values: Array, total: Array) -> None:
    """Add the rows of `values` to the rows of `total` that `cluster`, ascending, names."""
    if len(cluster):
        first = np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])
        total[cluster[first]] += np.add.reduceat(values, first, axis=0)


class _Term:
    """Named latent variables times a design, in a predictor."""

    def __init__(self, plan: TermPlan, clusters: Sequence[Index | None], latents: Sequence[Latent]) -> None:
        self.plan = plan
        self.constant = _one_row(plan.design)
        self.design = np.ascontiguousarray(plan.design[:1] if self.constant else plan.design)
        self.sources = [latents[m] for m in plan.latents]
        self.free = np.flatnonzero(plan.coefficient >= 0)
        self.rows = [clusters[source.plan.level] for source in self.sources]

    @property
    def reach(self) -> set[int]:
        """Coordinates that it depends on."""
        return set().union(*(source.reach for source in self.sources))

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Pairs of coordinates that it multiplies."""
        if len(self.sources) == 1:
            return set(self.sources[0].pairs)
        first, second = self.sources
        return {(min(x, y), max(x, y)) for x in first.reach for y in second.reach}

    def loading(self, theta: Array) -> Array:
        """Return what multiplies the latent variables, shape (n,), or (1,) where it is constant."""
        coefficient = np.where(self.plan.coefficient < 0, self.plan.held, theta[self.plan.coefficient])
        if self.constant:
            return np.asarray(self.design @ coefficient)
        loading = np.empty(len(self.design))
        rows_times(self.design, coefficient, loading)
        return loading

    def _taken(self, forms: Sequence[Form]) -> list[Form]:
        taken = []
        for source, rows in zip(self.sources, self.rows, strict=True):
            form = forms[source.number]
            taken.append(
                Form(
                    form.offset if form.offset_constant else form.offset[rows],
                    form.offset_constant,
                    form.slope if form.slope_constant else form.slope[rows],
                    form.slope_constant,
                )
            )
        return taken

    def value(self, space: Coordinates, theta: Array, forms: Sequence[Form]) -> Form:
        """Return the term as a form of the predictor's rows."""
        taken = self._taken(forms)
        source = taken[0] if len(taken) == 1 else product(space, *taken)
        loading = self.loading(theta)
        return Form(
            loading * source.offset,
            self.constant and source.offset_constant,
            loading[:, None] * source.slope,
            self.constant and source.slope_constant,
        )

    def pull(self, space: Coordinates, own: Adjoint, sums: Sums, state: Backward) -> None:
        """Carry the adjoint of the predictor's form back."""
        taken = self._taken(state.forms)
        source = taken[0] if len(taken) == 1 else product(space, *taken)
        loading = self.loading(state.theta)
        here = own.reduced(
            self.constant and source.offset_constant, self.constant and source.slope_constant, sums
        )
        if len(self.free):
            from_offset = here.offset * source.offset
            from_slope = np.einsum("nw,nw->n", here.slope, np.broadcast_to(source.slope, here.slope.shape))
            if self.constant:
                part = _reduce(from_offset, here.offset_constant, sums)
                part = (part + _reduce(from_slope, here.slope_constant, sums))[:, None] * self.design
            else:
                part = sums.weighted(from_offset + from_slope, self.design)
            state.add_coefficients(self.plan.coefficient[self.free], part[:, self.free])
        back = Adjoint(
            here.offset * loading, here.offset_constant, here.slope * loading[:, None], here.slope_constant
        )
        if len(taken) == 1:
            self._give(0, back, sums, state)
        else:
            for k, other in enumerate(reversed(taken)):
                self._give(k, product_adjoint(space, other, back), sums, state)

    def _give(self, k: int, adjoint: Adjoint, sums: Sums, state: Backward) -> None:
        target, rows = state.latents[self.sources[k].number], self.rows[k]
        adjoint = adjoint.reduced(target.offset_constant, target.slope_constant, sums)
        assert rows is not None
        if target.offset_constant:
            target.offset += adjoint.offset
        else:
            _sum_by(rows, adjoint.offset, target.offset)
        if target.slope_constant:
            target.slope += adjoint.slope
        else:
            _sum_by(rows, adjoint.slope, target.slope)


def _reduce(values: Array, constant: bool, sums: Sums) -> Array:
    return values if constant else sums.of(values)


class PredictorForm:
    """One linear predictor over n rows: units of a response, or clusters of a latent variable's level.

    Parameters
    ----------
    plan : PredictorPlan
    n : int
    clusters : sequence of ndarray of intp, shape (n,), or None
        Cluster of each row at each level, None below the rows.
    latents : sequence of Latent
        Those the predictor may need.
    starts : sequence of int
        First coordinate of each level.
    """

    def __init__(
        self,
        plan: PredictorPlan,
        n: int,
        clusters: Sequence[Index | None],
        latents: Sequence[Latent],
        starts: Sequence[int],
    ) -> None:
        self.plan, self.n, self.starts = plan, n, starts
        self.terms = [_Term(term, clusters, latents) for term in plan.terms]
        self.latent = plan.is_random
        self.same_design = plan.design.shape[1] == 0 or _one_row(plan.design)
        self.same = self.same_design and (np.ndim(plan.offset) == 0 or _one_row(np.asarray(plan.offset)))

    @property
    def reach(self) -> set[int]:
        """Coordinates that it depends on."""
        found = set().union(*(term.reach for term in self.terms))
        for loading in self.plan.loadings:
            found |= {self.starts[loading.level] + k for m in loading.latent for k in range(m + 1)}
        if self.plan.coordinate is not None:
            found.add(self.starts[self.plan.coordinate[0]] + self.plan.coordinate[1])
        return found

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Pairs of coordinates that it multiplies."""
        return set().union(*(term.pairs for term in self.terms))

    def offset(self, theta: Array, out: Array) -> None:
        """Fill the part without latent variables, shape (n,)."""
        plan = self.plan
        if plan.design.shape[1]:
            rows_times(plan.design, theta[plan.coefficient], out)
            if np.any(plan.offset):
                out += plan.offset
        else:
            out[:] = plan.offset

    def constant_offset(self, theta: Array) -> Array:
        """Return the same where all rows agree, shape (1,)."""
        value = np.ravel(np.asarray(self.plan.offset, dtype=float))[:1]
        return value + self.plan.design[:1] @ theta[self.plan.coefficient]

    def fill_loadings(self, factors: Sequence[Array], out: Array) -> None:
        """Fill the slopes (n, W) with the random effects, and 0 where there are none."""
        filled: set[int] = set()
        for loading in self.plan.loadings:
            start, factor = self.starts[loading.level], factors[loading.level]
            for column, latent in zip(loading.design.T, loading.latent, strict=True):
                # row `latent` of a lower triangle ends at its diagonal
                for k in range(latent + 1):
                    target = out[:, start + k]
                    if start + k in filled:
                        target += column * factor[latent, k]
                    else:
                        np.multiply(column, factor[latent, k], out=target)
                    filled.add(start + k)
        if self.plan.coordinate is not None:
            level, k = self.plan.coordinate
            out[:, self.starts[level] + k] = 1.0
            filled.add(self.starts[level] + k)
        for unused in set(range(out.shape[1])) - filled:
            out[:, unused] = 0.0

    def add_terms(
        self, space: Coordinates, theta: Array, forms: Sequence[Form], offset: Array, slope: Array
    ) -> None:
        """Add the named latent variables to offset (n,) and slopes (n, W)."""
        for term in self.terms:
            value = term.value(space, theta, forms)
            offset += value.offset
            slope += value.slope

    def form(self, space: Coordinates, theta: Array, factors: Sequence[Array], forms: Sequence[Form]) -> Form:
        """Return the predictor of a latent variable, without its disturbance, in as few rows as it needs."""
        parts = [term.value(space, theta, forms) for term in self.terms]
        offset_constant = self.same and all(part.offset_constant for part in parts)
        slope_constant = not self.plan.loadings and all(part.slope_constant for part in parts)
        if self.same:
            offset = np.repeat(self.constant_offset(theta), 1 if offset_constant else self.n)
        else:
            offset = np.empty(self.n)
            self.offset(theta, offset)
        slope = np.zeros((1 if slope_constant else self.n, space.slopes))
        if not slope_constant:
            self.fill_loadings(factors, slope)
        for part in parts:
            offset += part.offset
            slope += part.slope
        return Form(offset, offset_constant, slope, slope_constant)

    def pull(self, space: Coordinates, own: Adjoint, sums: Sums, state: Backward) -> None:
        """Carry the adjoint of the form back to theta, factors and latent variables.

        The slopes of `own` have no column where the predictor has no latent part.
        """
        design, coefficient = self.plan.design, self.plan.coefficient
        if design.shape[1]:
            if own.offset_constant or self.same_design:
                part = _reduce(own.offset, own.offset_constant, sums)[:, None] * design[:1]
            else:
                part = sums.weighted(own.offset, design)
            state.add_coefficients(coefficient, part)
        for loading in self.plan.loadings:
            start, target = self.starts[loading.level], state.factors[loading.level]
            slope = np.ascontiguousarray(own.slope[:, start : start + target.shape[1]])
            if sums.edges is None:
                total = crossed(loading.design, np.ones(len(slope)), slope)[None]
            else:
                total = sums.of(loading.design[:, :, None] * slope[:, None, :])
            np.add.at(np.swapaxes(target, 0, 1), loading.latent, np.swapaxes(total, 0, 1))
        for term in self.terms:
            term.pull(space, own, sums, state)


class Latent:
    """A named latent variable over the clusters of its level.

    Parameters
    ----------
    plan : LatentPlan
    number : int
        Position in the plan.
    clusters : int
        Of its level.
    above : sequence of ndarray of intp, shape (clusters,), or None
        Its clusters' clusters at each level.
    latents : sequence of Latent
        Those before it.
    starts : sequence of int
    """

    def __init__(
        self,
        plan: LatentPlan,
        number: int,
        clusters: int,
        above: Sequence[Index | None],
        latents: Sequence[Latent],
        starts: Sequence[int],
        size: int,
    ) -> None:
        self.plan, self.number = plan, number
        self.predictor = PredictorForm(plan.predictor, clusters, above, latents, starts)
        self.scale = None if plan.scale is None else PredictorForm(plan.scale, clusters, above, (), starts)
        self.columns = slice(starts[plan.level], starts[plan.level] + size)
        own = set() if plan.coordinate < 0 else {starts[plan.level] + k for k in range(plan.coordinate + 1)}
        self.reach = self.predictor.reach | own
        self.pairs = self.predictor.pairs

    def _scales(self, theta: Array) -> Array:
        if self.scale is None:
            return np.ones(1)
        if self.scale.same:
            return np.exp(self.scale.constant_offset(theta))
        values = np.empty(self.scale.n)
        self.scale.offset(theta, values)
        return np.exp(values)

    def form(self, space: Coordinates, theta: Array, factors: Sequence[Array], forms: Sequence[Form]) -> Form:
        """Return the latent variable as a form of its clusters."""
        form = self.predictor.form(space, theta, factors, forms)
        if self.plan.points is not None:
            form.offset -= self.plan.points.mean(theta)
        if self.plan.coordinate < 0:
            return form
        row = factors[self.plan.level][self.plan.coordinate]
        scales = self._scales(theta)
        if form.slope_constant and len(scales) > 1:
            form.slope = np.repeat(form.slope, len(scales), axis=0)
            form.slope_constant = False
        form.slope[:, self.columns] += scales[:, None] * row
        return form

    def pull(self, space: Coordinates, state: Backward) -> None:
        """Carry the adjoint that others have left back."""
        own = state.latents[self.number]
        sums = state.sums[self.plan.level]
        if self.plan.points is not None:
            total = _reduce(own.offset, own.offset_constant, sums)
            state.out -= total[:, None] * self.plan.points.mean_slope(state.theta)
        if self.plan.coordinate >= 0:
            row = state.values[self.plan.level][self.plan.coordinate]
            scales = self._scales(state.theta)
            slope = own.slope[:, self.columns]
            scaled = _reduce(scales[:, None] * slope, own.slope_constant, sums)
            state.factors[self.plan.level][:, self.plan.coordinate] += scaled
            if self.scale is not None:
                adjoint = Adjoint(scales * (slope @ row), own.slope_constant, slope[:, :0], True)
                self.scale.pull(space, adjoint, sums, state)
        self.predictor.pull(space, own, sums, state)


def coordinate_starts(plan: Plan) -> tuple[int, ...]:
    """Return the first coordinate of each level."""
    sizes = [len(level.factor) for level in plan.levels]
    return tuple(int(s) for s in np.concatenate(([0], np.cumsum(sizes)))[:-1])


def named_latents(plan: Plan) -> list[Latent]:
    """Return the named latent variables of a plan."""
    starts = coordinate_starts(plan)
    found: list[Latent] = []
    for number, latent in enumerate(plan.latents):
        count = plan.levels[latent.level].clusters
        above = clusters_of(plan, np.arange(count, dtype=np.intp), latent.level)
        size = len(plan.levels[latent.level].factor)
        found.append(Latent(latent, number, count, above, found, starts, size))
    return found
