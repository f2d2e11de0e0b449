"""A part of the data: whole top-level clusters, evenly spaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan, Plan, ResponsePlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["sampled"]

FEWEST = 200
"""Least number of top-level clusters of a sample."""


def sampled(plan: Plan, limit: int) -> Plan:
    """Return the plan of about `limit` units of large data, the plan itself of others.

    Clusters that are the same cluster of the data in each of its classes stay together.

    Parameters
    ----------
    plan : Plan
    limit : int
    """
    total = sum(response.cluster.shape[0] for response in plan.responses)
    highest = plan.levels[-1]
    group = np.arange(highest.clusters, dtype=np.intp)
    if highest.group is not None:
        group = _renumbered(highest.group)
    top = int(group[-1]) + 1 if len(group) else 0
    keep = max(FEWEST, int(top * limit / max(total, 1)))
    if total <= 2 * limit or keep >= top:
        return plan
    chosen = np.linspace(0, top - 1, keep).astype(np.intp)
    kept = [np.flatnonzero(np.isin(group, chosen)).astype(np.intp)]
    for level in reversed(plan.levels[:-1]):
        assert level.parent is not None
        # parents ascend, so the clusters of each are a range
        first = np.searchsorted(level.parent, kept[0], side="left")
        last = np.searchsorted(level.parent, kept[0], side="right")
        kept.insert(0, _ranges(first, last))
    levels = tuple(_level(level, kept, i) for i, level in enumerate(plan.levels))
    return replace(
        plan,
        levels=levels,
        responses=tuple(_response(response, kept[0]) for response in plan.responses),
        latents=tuple(latent.take(kept[latent.level]) for latent in plan.latents),
        memberships=tuple(_response(response, kept[0]) for response in plan.memberships),
        ratios=tuple(_response(response, kept[0]) for response in plan.ratios),
    )


def _ranges(first: Index, last: Index) -> Index:
    """Return the numbers of all ranges ``first .. last - 1``, one after the other."""
    count = last - first
    start = np.repeat(first - np.concatenate(([0], np.cumsum(count)[:-1])), count)
    return np.asarray(start + np.arange(count.sum()), dtype=np.intp)


def _renumbered(group: Index) -> Index:
    """Return ascending groups numbered without gaps."""
    return np.cumsum(np.r_[False, np.diff(group) != 0]).astype(np.intp)


def _level(level: LevelPlan, kept: list[Index], i: int) -> LevelPlan:
    own = kept[i]
    parent = None if level.parent is None else np.searchsorted(kept[i + 1], level.parent[own])
    return replace(
        level,
        clusters=len(own),
        parent=parent,
        weight=None if level.weight is None else level.weight[own],
        group=None if level.group is None else _renumbered(level.group[own]),
    )


def _response(response: ResponsePlan, kept: Index) -> ResponsePlan:
    first = np.searchsorted(response.cluster, kept, side="left")
    last = np.searchsorted(response.cluster, kept, side="right")
    rows = _ranges(first, last)
    return response.take(rows, np.searchsorted(kept, response.cluster[rows]))
