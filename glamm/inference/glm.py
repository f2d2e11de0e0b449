"""Maximum likelihood of the fixed part alone: every linear predictor at once, damped Newton steps.

The latent variables are left out, or enter as known offsets. Starting values need no more, and for a
model without latent variables this is the fit itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResponsePlan, TermPlan
from glamm.kernels._block import evaluate
from glamm.kernels._products import crossed, rows_times, times_rows
from glamm.numdiff import pairs
from glamm.protocols import Encoded

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Derivatives", "FixedPart", "Term", "fit_fixed_part", "fixed_parts"]


REACH = 8.0
"""Longest step of a linear predictor, relative to the precision of one unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """Design of latent variables of one level in the linear predictor `predictor`; see `LoadingPlan`."""

    predictor: int
    level: int
    design: Array
    latent: Index


@dataclass(frozen=True, slots=True, eq=False)
class FixedPart:
    """One response, ready for passes over its rows.

    Attributes
    ----------
    response : ResponsePlan
        Where it comes from.
    y : ndarray, shape (n, ny)
    weight : ndarray, shape (n,)
        Product of the weights of a unit and of its clusters.
    designs, coefficients, offsets : tuple
        By predictor: ndarray (n, p), ndarray of intp (p,), ndarray (n,) or float.
    channels : ndarray of intp, shape (n, K), or None
    terms : tuple of Term
        Random effects.
    named : tuple of (predictor, TermPlan)
        Named latent variables.
    clusters : tuple of ndarray of intp, shape (n,)
        Cluster of each unit, by level.
    groups : tuple of (channel, predictor, rows)
        Units whose channel is fed by the predictor.
    kernel : PyCapsule or None
        Compiled block function of the family.
    """

    response: ResponsePlan
    y: Array
    weight: Array
    designs: tuple[Array, ...]
    coefficients: tuple[Index, ...]
    offsets: tuple[Array | float, ...]
    channels: Index | None
    terms: tuple[Term, ...]
    named: tuple[tuple[int, TermPlan], ...]
    clusters: tuple[Index, ...]
    groups: tuple[tuple[int, int, slice | Index], ...]
    kernel: Any


@dataclass(frozen=True, slots=True, eq=False)
class Derivatives:
    """Log-likelihood of a `FixedPart` and its weighted derivatives at some linear predictors.

    Attributes
    ----------
    loglik : float
    first : ndarray, shape (predictors, n)
    curvature : ndarray, shape (predictors, n)
        Negative second derivative of each unit in each of its predictors, not below zero.
    second : list of ndarray, shape (n,)
        Second derivatives in the channels, in the order of `glamm.numdiff.pairs`.
    """

    loglik: float
    first: Array
    curvature: Array
    second: list[Array]


def _rows_of(plan: Plan, response: ResponsePlan) -> tuple[list[Index], Array]:
    """Return the cluster of each unit at each level, and the units' total weights."""
    n = response.cluster.shape[0]
    weight = np.ones(n) if response.weight is None else np.array(response.weight, dtype=float)
    at = response.cluster
    clusters = []
    for level in plan.levels:
        clusters.append(at)
        if level.weight is not None:
            weight *= level.weight[at]
        if level.parent is not None:
            at = level.parent[at]
    return clusters, weight


def fixed_parts(plan: Plan) -> tuple[FixedPart, ...]:
    """Return the responses of `plan`."""
    parts = []
    for response in plan.responses:
        clusters, weight = _rows_of(plan, response)
        n = weight.shape[0]
        channels = response.channels
        groups: list[tuple[int, int, slice | Index]] = []
        if channels is None:
            groups = [(k, k, slice(None)) for k in range(len(response.predictors))]
        else:
            for k in range(channels.shape[1]):
                fed = channels[:, k]
                groups += [(k, int(p), np.flatnonzero(fed == p)) for p in np.unique(fed) if p >= 0]
        part = FixedPart(
            response=response,
            y=np.ascontiguousarray(response.encoded.y, dtype=float),
            weight=weight,
            designs=tuple(p.design for p in response.predictors),
            coefficients=tuple(p.coefficient for p in response.predictors),
            offsets=tuple(p.offset for p in response.predictors),
            channels=channels,
            terms=tuple(
                Term(k, loading.level, loading.design, loading.latent)
                for k, p in enumerate(response.predictors)
                for loading in p.loadings
            ),
            named=tuple((k, term) for k, p in enumerate(response.predictors) for term in p.terms),
            clusters=tuple(clusters),
            groups=tuple(groups),
            kernel=response.family.kernel(),
        )
        if n:
            parts.append(part)
    return tuple(parts)


def _intercept(design: Array) -> int | None:
    """Return the position of a column of ones, or None."""
    if not design.shape[0]:
        return None
    for column in np.flatnonzero((design[0] == 1.0) & (design[-1] == 1.0)):
        if np.all(design[:, column] == 1.0):
            return int(column)
    return None


def intercept_start(plan: Plan, parts: tuple[FixedPart, ...]) -> Array:
    """Return `plan.start` with the families' own starting intercepts put in."""
    theta = np.array(plan.start, dtype=float)
    for part in parts:
        encoded = Encoded(part.y, part.response.encoded.categories)
        values = part.response.family.start(encoded, part.weight)
        for design, coefficient, offset, value in zip(
            part.designs, part.coefficients, part.offsets, values, strict=True
        ):
            column = _intercept(design)
            if column is not None and np.isfinite(value):
                theta[coefficient[column]] = value - float(np.mean(offset))
    return theta


def linear_predictors(part: FixedPart, theta: Array) -> Array:
    """Return the fixed part of the linear predictors, shape (predictors, n)."""
    nu = np.empty((len(part.designs), part.weight.shape[0]))
    for k, (design, coefficient, offset) in enumerate(
        zip(part.designs, part.coefficients, part.offsets, strict=True)
    ):
        rows_times(design, theta[coefficient], nu[k])
        nu[k] += offset
    return nu


def derivatives(part: FixedPart, nu: Array) -> Derivatives:
    """Return log-likelihood and derivatives of `part` at the linear predictors `nu`, (predictors, n)."""
    if part.channels is None:
        channels = nu
    else:
        fed = part.channels.T
        channels = np.where(fed >= 0, nu[fed, np.arange(nu.shape[1])], 0.0)
    value, d1, d2 = _block(part, np.ascontiguousarray(channels))
    loglik = float(value @ part.weight)
    own = {k: p for p, (k, m) in enumerate(pairs(channels.shape[0])) if k == m}
    first = np.zeros_like(nu)
    curvature = np.zeros_like(nu)
    second = [row * part.weight for row in d2]
    for k, predictor, rows in part.groups:
        first[predictor, rows] += (d1[k] * part.weight)[rows]
        curvature[predictor, rows] += np.maximum(-second[own[k]][rows], 0.0)
    return Derivatives(loglik if np.isfinite(loglik) else -np.inf, first, curvature, second)


def _block(part: FixedPart, channels: Array) -> tuple[Array, Array, Array]:
    """Return the log density of each unit and its derivatives in the channels, each (n,) by row."""
    if part.kernel is not None:
        found: tuple[Array, Array, Array] = evaluate(part.kernel, part.y, channels)
        return found
    n = channels.shape[1]
    with np.errstate(all="ignore"):
        value, d1, d2 = part.response.family.block(part.y, [row[None] for row in channels], order=2)

    def flat(arrays: Sequence[Array]) -> Array:
        return np.array([np.broadcast_to(a, (1, n))[0] for a in arrays], dtype=float)

    return flat(value)[0], flat(d1), flat(d2)


def _normal_equations(part: FixedPart, at: Derivatives, gradient: Array, information: Array) -> None:
    """Add the part's gradient and observed information in theta to `gradient` and `information`."""
    for design, coefficient, first in zip(part.designs, part.coefficients, at.first, strict=True):
        np.add.at(gradient, coefficient, times_rows(first, design))
    position = {pair: p for p, pair in enumerate(pairs(_channel_count(part)))}
    for k, a, rows in part.groups:
        for m, b, others in part.groups:
            if m < k:
                continue
            both = rows if isinstance(rows, slice) or rows is others else _common(rows, others)
            weight = -at.second[position[k, m]][both]
            block = crossed(part.designs[a][both], weight, part.designs[b][both])
            ca, cb = part.coefficients[a], part.coefficients[b]
            np.add.at(information, np.ix_(ca, cb), block)
            if m > k:
                np.add.at(information, np.ix_(cb, ca), block.T)


def _common(rows: Index, others: slice | Index) -> Index:
    """Return the units in both sets."""
    return rows[others] if isinstance(others, slice) else np.intersect1d(rows, others, assume_unique=True)


def _channel_count(part: FixedPart) -> int:
    return len(part.designs) if part.channels is None else int(part.channels.shape[1])


def newton_direction(information: Array, gradient: Array) -> Array:
    """Return ``H^-1 g`` with curvatures of the wrong sign reversed and flat directions left alone."""
    scale = np.sqrt(np.abs(np.diagonal(information)))
    used = scale > 0.0
    scale[~used] = 1.0
    scaled = information / np.outer(scale, scale)
    scaled[~used, ~used] = 1.0
    try:
        lower = np.linalg.cholesky(scaled)
        if np.diagonal(lower).min() > 1e-5:
            half = np.linalg.solve(lower, gradient / scale)
            return np.asarray(np.linalg.solve(lower.T, half) / scale)
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    values = np.abs(values)
    inverse = np.zeros_like(values)
    steep = values > 1e-10 * values.max(initial=0.0)
    inverse[steep] = 1.0 / values[steep]
    step: Array = (vectors @ (inverse * (vectors.T @ (gradient / scale)))) / scale
    return step


@dataclass(frozen=True, slots=True, eq=False)
class FixedFit:
    """Fit of the fixed part: theta, derivatives by part, and the information in theta (zero outside it)."""

    theta: Array
    at: tuple[Derivatives, ...]
    information: Array


def _reach(at: Derivatives) -> Array:
    """Return how far a step may move each linear predictor, shape (predictors,)."""
    average = at.curvature.mean(axis=1)
    return REACH / np.sqrt(np.where(average > 0.0, average, 1.0))


def _share(part: FixedPart, step: Array, reach: Array) -> float:
    """Return the share of a step in theta that keeps to `reach`."""
    share = 1.0
    for design, coefficient, limit in zip(part.designs, part.coefficients, reach, strict=True):
        if coefficient.size:
            moved = design @ step[coefficient]
            share = min(share, float(limit) / max(float(np.max(np.abs(moved))), 1e-300))
    return share


def _evaluate(parts: tuple[FixedPart, ...], theta: Array, extra: list[Array] | None) -> list[Derivatives]:
    found = []
    for r, part in enumerate(parts):
        nu = linear_predictors(part, theta)
        if extra is not None:
            nu += extra[r]
        found.append(derivatives(part, nu))
    return found


def fit_fixed_part(
    parts: tuple[FixedPart, ...],
    theta: Array,
    extra: list[Array] | None = None,
    *,
    tolerance: float = 1e-4,
    max_iterations: int = 25,
) -> FixedFit:
    """Return the maximum of the fixed part's log-likelihood from `theta`.

    No step moves a linear predictor by more than some units of its own precision. Where responses are
    separated that, and the end as soon as the gain falls below `tolerance`, keeps coefficients moderate.

    Parameters
    ----------
    parts : tuple of FixedPart
    theta : ndarray, shape (P,)
    extra : list of ndarray, shape (predictors, n), optional
        Known parts of the linear predictors, by response.
    tolerance : float
        Newton decrement at which to stop.
    max_iterations : int
    """
    size = theta.shape[0]
    at = _evaluate(parts, theta, extra)
    value = sum(d.loglik for d in at)
    reach = [_reach(d) for d in at]
    information = np.zeros((size, size))
    for _ in range(max_iterations if np.isfinite(value) else 0):
        gradient = np.zeros(size)
        information = np.zeros((size, size))
        for part, d in zip(parts, at, strict=True):
            _normal_equations(part, d, gradient, information)
        if not (np.isfinite(gradient).all() and np.isfinite(information).all()):
            break
        step = newton_direction(information, gradient)
        gain = float(gradient @ step)
        if gain < tolerance:
            break
        share = min(1.0, *(_share(part, step, limit) for part, limit in zip(parts, reach, strict=True)))
        step, gain = share * step, share * gain
        for _ in range(20):
            trial = _evaluate(parts, theta + step, extra)
            trial_value = sum(d.loglik for d in trial)
            if trial_value >= value + 1e-4 * gain:
                break
            step, gain = 0.4 * step, 0.4 * gain
        else:
            break
        theta, at, value = theta + step, trial, trial_value
    return FixedFit(theta, tuple(at), information)
