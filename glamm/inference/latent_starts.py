"""Starting values of models with named latent variables.

Loadings come from cross-moments of the indicators, then the latent variables are taken for random effects
with known designs: fixed parts of theirs are fitted, and moments give their covariance matrices from the
highest level down. Regressions of latent variables on each other follow from those matrices, disturbances
are what is left, and the dispersion of Gaussian responses what the latent variables do not account for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.factors import fill_factor, store_covariance
from glamm.compile.plan import LevelPlan, Plan
from glamm.inference.glm import (
    Derivatives,
    FixedFit,
    FixedPart,
    derivatives,
    fit_fixed_part,
    linear_predictors,
)
from glamm.inference.loadings import Measures, one_factor, start_loadings
from glamm.inference.moments import level_moments
from glamm.inference.reach import Reach, reaches, with_known_latents, with_terms

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["latent_start"]

LEAST = 0.1
"""Least share of its variance that a disturbance or a residual starts with."""


def latent_start(plan: Plan, parts: Sequence[FixedPart], fixed: FixedFit) -> list[Array]:
    """Return a list of starting values, shape (P,); empty where the data give none.

    Parameters
    ----------
    plan : Plan
        With named latent variables.
    parts : sequence of FixedPart
    fixed : FixedFit
        Without latent variables.
    """
    theta = start_loadings(
        plan, parts, fixed.at, fixed.theta, [_held_sd(plan, m) for m in range(len(plan.latents))]
    )

    def upward(child: int, parent: int) -> bool:
        own = plan.latents[child]
        return own.coordinate < 0 or plan.latents[parent].level > own.level

    reached = reaches(plan, parts, theta, upward)
    known: list[Array | None] = [None] * len(plan.latents)
    whole = with_known_latents(plan, parts, reached, known)
    at = list(fixed.at)
    if _differ(whole, parts):
        first = fit_fixed_part(tuple(whole), theta, tolerance=1e-2)
        theta, at = first.theta.copy(), list(first.at)
    spread = [_log_sd(part, theta) for part in whole]
    extra = [np.zeros((len(part.designs), part.weight.shape[0])) for part in parts]
    for level in reversed([k for k, own in enumerate(plan.levels) if len(own.factor)]):
        if not _finite(at):
            return []
        seen = with_terms(plan, parts, reached, theta)
        psi, predicted = level_moments(plan, seen, at, level, _total_pattern(plan, level, reached))
        for m, latent in enumerate(plan.latents):
            if latent.level == level and latent.coordinate >= 0 and reached[m]:
                known[m] = predicted[:, latent.coordinate]
        for r, part in enumerate(seen):
            for term in part.terms:
                if term.level == level:
                    values = predicted[part.clusters[level]][:, term.latent]
                    extra[r][term.predictor] += np.einsum("ij,ij->i", term.design, values)
        _structural(plan, level, theta, psi, reached)
        if level:
            whole = with_known_latents(plan, parts, reached, known)
            theta = fit_fixed_part(tuple(whole), theta, extra, tolerance=1e-2, max_iterations=4).theta.copy()
            at = _at(whole, theta, extra)
    reached = reaches(plan, parts, theta, lambda child, parent: True)
    whole = with_known_latents(plan, parts, reached, [None] * len(plan.latents))
    if _differ(whole, parts) or any(log_sd is None for log_sd in spread):
        theta = fit_fixed_part(tuple(whole), theta, extra, tolerance=1e-2, max_iterations=4).theta.copy()
    for part, log_sd in zip(with_terms(plan, parts, reached, theta), spread, strict=True):
        if log_sd is not None:
            _store_residual(plan, part, log_sd, theta)
    return [theta] if np.isfinite(theta).all() else []


def _differ(parts: Sequence[FixedPart], others: Sequence[FixedPart]) -> bool:
    return any(part is not other for part, other in zip(parts, others, strict=True))


def _finite(at: Sequence[Derivatives]) -> bool:
    return all(np.isfinite(d.loglik) and np.isfinite(d.first).all() for d in at)


def _at(parts: Sequence[FixedPart], theta: Array, extra: Sequence[Array]) -> list[Derivatives]:
    return [derivatives(p, linear_predictors(p, theta) + more) for p, more in zip(parts, extra, strict=True)]


# ------------------------------------------------ covariance matrices


def _held_sd(plan: Plan, m: int) -> float | None:
    """Return the standard deviation of a disturbance where it is held."""
    latent = plan.latents[m]
    if latent.coordinate < 0 or latent.scale is not None:
        return None
    variance = _held_variances(plan.levels[latent.level])[latent.coordinate]
    return None if np.isnan(variance) else float(np.sqrt(variance))


def _held_variances(level: LevelPlan) -> Array:
    """Return the held variances of a level, nan where they are free, shape (q,)."""
    q = level.factor.shape[0]
    found = np.full(q, np.nan)
    inside = np.zeros(q, dtype=bool)
    for block in level.blocks:
        inside[block.coordinates] = True
        own = np.diagonal(block.index) < 0
        found[block.coordinates[own]] = np.diagonal(block.held)[own]
    if level.held is not None:
        for k in range(q):
            if not inside[k] and (level.factor[k, : k + 1] < 0).all():
                found[k] = level.held[k, : k + 1] @ level.held[k, : k + 1]
    return np.where(found > 0.0, found, np.nan)


def _pattern(level: LevelPlan) -> NDArray[np.bool_]:
    """Return which entries of a level's covariance matrix can differ from 0, (q, q)."""
    pattern = (level.factor >= 0) | np.eye(len(level.factor), dtype=bool)
    for block in level.blocks:
        pattern[np.ix_(block.coordinates, block.coordinates)] |= (block.index >= 0) | (block.held != 0.0)
    return pattern | pattern.T


def _total_pattern(plan: Plan, level: int, reached: Sequence[Reach]) -> NDArray[np.bool_]:
    """Return the same before latent variables are regressed on each other: all of them may covary."""
    pattern = _pattern(plan.levels[level])
    named = [
        latent.coordinate
        for latent, reach in zip(plan.latents, reached, strict=True)
        if latent.level == level and latent.coordinate >= 0 and reach
    ]
    pattern[np.ix_(named, named)] = True
    return pattern


def _store(level: LevelPlan, theta: Array, psi: Array) -> None:
    """Write the covariance matrix nearest in kind to `psi` that the level's structure allows."""
    held = _held_variances(level)
    sd = np.sqrt(np.maximum(np.diagonal(psi), 1e-300))
    correlation = np.where(_pattern(level), psi / np.outer(sd, sd), 0.0)
    away = correlation - np.diag(np.diagonal(correlation))
    least = float(np.linalg.eigvalsh(away)[0]) if len(away) else 0.0
    shrink = min(1.0, (1.0 - LEAST) / -least) if least < 0.0 else 1.0
    sd = np.where(np.isnan(held), sd, np.sqrt(held))
    store_covariance(level, theta, (np.eye(len(psi)) + shrink * away) * np.outer(sd, sd))


# ------------------------------------------------ regressions among latent variables


def _structural(plan: Plan, level: int, theta: Array, total: Array, reached: Sequence[Reach]) -> None:
    """Write regressions of a level's latent variables on each other, and what they leave, into theta.

    Parameters
    ----------
    plan : Plan
    level : int
    theta : ndarray, shape (P,)
        Changed in place.
    total : ndarray, shape (q, q)
        Covariance matrix of random effects and of latent variables with all that is in them.
    reached : sequence of Reach
    """
    here = [m for m, latent in enumerate(plan.latents) if latent.level == level]
    place = {m: i for i, m in enumerate(here)}
    size = len(here)
    covariance = np.zeros((size, size))
    seen = [i for i, m in enumerate(here) if plan.latents[m].coordinate >= 0 and reached[m]]
    coordinates = [plan.latents[here[i]].coordinate for i in seen]
    covariance[np.ix_(seen, seen)] = total[np.ix_(coordinates, coordinates)]
    # (child, parent, coefficient, held) of every path whose coefficient is one number
    paths = [
        (place[m], place[term.latents[0]], int(term.coefficient[0]), float(term.held[0]))
        for m in here
        for term in plan.latents[m].predictor.terms
        if len(term.latents) == 1
        and term.latents[0] in place
        and term.design.shape[1] == 1
        and np.all(term.design == 1.0)
    ]
    for i, m in enumerate(here):
        if plan.latents[m].coordinate >= 0 and not reached[m]:
            _measured_by_others(i, paths, seen, covariance, _held_sd(plan, m))
    slopes = np.zeros((size, size))
    for i, m in enumerate(here):
        own = [path for path in paths if path[0] == i]
        for _, parent, coefficient, held in own:
            slopes[i, parent] += held if coefficient < 0 else theta[coefficient]
        if plan.latents[m].coordinate < 0:
            covariance[i, :i] = slopes[i, :i] @ covariance[:i, :i]
            covariance[:i, i] = covariance[i, :i]
            covariance[i, i] = slopes[i] @ covariance @ slopes[i]
            continue
        free = [path for path in own if path[2] >= 0]
        if free:
            parents = [parent for _, parent, _, _ in free]
            slopes[i, parents] = 0.0
            right = covariance[parents, i] - covariance[parents] @ slopes[i]
            sd = np.sqrt(np.diagonal(covariance)[parents])
            sd = np.where(sd > 0.0, sd, 1.0)
            correlation = covariance[np.ix_(parents, parents)] / np.outer(sd, sd)
            found = np.linalg.lstsq(correlation, right / sd, rcond=1e-3)[0] / sd
            slopes[i, parents] = found
            theta[[coefficient for _, _, coefficient, _ in free]] = found
    rest = np.eye(size) - slopes
    left = rest @ covariance @ rest.T
    psi = total.copy()
    for i, m in enumerate(here):
        for j, other in enumerate(here[: i + 1]):
            a, b = plan.latents[m].coordinate, plan.latents[other].coordinate
            if a >= 0 and b >= 0:
                psi[a, b] = psi[b, a] = left[i, j]
    for i, m in enumerate(here):
        a = plan.latents[m].coordinate
        if a >= 0:
            psi[a, a] = max(left[i, i], LEAST * covariance[i, i], 1e-300)
            _rescale(plan, m, theta, psi)
    for m in here:
        _store_scale(plan, m, theta, psi)
    _store(plan.levels[level], theta, psi)


def _measured_by_others(
    i: int,
    paths: Sequence[tuple[int, int, int, float]],
    seen: list[int],
    covariance: Array,
    held_sd: float | None,
) -> None:
    """Fill in the variance and covariances of a latent variable that others of its level depend on."""
    own = [path for path in paths if path[1] == i and path[0] in seen]
    if not own:
        covariance[i, i] = 1.0 if held_sd is None else held_sd**2
        return
    children = np.array([child for child, _, _, _ in own], dtype=np.intp)
    sd = np.sqrt(np.diagonal(covariance)[children])
    measures = Measures(
        i,
        children,
        np.array([coefficient for _, _, coefficient, _ in own], dtype=np.intp),
        np.array([held for _, _, _, held in own]),
    )
    product = covariance[np.ix_(children, children)] / np.outer(sd, sd)
    apart = 1.0 - np.eye(len(children))
    most = np.full(len(children), np.sqrt(1.0 - LEAST))
    along, scale = one_factor(product * apart, apart, most, measures, sd, held_sd)
    loading = along / scale
    others = np.array([j for j in seen if j not in children], dtype=np.intp)
    covariance[i, i] = scale**2
    covariance[i, children] = loading * scale**2
    covariance[i, others] = loading @ covariance[np.ix_(children, others)] / (loading @ loading)
    covariance[:, i] = covariance[i]


def _rescale(plan: Plan, m: int, theta: Array, psi: Array) -> None:
    """Give a latent variable with free loadings the scale at which its disturbance is what is held."""
    held = _held_sd(plan, m)
    a = plan.latents[m].coordinate
    own = plan.latents[m]
    measured = [
        term
        for response in plan.responses
        for p in response.predictors
        for term in p.terms
        if term.latents == (m,)
    ]
    if held is None or not measured or any(np.any((t.coefficient < 0) & (t.held != 0.0)) for t in measured):
        return
    factor = float(np.sqrt(psi[a, a]) / held)
    down = [t.coefficient for other in plan.latents for t in other.predictor.terms if t.latents == (m,)]
    up = [t.coefficient for t in own.predictor.terms] + [own.predictor.coefficient]
    grown = np.unique(np.concatenate([*(t.coefficient for t in measured), *down]))
    shrunk = np.unique(np.concatenate(up))
    theta[grown[grown >= 0]] *= factor
    theta[shrunk[shrunk >= 0]] /= factor
    psi[a] /= factor
    psi[:, a] /= factor


def _store_scale(plan: Plan, m: int, theta: Array, psi: Array) -> None:
    """Write a disturbance's standard deviation into the predictor of its log, if it has one."""
    latent = plan.latents[m]
    if latent.scale is None or latent.coordinate < 0 or np.isinf(latent.scale.offset).any():
        # what is missing of a covariate has the scale of that covariate's own regression
        return
    held = _held_variances(plan.levels[latent.level])[latent.coordinate]
    target = 0.5 * np.log(psi[latent.coordinate, latent.coordinate] / (1.0 if np.isnan(held) else held))
    _regress(latent.scale.design, latent.scale.coefficient, np.asarray(target), theta)


def _regress(design: Array, coefficient: Index, target: Array, theta: Array) -> None:
    if coefficient.size:
        right = np.broadcast_to(target, (len(design),))
        theta[coefficient] = np.linalg.lstsq(design, right, rcond=1e-9)[0]


# ------------------------------------------------ residuals of Gaussian responses


def _log_sd(part: FixedPart, theta: Array) -> Array | None:
    """Return the log of the residual standard deviation of each unit (n,); None of other responses."""
    family = part.response.family
    names = [predictor.name for predictor in family.predictors(part.response.encoded)]
    if names != ["mu", "sigma"] or not family.is_quadratic(0):
        return None
    return np.asarray(linear_predictors(part, theta)[1])


def _store_residual(plan: Plan, part: FixedPart, log_sd: Array, theta: Array) -> None:
    """Take from the residual variance of the units what their latent variables account for."""
    explained = np.zeros(len(log_sd))
    for level, at in enumerate(plan.levels):
        factor = fill_factor(at, theta)
        slope = np.zeros((len(log_sd), len(factor)))
        for term in part.terms:
            if term.level == level and term.predictor == 0:
                slope += term.design @ factor[term.latent]
        explained += np.einsum("nk,nk->n", slope, slope)
    variance = np.exp(2.0 * log_sd)
    target = 0.5 * np.log(np.maximum(variance - explained, LEAST * variance))
    _regress(part.designs[1], part.coefficients[1], target - part.offsets[1], theta)
