"""What a unit of each named latent variable adds to the linear predictors, by way of others too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LatentPlan, Plan, TermPlan
from glamm.inference.glm import FixedPart, Term

Array = NDArray[np.float64]
Index = NDArray[np.intp]

Reach = dict[tuple[int, int], Array]
"""By number of the part and of its predictor: what one latent variable is multiplied by, shape (n,)."""

Link = Callable[[int, int], bool]
"""Says of a latent variable and of one that it is regressed on whether to follow that path."""

__all__ = ["Link", "Reach", "reaches", "with_known_latents", "with_terms"]


def _multiplier(term: TermPlan, theta: Array) -> Array:
    """Return what multiplies the latent variables of a term, shape (n,)."""
    return np.asarray(term.design @ np.where(term.coefficient < 0, term.held, theta[term.coefficient]))


def reaches(plan: Plan, parts: Sequence[FixedPart], theta: Array, follow: Link) -> list[Reach]:
    """Return the reach of each named latent variable, by itself and along the paths that `follow` allows.

    Products of latent variables are left out.
    """
    found: list[Reach] = [{} for _ in plan.latents]

    def add(latent: int, key: tuple[int, int], value: Array) -> None:
        found[latent][key] = found[latent].get(key, 0.0) + value

    for r, part in enumerate(parts):
        for k, term in part.named:
            if len(term.latents) == 1:
                add(term.latents[0], (r, k), _multiplier(term, theta))
    # latent variables stand after those they are regressed on
    for child in reversed(range(len(plan.latents))):
        own = plan.latents[child]
        for term in own.predictor.terms:
            if len(term.latents) == 1 and follow(child, term.latents[0]):
                value = _multiplier(term, theta)
                for (r, k), column in found[child].items():
                    add(term.latents[0], (r, k), column * value[parts[r].clusters[own.level]])
    return found


def _scale(latent: LatentPlan, theta: Array) -> Array | float:
    """Return what multiplies the disturbance of a latent variable in each cluster."""
    if latent.scale is None:
        return 1.0
    return np.asarray(np.exp(latent.scale.offset + latent.scale.design @ theta[latent.scale.coefficient]))


def with_terms(
    plan: Plan, parts: Sequence[FixedPart], reached: Sequence[Reach], theta: Array
) -> list[FixedPart]:
    """Return the parts with all that is random in the latent variables as random effects."""
    added: list[list[Term]] = [[] for _ in parts]
    for latent, reach in zip(plan.latents, reached, strict=True):
        for (r, k), column in reach.items():
            if latent.coordinate >= 0:
                place = np.array([latent.coordinate], dtype=np.intp)
                scale = np.broadcast_to(_scale(latent, theta), (plan.levels[latent.level].clusters,))
                scaled = column * scale[parts[r].clusters[latent.level]]
                added[r].append(Term(k, latent.level, scaled[:, None], place))
            for loading in latent.predictor.loadings:
                design = loading.design[parts[r].clusters[latent.level]] * column[:, None]
                added[r].append(Term(k, loading.level, design, loading.latent))
    return [replace(part, terms=part.terms + tuple(more)) for part, more in zip(parts, added, strict=True)]


def with_known_latents(
    plan: Plan, parts: Sequence[FixedPart], reached: Sequence[Reach], values: Sequence[Array | None]
) -> list[FixedPart]:
    """Return the parts with what is known of the latent variables in their designs and offsets.

    Parameters
    ----------
    plan : Plan
    parts : sequence of FixedPart
    reached : sequence of Reach
    values : sequence of ndarray, shape (clusters,), or None
        Of latent variables that others of lower levels are regressed on, where they are known.

    Returns
    -------
    list of FixedPart
        Those that nothing is known of are the same objects.
    """
    designs: dict[tuple[int, int], dict[int, Array]] = {}
    offsets: dict[tuple[int, int], Array] = {}
    for latent, reach in zip(plan.latents, reached, strict=True):
        columns = list(zip(latent.predictor.design.T, latent.predictor.coefficient.tolist(), strict=True))
        for term in latent.predictor.terms:
            value = values[term.latents[0]]
            other = plan.latents[term.latents[0]].level
            if len(term.latents) > 1 or value is None or other == latent.level:
                continue
            above = np.arange(plan.levels[latent.level].clusters)
            for level in plan.levels[latent.level : other]:
                assert level.parent is not None
                above = level.parent[above]
            free = term.coefficient >= 0
            scaled = (term.design * value[above][:, None])[:, free]
            columns += list(zip(scaled.T, term.coefficient[free].tolist(), strict=True))
        known = np.broadcast_to(latent.predictor.offset, (plan.levels[latent.level].clusters,))
        for (r, k), column in reach.items() if columns or known.any() else ():
            rows = parts[r].clusters[latent.level]
            own = designs.setdefault((r, k), {})
            for values_of_clusters, place in columns:
                own[place] = own.get(place, 0.0) + column * values_of_clusters[rows]
            offsets[r, k] = offsets.get((r, k), 0.0) + column * known[rows]
    changed = {r for r, _ in offsets}
    return [
        part
        if r not in changed
        else replace(
            part,
            designs=tuple(_design(part, k, designs.get((r, k), {})) for k in range(len(part.designs))),
            coefficients=tuple(
                np.array([*c, *(p for p in designs.get((r, k), {}) if p not in c)], dtype=np.intp)
                for k, c in enumerate(part.coefficients)
            ),
            offsets=tuple(o + offsets.get((r, k), 0.0) for k, o in enumerate(part.offsets)),
        )
        for r, part in enumerate(parts)
    ]


def _design(part: FixedPart, predictor: int, more: dict[int, Array]) -> Array:
    design, coefficient = part.designs[predictor], part.coefficients[predictor].tolist()
    if not more:
        return design
    shared = [place for place in more if place in coefficient]
    if shared:
        design = design.copy()
        for place in shared:
            design[:, coefficient.index(place)] += more[place]
    new = [column[:, None] for place, column in more.items() if place not in coefficient]
    return np.hstack([design, *new])
