"""Starting loadings of named latent variables: one-factor fits to cross-moments of their indicators.

An indicator is a design column that a latent variable multiplies in a linear predictor. Scores s_i of two
indicators, summed over a cluster, have the expected product ``lambda_i lambda_j phi I_i I_j`` with their
informations I, once products of one unit with itself are left out. No noise variance is needed for that, and
an indicator that is not observed in a cluster just adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.glm import Derivatives, FixedPart
from glamm.inference.moments import add_by

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Measures", "one_factor", "start_loadings"]

SWEEPS = 60

CLOSE = 1e-3
"""Change of loadings in their units at which sweeps end."""

MOST = 0.9
"""Most of the variance of an indicator that a latent variable may account for."""

LEAST = 0.15
"""Least length of a loading that gives a latent variable its scale, relative to one of unit information."""


@dataclass(frozen=True, slots=True, eq=False)
class _Indicator:
    """A design column (n,) in predictor `predictor` of the part numbered `part`."""

    part: int
    predictor: int
    column: Array


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """The indicators of one latent variable.

    Attributes
    ----------
    latent : int
    indicator : ndarray of intp, shape (J,)
        Positions among those of the level.
    coefficient : ndarray of intp, shape (J,)
        Position of each loading in theta; -1 where it is held.
    held : ndarray, shape (J,)
    """

    latent: int
    indicator: Index
    coefficient: Index
    held: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Moments of indicators, each in units of its own mean information.

    Attributes
    ----------
    unit : ndarray, shape (J,)
        Length of a loading of unit information.
    product, weight : ndarray, shape (J, J)
        Mean products of pairs of indicators and what they rest on; 0 where a pair has none.
    total : ndarray, shape (J,)
        Mean squares.
    """

    unit: Array
    product: Array
    weight: Array
    total: Array


def _gather(plan: Plan, parts: Sequence[FixedPart], level: int) -> tuple[list[_Indicator], list[Measures]]:
    """Return the distinct indicators of a level's latent variables, and which are whose."""
    found: list[_Indicator] = []
    owned: dict[int, list[tuple[int, int, float]]] = {}
    for r, part in enumerate(parts):
        for k, term in part.named:
            if len(term.latents) > 1 or plan.latents[term.latents[0]].level != level:
                continue
            own = owned.setdefault(term.latents[0], [])
            for column, coefficient, held in zip(term.design.T, term.coefficient, term.held, strict=True):
                before = [found[j] for j, _, _ in own if (found[j].part, found[j].predictor) == (r, k)]
                # where columns of one latent variable overlap, the first stands for it
                if (coefficient < 0 and held == 0.0) or any(np.any(b.column * column) for b in before):
                    continue
                place = next(
                    (
                        j
                        for j, other in enumerate(found)
                        if (other.part, other.predictor) == (r, k) and np.array_equal(other.column, column)
                    ),
                    len(found),
                )
                if place == len(found):
                    found.append(_Indicator(r, k, column))
                own.append((place, int(coefficient), float(held)))
    measures = [
        Measures(
            latent,
            np.array([j for j, _, _ in own], dtype=np.intp),
            np.array([c for _, c, _ in own], dtype=np.intp),
            np.array([h for _, _, h in own]),
        )
        for latent, own in owned.items()
        if own
    ]
    return found, sorted(measures, key=lambda m: (-len(m.indicator), m.latent))


def _moments(
    plan: Plan,
    parts: Sequence[FixedPart],
    at: Sequence[Derivatives],
    indicators: Sequence[_Indicator],
    level: int,
) -> _Moments:
    size = len(indicators)
    count = plan.levels[level].clusters
    below = plan.levels[level - 1].clusters if level else 0
    score, information = np.zeros((count, size)), np.zeros((count, size))
    sub_score, sub_information = np.zeros((below, size)), np.zeros((below, size))
    own, own_information = np.zeros((size, size)), np.zeros((size, size))
    for r, part in enumerate(parts):
        here = [j for j, indicator in enumerate(indicators) if indicator.part == r]
        if not here:
            continue
        columns = np.stack([indicators[j].column for j in here], axis=1)
        first = np.stack([at[r].first[indicators[j].predictor] for j in here], axis=1) * columns
        curvature = np.stack([at[r].curvature[indicators[j].predictor] for j in here], axis=1) * columns**2
        for of_units, of_clusters, of_sub in (
            (first, score, sub_score),
            (curvature, information, sub_information),
        ):
            total = np.zeros((count, len(here)))
            add_by(part.clusters[level], of_units, total)
            of_clusters[:, here] += total
            if level:
                total = np.zeros((below, len(here)))
                add_by(part.clusters[level - 1], of_units, total)
                of_sub[:, here] += total
        own[np.ix_(here, here)] += first.T @ first
        own_information[np.ix_(here, here)] += curvature.T @ curvature
    product, weight = score.T @ score, information.T @ information
    squares = np.diagonal(product) / np.where(np.diagonal(weight) > 0.0, np.diagonal(weight), 1.0)
    if level:
        inner, inner_weight = sub_score.T @ sub_score, sub_information.T @ sub_information
        # units whose lower cluster is all there is of the cluster are told apart by themselves
        alone = weight - inner_weight <= 1e-3 * weight
        own, own_information = np.where(alone, own, inner), np.where(alone, own_information, inner_weight)
    pure = weight - own_information
    used = pure > 1e-3 * weight
    filled = information > 0.0
    mean = information.sum(axis=0) / np.maximum(filled.sum(axis=0), 1)
    unit = 1.0 / np.sqrt(np.where(mean > 0.0, mean, 1.0))
    both = np.outer(unit, unit)
    ratio = np.where(used, (product - own) / np.where(used, pure, 1.0), 0.0) / both
    return _Moments(unit, ratio, np.where(used, pure, 0.0) * both**2, squares / unit**2)


def one_factor(
    product: Array, weight: Array, most: Array, measures: Measures, unit: Array, scale: float | None
) -> tuple[Array, float]:
    """Return loadings (J,) times the latent variable's standard deviation, and that.

    Alternating least squares over the pairs that have a weight, with held loadings in proportion and shared
    ones equal.

    Parameters
    ----------
    product, weight : ndarray, shape (J, J)
    most : ndarray, shape (J,)
        Longest loading, in its unit.
    measures : Measures
    unit : ndarray, shape (J,)
    scale : float or None
        Standard deviation if it is held.
    """
    held = np.flatnonzero(measures.coefficient < 0)
    shared = [np.flatnonzero(measures.coefficient == c) for c in set(measures.coefficient.tolist()) - {-1}]
    shared = [group for group in shared if len(group) > 1]
    precision = unit**-2.0
    ratio = measures.held[held] / unit[held]
    square = float(ratio @ ratio)

    def restricted(loading: Array) -> Array:
        loading = np.minimum(np.maximum(loading, -most), most)
        if len(held):
            sd = max(float(loading[held] @ ratio) / square, LEAST / np.sqrt(square))
            loading[held] = (sd if scale is None else scale) * ratio
        for group in shared:
            equal = loading[group] * unit[group] @ precision[group] / precision[group].sum()
            loading[group] = equal / unit[group]
        return loading

    if not weight.any():
        loading = restricted(np.sqrt(0.5) * np.ones(len(unit)))
    else:
        filled = product + np.diag(np.abs(product).max(axis=1) * (np.diagonal(weight) == 0.0))
        values, vectors = np.linalg.eigh(filled)
        loading = np.sqrt(max(values[-1], 0.1)) * vectors[:, -1]
        lead = loading[held] @ ratio if len(held) else loading.sum()
        loading = restricted(loading * (1.0 if lead >= 0.0 else -1.0))
        paired = weight.any(axis=1)
        weighted = weight * product
        for _ in range(SWEEPS):
            bend = np.where(paired, weight @ loading**2, 1.0)
            best = np.where(paired, weighted @ loading / np.where(bend > 0.0, bend, 1.0), loading)
            new = restricted(0.5 * (loading + best))
            if np.abs(new - loading).max() < CLOSE:
                break
            loading = new
    if len(held):
        return loading * unit, float(loading[held] @ ratio) / square
    return loading * unit, 1.0 if scale is None else scale


def start_loadings(
    plan: Plan,
    parts: Sequence[FixedPart],
    at: Sequence[Derivatives],
    theta: Array,
    held_sd: Sequence[float | None],
) -> Array:
    """Return theta with loadings found from the data.

    Parameters
    ----------
    plan : Plan
    parts : sequence of FixedPart
    at : sequence of Derivatives
        At the linear predictors without latent variables.
    theta : ndarray, shape (P,)
    held_sd : sequence of float or None
        Standard deviation of each named latent variable, where it is held.
    """
    total, precision = np.zeros(len(theta)), np.zeros(len(theta))
    for level in range(len(plan.levels)):
        indicators, owners = _gather(plan, parts, level)
        if not indicators:
            continue
        moments = _moments(plan, parts, at, indicators, level)
        product = moments.product.copy()
        above = [k for k in range(level + 1, len(plan.levels)) if len(plan.levels[k].factor)]
        if above:
            # what different clusters of a higher one have in common does not come from this level
            upper = _moments(plan, parts, at, indicators, above[0])
            relative = upper.unit / moments.unit
            product -= upper.product * np.outer(relative, relative) * (moments.weight > 0.0)
        for measures in owners:
            own = measures.indicator
            across = np.ix_(own, own)
            most = np.sqrt(MOST * np.maximum(moments.total[own], 1e-2))
            unit = moments.unit[own]
            found, sd = one_factor(
                product[across], moments.weight[across], most, measures, unit, held_sd[measures.latent]
            )
            # latent variables that share indicators account for what is left
            product[across] -= np.outer(found / unit, found / unit) * (moments.weight[across] > 0.0)
            free = measures.coefficient >= 0
            np.add.at(total, measures.coefficient[free], (found / sd / unit**2)[free])
            np.add.at(precision, measures.coefficient[free], (1.0 / unit**2)[free])
    return np.where(precision > 0.0, total / np.where(precision > 0.0, precision, 1.0), theta)
