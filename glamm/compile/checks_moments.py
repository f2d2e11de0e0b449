"""Which directions of theta change nothing in the distribution of linear predictors, whatever theta is.

Data know theta only through the joint normal distribution of all linear predictors given the classes: their
means and covariances, where the residual variance of a Gaussian response is part of the covariances. The rank
of the Jacobian of these moments at a random theta is the largest there is, so a direction along which none of
them moves is one that no data can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from glamm.compile.factors import fill_factor, pull_factor
from glamm.compile.plan import Plan, PredictorPlan

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.intp]

__all__ = ["Flat", "flat_directions"]

# A derivative is the imaginary part at this distance, without cancellation.
_STEP = 1e-20
# Relative size below which a singular value, or a derivative of a standardised moment, is rounding.
_ZERO = 1e-9
# Units of a top-level cluster whose pairs are looked at, and units looked at first.
_UNITS, _FIRST = 40, 160
# Top-level clusters looked at together at least, and one after the other at most.
_FEWEST, _MOST = 4, 200
# Pairs of units looked at together, for each direction and in any case.
_PAIRS, _SOME = 4, 400
# Condition number of slopes beyond which covariances cannot be told from rounding.
_COLLINEAR = 50.0
# Units looked at together.
_CHUNK = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """What the moments leave undetermined.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        The random point that they were looked at.
    scale : ndarray, shape (P,)
        A change of each parameter that moves linear predictors by about 1.
    directions : ndarray, shape (P, k)
        Columns along which no moment moves; k = 0 where theta is determined.
    """

    theta: Array
    scale: Array
    directions: Array


@dataclass(slots=True, eq=False)
class _Form:
    """Linear predictors ``offset + slope'u + u'square u``, shapes (B, n), (B, n, W) and (B, n, W, W)."""

    offset: Complex
    slope: Complex
    square: Complex | None = None


class _Moments:
    """Linear predictors of chosen units at points ``theta + i step directions``.

    Parameters
    ----------
    plan : Plan
    theta : ndarray, shape (P,)
    directions : ndarray, shape (P, B)
    """

    def __init__(self, plan: Plan, theta: Array, directions: Array) -> None:
        self.plan = plan
        self.theta: Complex = theta + 1j * _STEP * directions.T
        self.sizes = [len(level.factor) for level in plan.levels]
        self.starts = np.concatenate(([0], np.cumsum(self.sizes)))
        self.factors: list[Complex] = []
        for level, q in zip(plan.levels, self.sizes, strict=True):
            slope = np.zeros((q * q, len(theta)))
            pull_factor(level, theta, np.eye(q * q).reshape(q * q, q, q), slope)
            moved = (slope @ directions).T.reshape(directions.shape[1], q, q)
            self.factors.append(fill_factor(level, theta) + 1j * _STEP * moved)

    def predictor(self, plan: PredictorPlan, rows: Index, clusters: Sequence[Index | None]) -> _Form:
        """Return a linear predictor at some of its rows, which lie in the given clusters of each level."""
        points, width = len(self.theta), int(self.starts[-1])
        offset = np.zeros((points, len(rows)), dtype=complex)
        offset += self.theta[:, plan.coefficient] @ plan.design[rows].T
        given = np.asarray(plan.offset)
        offset += given[rows] if given.ndim else given
        form = _Form(offset, np.zeros((points, len(rows), width), dtype=complex))
        for effects in plan.loadings:
            random = effects.design[rows] @ self.factors[effects.level][:, effects.latent]
            form.slope[:, :, self._columns(effects.level)] += random
        if plan.coordinate is not None:
            form.slope[:, :, self.starts[plan.coordinate[0]] + plan.coordinate[1]] += 1.0
        for term in plan.terms:
            coefficient = np.where(term.coefficient < 0, term.held, self.theta[:, term.coefficient])
            part = self._product([self._latent(m, clusters) for m in term.latents])
            loading = coefficient @ term.design[rows].T
            form.offset += loading * part.offset
            form.slope += loading[:, :, None] * part.slope
            if part.square is not None:
                own = loading[:, :, None, None] * part.square
                form.square = own if form.square is None else form.square + own
        return form

    def _columns(self, level: int) -> slice:
        return slice(int(self.starts[level]), int(self.starts[level + 1]))

    def _latent(self, number: int, clusters: Sequence[Index | None]) -> _Form:
        plan = self.plan.latents[number]
        rows = clusters[plan.level]
        assert rows is not None
        above = [None] * plan.level + list(clusters[plan.level :])
        form = self.predictor(plan.predictor, rows, above)
        if plan.points is not None:
            found = [plan.points.values(theta) for theta in self.theta]
            form.offset -= np.array([mass @ location for location, mass in found])[:, None]
        if plan.coordinate >= 0:
            scale = np.ones((1, 1), dtype=complex)
            if plan.scale is not None:
                scale = np.exp(self.predictor(plan.scale, rows, above).offset)
            row = self.factors[plan.level][:, None, plan.coordinate]
            form.slope[:, :, self._columns(plan.level)] += scale[:, :, None] * row
        return form

    @staticmethod
    def _product(parts: Sequence[_Form]) -> _Form:
        if len(parts) == 1:
            return parts[0]
        a, b = parts
        both = a.slope[:, :, :, None] * b.slope[:, :, None, :]
        return _Form(
            a.offset * b.offset,
            a.offset[:, :, None] * b.slope + b.offset[:, :, None] * a.slope,
            0.5 * (both + both.swapaxes(2, 3)),
        )


@dataclass(slots=True, eq=False)
class _Rows:
    """Linear predictors of some units below each other.

    Attributes
    ----------
    offset, slope : ndarray, shapes (B, n) and (B, n, W)
    square : list of ndarray, shape (B, m)
        Entries of the quadratic parts.
    residual : ndarray, shape (B, n)
        Residual variance, 0 where there is none.
    known : ndarray of bool, shape (n,)
        Whether the offset itself is something that data can tell.
    visible : ndarray of bool, shape (n,)
        Whether the variance of a single unit is: not where its distribution leaves no room for more of it.
    clusters : ndarray of intp, shape (levels, n)
    response, row : ndarray of intp, shape (n,)
        What the residual belongs to; -1 where there is none.
    """

    offset: Complex
    slope: Complex
    square: list[Complex]
    residual: Complex
    known: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    clusters: Index
    response: Index
    row: Index

    def collinear(self, starts: Index) -> bool:
        """Return whether slopes of a level are nearly, not exactly, determined by each other."""
        slope = self.slope.real[0]
        for first, last in pairwise(starts.tolist()):
            own = slope[:, first:last]
            length = np.linalg.norm(own, axis=0)
            values = np.linalg.svd(own[:, length > 0.0] / length[length > 0.0], compute_uv=False)
            values = values[values > _ZERO * values.max(initial=0.0)]
            if len(values) and values[0] > _COLLINEAR * values[-1]:
                return True
        return False


class _Sample:
    """Moments of units of a plan.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        top = np.arange(plan.levels[0].clusters, dtype=np.intp)
        self._above = [top]
        for level in plan.levels[:-1]:
            assert level.parent is not None
            self._above.append(level.parent[self._above[-1]])
        self.tops = self._above[-1]
        # beside the normal distribution slopes say more than the covariances that they make
        products = any(len(t.latents) > 1 for m in self._models() for t in m.terms)
        self.plain = products or bool(plan.ratios)

    def _models(self) -> Iterator[PredictorPlan]:
        for unit in self.plan.units:
            yield from unit.predictors
        for latent in self.plan.latents:
            yield latent.predictor

    def clusters(self, rng: np.random.Generator, top: int) -> Index:
        """Return lowest clusters of a top-level cluster: two runs of neighbours."""
        first, last = np.searchsorted(self.tops, [top, top + 1])
        begin = rng.integers(first, last, size=2)
        near = np.concatenate([np.arange(b, min(b + 4, last)) for b in begin])
        return np.unique(near).astype(np.intp)

    def units(self, rng: np.random.Generator, tops: Sequence[int]) -> list[Index]:
        """Return for each response positions of units in some lowest clusters of each top-level cluster."""
        found: list[list[Index]] = [[] for _ in self.plan.units]
        for top in tops:
            chosen = self.clusters(rng, top)
            taken = np.zeros(chosen[-1] - chosen[0] + 1, dtype=bool)
            taken[chosen - chosen[0]] = True
            parts = [
                np.flatnonzero(taken[unit.cluster[slice(*ends)] - chosen[0]]) + ends[0]
                for unit in self.plan.units
                for ends in [np.searchsorted(unit.cluster, [chosen[0], chosen[-1] + 1])]
            ]
            share = _UNITS / max(sum(len(part) for part in parts), 1)
            for own, part in zip(found, parts, strict=True):
                size = int(np.ceil(share * len(part)))
                own.append(np.sort(rng.permutation(part)[:size]) if size < len(part) else part)
        return [np.concatenate([*parts, np.zeros(0, dtype=np.intp)]).astype(np.intp) for parts in found]

    def rows(self, moments: _Moments, units: Sequence[Index]) -> _Rows:
        """Return the linear predictors of units of each response."""
        parts = [self._response(moments, number, rows) for number, rows in enumerate(units) if len(rows)]
        return _Rows(
            np.concatenate([part.offset for part in parts], axis=1),
            np.concatenate([part.slope for part in parts], axis=1),
            [square for part in parts for square in part.square],
            np.concatenate([part.residual for part in parts], axis=1),
            np.concatenate([part.known for part in parts]),
            np.concatenate([part.visible for part in parts]),
            np.concatenate([part.clusters for part in parts], axis=1),
            np.concatenate([part.response for part in parts]),
            np.concatenate([part.row for part in parts]),
        )

    def _response(self, moments: _Moments, number: int, rows: Index) -> _Rows:
        response = self.plan.units[number]
        clusters = [above[response.cluster[rows]] for above in self._above]
        forms = [moments.predictor(plan, rows, clusters) for plan in response.predictors]
        names = [predictor.name for predictor in response.family.predictors(response.encoded)]
        count = len(forms)
        residual = np.zeros((count, *forms[0].offset.shape), dtype=complex)
        known = np.ones((count, len(rows)), dtype=bool)
        owner = np.full((2, count, len(rows)), -1, dtype=np.intp)
        gaussian = response.family.is_quadratic(0) and names == ["mu", "sigma"]
        visible = gaussian or response.family.row_effects(response.encoded)
        if gaussian and not self.plain:
            plan = response.predictors[1]
            if not (plan.loadings or plan.terms):
                residual[0] = np.exp(2.0 * forms[1].offset)
                known[1] = False
                owner[0, 0] = number
                owner[1, 0] = -1 if response.row is None else response.row[rows]
        return _Rows(
            np.concatenate([form.offset for form in forms], axis=1),
            np.concatenate([form.slope for form in forms], axis=1),
            [form.square.reshape(len(form.square), -1) for form in forms if form.square is not None],
            np.concatenate(list(residual), axis=1),
            known.ravel(),
            np.full(known.size, visible),
            np.tile(np.array(clusters), count),
            *owner.reshape(2, -1),
        )

    def derivatives(
        self, moments: _Moments, rows: _Rows, rng: np.random.Generator | None = None, *, every: bool = False
    ) -> Array:
        """Return derivatives (moments, B) of the standardised moments.

        Parameters
        ----------
        moments : _Moments
        rows : _Rows
        rng : numpy Generator, optional
            Chooses pairs of units; without it covariances of different units are left out.
        every : bool
            Whether all pairs of units are looked at.
        """
        if self.plain:
            wide = rows.slope.reshape(len(rows.slope), -1)
            free = [part.index for part in self.plan.residual_covariances if part.index >= 0]
            return (
                np.concatenate([rows.offset, wide, *rows.square, moments.theta[:, free]], axis=1).imag.T
                / _STEP
            )
        variance = np.sum(rows.slope**2, axis=2) + rows.residual
        spread = 1.0 + variance.real[0]
        found = [(rows.offset / np.sqrt(spread))[:, rows.known], (variance / spread)[:, rows.visible]]
        if rng is not None or every:
            top = rows.clusters[-1]
            i, j = np.nonzero(np.tril(top[:, None] == top[None, :], -1))
            if rng is not None:
                chosen = rng.permutation(len(i))[: _PAIRS * len(rows.offset) + _SOME]
                i, j = i[chosen], j[chosen]
            covariance = np.zeros((len(rows.offset), len(i)), dtype=complex)
            for level, clusters in enumerate(rows.clusters):
                own = rows.slope[:, :, moments.starts[level] : moments.starts[level + 1]]
                covariance += np.einsum("bnw,bnw->bn", own[:, i], own[:, j]) * (clusters[i] == clusters[j])
            for part in self.plan.residual_covariances:
                value = moments.theta[:, part.index] if part.index >= 0 else np.array([part.held])
                pair = {part.first, part.second}
                both = [{a, b} == pair for a, b in zip(rows.response[i], rows.response[j], strict=True)]
                covariance += value[:, None] * (both & (rows.row[i] == rows.row[j]))
            found.append(covariance / np.sqrt(spread[i] * spread[j]))
        return np.concatenate(found, axis=1).imag.T / _STEP


def _whitened(plan: Plan) -> Array:
    """Return directions (P, P) that move linear predictors, and loadings, by about 1 each."""
    directions = np.eye(plan.n_parameters)
    seen = np.zeros(plan.n_parameters, dtype=bool)
    models = [model for unit in plan.units for model in unit.predictors]
    for latent in plan.latents:
        models += [latent.predictor] if latent.scale is None else [latent.predictor, latent.scale]
    designs = [(model.design, model.coefficient) for model in models]
    designs += [
        (term.design[:, term.coefficient >= 0], term.coefficient[term.coefficient >= 0])
        for model in models
        for term in model.terms
    ]
    for design, coefficient in designs:
        if not coefficient.size or seen[coefficient].any() or len(np.unique(coefficient)) < len(coefficient):
            continue
        seen[coefficient] = True
        triangle = np.linalg.qr(design, mode="r") / np.sqrt(len(design))
        length = np.linalg.norm(triangle, axis=0)
        if len(triangle) == len(coefficient) and (np.abs(np.diagonal(triangle)) > 1e-12 * length).all():
            directions[np.ix_(coefficient, coefficient)] = np.linalg.inv(triangle)
    return directions


def _point(plan: Plan, directions: Array, rng: np.random.Generator) -> Array | None:
    """Return a random theta at which the latent covariance matrices exist, None if none is found."""
    for size in 0.5 ** np.arange(1, 30):
        theta: Array = plan.start + directions @ rng.uniform(-size, size, plan.n_parameters)
        if all(np.isfinite(fill_factor(level, theta)).all() for level in plan.levels):
            return theta
    return None


def _still(derivatives: Array, directions: Array, *, relative: bool) -> Array:
    """Return the combinations of the directions along which nothing moves."""
    length = np.linalg.norm(derivatives, axis=0) if relative else np.ones(directions.shape[1])
    length = np.where(length > 0.0, length, 1.0)
    triangle = np.linalg.qr(derivatives / length, mode="r")
    _, values, vectors = np.linalg.svd(triangle)
    rank = int((values > _ZERO * (max(values.max(initial=0.0), 1.0))).sum())
    found = (directions / length) @ vectors[rank:].T
    return np.asarray(found / np.linalg.norm(vectors[rank:].T / length[:, None], axis=0))


def flat_directions(plan: Plan) -> Flat:
    """Return the directions of theta along which no moment of the linear predictors moves.

    Parameters
    ----------
    plan : Plan
    """
    rng = np.random.default_rng(0)
    sample = _Sample(plan)
    whitened = _whitened(plan)
    scale = np.linalg.norm(whitened, axis=1)
    nothing = np.zeros((plan.n_parameters, 0))
    theta = _point(plan, whitened, rng)
    if theta is None:
        return Flat(plan.start, scale, nothing)
    along = np.zeros((0, len(theta)))
    if plan.constraints is not None:
        along = plan.constraints.equality_slopes(theta) @ whitened
    length = np.linalg.norm(along, axis=1)
    along = along[length > 0.0] / length[length > 0.0, None]
    order = rng.permutation(np.flatnonzero(np.bincount(sample.tops)))
    mean = min(sum(len(unit.cluster) for unit in plan.units) / len(order), _UNITS)
    size = max(_FEWEST, int(_FIRST / max(mean, 1.0)))
    directions = whitened
    # derivatives may multiply an infinite log of a scale of 0
    with np.errstate(invalid="ignore"):
        for begin in range(0, min(len(order), _MOST), size):
            moments = _Moments(plan, theta, directions)
            rows = sample.rows(moments, sample.units(rng, order[begin : begin + size].tolist()))
            if not begin and rows.collinear(moments.starts):
                return Flat(theta, scale, nothing)
            moved = sample.derivatives(moments, rows, rng)
            if not begin:
                moved = np.concatenate([along, moved])
            directions = _still(moved, directions, relative=not begin)
            if not directions.shape[1]:
                return Flat(theta, scale, nothing)
        # a pair that decides may have been missed: what is left meets every pair before it is blamed
        for top in order[:_MOST]:
            moments = _Moments(plan, theta, directions)
            rows = sample.rows(moments, sample.units(rng, [int(top)]))
            directions = _still(sample.derivatives(moments, rows, every=True), directions, relative=False)
            if not directions.shape[1]:
                return Flat(theta, scale, nothing)
        # what few units have, like a rare category, is seen when all are looked at
        longest = max(len(unit.cluster) for unit in plan.units)
        for first in range(0, longest, _CHUNK):
            moments = _Moments(plan, theta, directions)
            units = [np.arange(first, min(first + _CHUNK, len(u.cluster)), dtype=np.intp) for u in plan.units]
            moved = sample.derivatives(moments, sample.rows(moments, units))
            directions = _still(moved, directions, relative=False)
    return Flat(theta, scale, directions)
