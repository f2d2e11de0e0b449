"""Plans of which every unit is a cluster of its own, below the levels there are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LatentPlan, LevelPlan, Plan, PredictorPlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["with_atoms"]


def with_atoms(plan: Plan) -> Plan | None:
    """Return a plan with one level more, the lowest, that has no latent variables.

    Its clusters are the single units, of responses with residual covariances those of a row together. Weights
    of units become weights of clusters. None where units of one row have different weights.

    Parameters
    ----------
    plan : Plan
        Without memberships and density ratios.
    """
    joined = {r for c in plan.residual_covariances for r in (c.first, c.second)}
    clusters, keys, weights = [], [], []
    count = 0
    for r, response in enumerate(plan.responses):
        n = len(response.cluster)
        if r in joined:
            assert response.row is not None
            # rows are not negative, units of other responses get numbers of their own below zero
            keys.append(response.row)
        else:
            keys.append(-1 - count - np.arange(n)[::-1])
            count += n
        clusters.append(response.cluster)
        weights.append(np.ones(n) if response.weight is None else response.weight)
    cluster, key, weight = np.concatenate(clusters), np.concatenate(keys), np.concatenate(weights)
    order = np.lexsort((key, cluster))
    first = np.r_[True, (np.diff(cluster[order]) != 0) | (np.diff(key[order]) != 0)]
    number = np.empty(len(order), dtype=np.intp)
    number[order] = np.cumsum(first) - 1
    parent = cluster[order][first]
    of_atom = weight[order][first]
    if not np.array_equal(of_atom[number], weight):
        return None
    ends = np.cumsum([0, *(len(own) for own in clusters)])
    parts = [number[a:b] for a, b in pairwise(ends)]
    if any(np.any(np.diff(part) <= 0) for part in parts):
        return None
    lowest = LevelPlan(
        len(parent),
        parent,
        None if (of_atom == 1.0).all() else of_atom,
        np.zeros((0, 0), dtype=np.intp),
    )
    responses = tuple(
        replace(
            response,
            cluster=np.ascontiguousarray(part),
            weight=None,
            predictors=tuple(_raised(predictor) for predictor in response.predictors),
        )
        for response, part in zip(plan.responses, parts, strict=True)
    )
    latents = tuple(_raised_latent(latent) for latent in plan.latents)
    return replace(plan, levels=(lowest, *plan.levels), responses=responses, latents=latents)


def _raised(predictor: PredictorPlan) -> PredictorPlan:
    return replace(
        predictor, loadings=tuple(replace(part, level=part.level + 1) for part in predictor.loadings)
    )


def _raised_latent(latent: LatentPlan) -> LatentPlan:
    return replace(latent, level=latent.level + 1, predictor=_raised(latent.predictor))
