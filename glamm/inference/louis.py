"""Observed information by Louis's formula, where items have no covariates.

With one level, and linear predictors that differ between responses but not between their units, theta acts
through a few numbers for each response: offsets and slopes of its predictors. The information in those is

    - sum_j (cov_j(T) + E_j(D)),

posterior covariances of a cluster's scores T and expectations of its second derivatives D over nodes. It
costs as much as a few evaluations; differences of the gradient cost one evaluation for every parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.adjoints import Adjoint, Backward, Form, Sums
from glamm.inference.rules import rule
from glamm.kernels._block import evaluate

if TYPE_CHECKING:
    from glamm.inference.objective import Objective, Units

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["applies", "louis_information"]

STEP = 1e-5
"""Of differences of what adjoints mean for theta, relative."""

CHUNK = 2_000_000
"""Node values of scores held at once."""


def applies(objective: Objective) -> bool:
    """Return whether every linear predictor is the same for all units of its response."""
    plan = objective.plan
    predictors = [p for units in objective.units for p in units.predictors]
    latent = [part for m in objective.latents for part in (m.predictor, m.scale) if part is not None]
    return (
        len(plan.levels) == 1
        and not plan.residual_covariances
        and plan.levels[0].group is None
        and not any(objective.dimensions[0] < len(level.factor) for level in plan.levels)
        and not any(units.multiplies or units.plan.weight is not None for units in objective.units)
        and not any(np.any(np.diff(units.plan.cluster) == 0) for units in objective.units)
        and all(p.same and not p.plan.loadings and p.plan.coordinate is None for p in predictors + latent)
        and all(term.constant for p in predictors + latent for term in p.terms)
    )


class _Scores:
    """Scores and curvature of the units of a chunk of clusters in the numbers of one response."""

    def __init__(self, units: Units, forms: Sequence[Form], nodes: Array, first: int) -> None:
        """Evaluate the units of the clusters from `first` on, whose `nodes` are (clusters, R, q)."""
        plan = units.plan
        last = first + len(nodes)
        begin, end = np.searchsorted(plan.cluster, (first, last))
        self.rows = plan.cluster[begin:end] - first
        own = nodes[self.rows]
        n, points, _ = own.shape
        nu = [form.offset[0] + own @ form.slope[0] for form in forms]
        channels = None if plan.channels is None else plan.channels[begin:end]
        fed = np.zeros((units.channels, n, points))
        for k in range(units.channels):
            if channels is None:
                fed[k] = nu[k]
                continue
            for p, values in enumerate(nu):
                mask = channels[:, k] == p
                fed[k, mask] = values[mask]
        y = np.repeat(plan.encoded.y[begin:end], points, axis=0)
        flat = fed.reshape(units.channels, -1)
        kernel = plan.family.kernel()
        if kernel is None:
            value, first_order, second = plan.family.block(y, list(flat[:, None]), 2)
            parts = value[0], np.concatenate(first_order), np.concatenate(second)
        else:
            parts = evaluate(kernel, y, flat)
        shape = (-1, n, points)
        self.value = np.asarray(parts[0]).reshape(n, points)
        d1, d2 = np.asarray(parts[1]).reshape(shape), np.asarray(parts[2]).reshape(shape)
        size = len(forms)
        feeds = [
            [np.ones(n) * (k == p) if channels is None else (channels[:, k] == p) * 1.0 for p in range(size)]
            for k in range(units.channels)
        ]
        self.first = np.zeros((size, n, points))
        self.second = np.zeros((size, size, n, points))
        pair = 0
        for k in range(units.channels):
            for p in range(size):
                self.first[p] += feeds[k][p][:, None] * d1[k]
            for other in range(k, units.channels):
                for p in range(size):
                    for q in range(size):
                        part = (feeds[k][p] * feeds[other][q])[:, None] * d2[pair]
                        self.second[p, q] += part
                        if other > k:
                            self.second[q, p] += part
                pair += 1


def _local(objective: Objective, theta: Array, all_forms: Sequence[Sequence[Form]]) -> tuple[Array, Array]:
    """Return the information (M, M) and the gradient (M,) in the numbers of the responses."""
    level = objective.plan.levels[0]
    q = len(level.factor)
    mean, cov = objective.standard_moments(theta)
    z, log_weight = rule(q, objective.points[0])
    log_weight = log_weight - 0.5 * np.einsum("ri,ri->r", z, z)
    width = 1 + q
    starts = np.concatenate(([0], np.cumsum([width * len(forms) for forms in all_forms])))
    size = int(starts[-1])
    information, gradient = np.zeros((size, size)), np.zeros(size)
    step = max(1, CHUNK // (size * len(z)))
    for first in range(0, level.clusters, step):
        last = min(first + step, level.clusters)
        root = np.linalg.cholesky(cov[first:last])
        nodes = mean[first:last, None, :] + z @ np.swapaxes(root, 1, 2)
        found = [
            _Scores(units, forms, nodes, first)
            for units, forms in zip(objective.units, all_forms, strict=True)
        ]
        # importance weights of the nodes: prior and likelihood over the normal they were placed by
        log_p = log_weight + 0.5 * np.einsum("ri,ri->r", z, z) - 0.5 * np.einsum("jri,jri->jr", nodes, nodes)
        for scores in found:
            log_p[scores.rows] += scores.value
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        weight = np.ones(last - first) if level.weight is None else level.weight[first:last]
        basis = np.concatenate([np.ones((*nodes.shape[:2], 1)), nodes], axis=2)
        scored = np.zeros((last - first, len(z), size))
        for start, scores in zip(starts, found, strict=False):
            own = basis[scores.rows]
            weighted = (weight[:, None] * p)[scores.rows]
            count = len(scores.first)
            for a in range(count):
                at = slice(start + a * width, start + (a + 1) * width)
                scored[scores.rows, :, at] = scores.first[a][:, :, None] * own
                for b in range(count):
                    to = slice(start + b * width, start + (b + 1) * width)
                    curve = weighted * scores.second[a, b]
                    bent = (own * curve[:, :, None]).reshape(-1, width)
                    information[at, to] -= bent.T @ own.reshape(-1, width)
        centre = np.einsum("jr,jrm->jm", p, scored)
        gradient += weight @ centre
        scored -= centre[:, None, :]
        scored *= np.sqrt(weight[:, None] * p)[:, :, None]
        flat = scored.reshape(-1, size)
        information -= flat.T @ flat
    return information, gradient


def louis_information(objective: Objective, theta: Array) -> Array:
    """Return the observed information, shape (P, P), of an objective to which it `applies`.

    It is that of the likelihood itself, with expectations by the objective's rule around posterior means: as
    accurate as the rule, not the exact derivative of the rule's own error.
    """
    space = objective.space

    def pulled(at: Array, adjoint: Callable[[int], tuple[Array, Array]], tops: int) -> Array:
        """Return what adjoints of every predictor's form mean for theta, (tops, P)."""
        factors = objective.factors(at)
        state = Backward([Sums(None)], at, factors, objective.latent_forms(at, factors), tops)
        predictors = (predictor for units in objective.units for predictor in units.predictors)
        for place, predictor in enumerate(predictors):
            offset, slope = adjoint(place)
            predictor.pull(space, Adjoint(offset, True, slope, True), Sums(None), state)
        for latent in reversed(objective.latents):
            latent.pull(space, state)
        objective.pull_factors(at, state)
        return state.out

    factors = objective.factors(theta)
    latents = objective.latent_forms(theta, factors)
    made = [[p.form(space, theta, factors, latents) for p in units.predictors] for units in objective.units]
    information, gradient = _local(objective, theta, made)
    width = 1 + space.width
    identity, gradients = np.eye(len(gradient)), gradient.reshape(-1, width)

    def unit(place: int) -> tuple[Array, Array]:
        rows = identity[:, place * width : (place + 1) * width]
        return rows[:, 0].copy(), rows[:, 1:].copy()

    def fixed(place: int) -> tuple[Array, Array]:
        return gradients[place, :1].copy(), gradients[place : place + 1, 1:].copy()

    jacobian = pulled(theta, unit, len(gradient))
    found: Array = jacobian.T @ information @ jacobian
    # predictors are linear in their own coefficients: what bends them is what makes the latent variables
    inner = _inner(objective.plan)
    curved = np.empty((len(inner), len(theta)))
    for row, k in zip(curved, inner, strict=True):
        h = STEP * max(1.0, abs(theta[k]))
        up, down = theta.copy(), theta.copy()
        up[k] += h
        down[k] -= h
        row[:] = (pulled(up, fixed, 1)[0] - pulled(down, fixed, 1)[0]) / (2.0 * h)
    outer = np.setdiff1d(np.arange(len(theta)), inner)
    found[np.ix_(inner, inner)] -= 0.5 * (curved[:, inner] + curved[:, inner].T)
    found[np.ix_(inner, outer)] -= curved[:, outer]
    found[np.ix_(outer, inner)] -= curved[:, outer].T
    return found


def _inner(plan: Plan) -> Index:
    """Return the parameters that the latent variables depend on, ascending."""
    level = plan.levels[0]
    parts = [level.factor.ravel(), *(block.index.ravel() for block in level.blocks)]
    for latent in plan.latents:
        for predictor in (latent.predictor, latent.scale):
            if predictor is not None:
                parts += [predictor.coefficient, *(term.coefficient for term in predictor.terms)]
    found = np.unique(np.concatenate(parts))
    return found[found >= 0].astype(np.intp)
