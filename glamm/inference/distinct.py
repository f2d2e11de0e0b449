"""Response units that are the same but for their cluster, each kept once.

Wide data of items without covariates have as many distinct units as the items have categories, however many
people answer them. What theta does to predictors, and the way back, then costs next to nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LoadingPlan, Plan, PredictorPlan, ResponsePlan, TermPlan
from glamm.inference.collapsing import columns_of_clusters, columns_of_units
from glamm.inference.discrete_units import distinct_rows
from glamm.inference.nesting import stacks_of

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Distinct"]

FIRST = 1000
"""Units of a response that are looked at before all are: where most of them differ the others will."""


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """The distinct units of a plan of one level.

    Attributes
    ----------
    plan : Plan
        Each distinct unit once, without weights, in a cluster of its own. Responses of one kind are one.
    numbers : tuple of ndarray of intp, shape (n,)
        By response of the original plan: the cluster of `plan` with the unit that is like each of its own.
    """

    plan: Plan
    numbers: tuple[Index, ...]

    @classmethod
    def of(cls, plan: Plan, repeats: float) -> Distinct | None:
        """Return the distinct units of a plan; None if each is not there `repeats` times on the average.

        Parameters
        ----------
        plan : Plan
            Of one level, without residual covariances, classes and ratios.
        repeats : float
        """
        level = plan.levels[0]
        columns = list(columns_of_clusters(plan))
        kinds, kind_of = np.zeros(1, dtype=np.intp), np.zeros(level.clusters, dtype=np.intp)
        if columns:
            kinds, kind_of = distinct_rows(columns)
        if len(kinds) * repeats > sum(len(response.cluster) for response in plan.responses):
            return None
        found = [_distinct_units(response, kind_of, repeats) for response in plan.responses]
        present = [one for one in found if one is not None]
        if len(present) < len(found):
            return None
        firsts, counted = zip(*present, strict=True)
        groups = stacks_of(plan.responses, [_shape(response) for response in plan.responses])
        begins = np.zeros(len(found), dtype=np.intp)
        responses, standing, total = [], [], 0
        for group in groups:
            members = []
            begin = total
            for r in group:
                response, first = plan.responses[r], firsts[r]
                begins[r] = total
                total += len(first)
                members.append(replace(response, weight=None, row=None).take(first, first))
                standing.append(kind_of[response.cluster[first]])
            responses.append(_joined(members, np.arange(begin, total, dtype=np.intp)))
        like = kinds[np.concatenate(standing)]
        smaller = replace(
            plan,
            levels=(replace(level, clusters=total, weight=None),),
            responses=tuple(responses),
            latents=tuple(latent.take(like) for latent in plan.latents),
        )
        return cls(smaller, tuple(begin + own for begin, own in zip(begins, counted, strict=True)))


def _distinct_units(response: ResponsePlan, kind: Index, repeats: float) -> tuple[Index, Index] | None:
    """Return the first of each distinct unit and the number of every unit; None where most are distinct."""
    columns = [kind[response.cluster].astype(float), *columns_of_units(replace(response, weight=None))]
    # a column of one value tells nothing apart
    columns = [column for column in columns if len(column) and (column != column[0]).any()]
    n = len(response.cluster)
    if not columns or not n:
        return np.zeros(min(n, 1), dtype=np.intp), np.zeros(n, dtype=np.intp)
    if n > FIRST:
        few, _ = distinct_rows([column[:FIRST] for column in columns])
        # values that are rare among the first may become frequent
        if len(few) * min(repeats, 4.0) > FIRST:
            return None
    first, number = distinct_rows(columns)
    return None if len(first) * repeats > n else (first, number)


# ------------------------------------------------ responses of one kind as one


def _shape(response: ResponsePlan) -> tuple[object, ...]:
    """Return what responses must have in common to be joined."""
    channels = None if response.channels is None else response.channels.shape[1]
    return response.encoded.y.shape[1], channels, len(response.predictors)


def _joined(members: Sequence[ResponsePlan], cluster: Index) -> ResponsePlan:
    """Return the units of some responses as those of one, in the given clusters."""
    first = members[0]
    sizes = [len(member.cluster) for member in members]
    return replace(
        first,
        encoded=replace(first.encoded, y=np.concatenate([member.encoded.y for member in members])),
        cluster=cluster,
        predictors=tuple(
            _joined_predictor([member.predictors[k] for member in members], sizes)
            for k in range(len(first.predictors))
        ),
        channels=None
        if first.channels is None
        else np.concatenate([m.channels for m in members if m.channels is not None]),
    )


def _joined_predictor(parts: Sequence[PredictorPlan], sizes: Sequence[int]) -> PredictorPlan:
    """Return predictors of different rows, `sizes` of them, as one of all these rows."""
    edges = np.concatenate(([0], np.cumsum(sizes)))
    rows = [slice(begin, end) for begin, end in itertools.pairwise(edges)]
    n = int(edges[-1])
    union = np.unique(np.concatenate([part.coefficient for part in parts])).astype(np.intp)
    design = np.zeros((n, len(union)))
    for at, part in zip(rows, parts, strict=True):
        design[at, np.searchsorted(union, part.coefficient)] = part.design
    offset = np.concatenate(
        [np.broadcast_to(part.offset, (size,)) for part, size in zip(parts, sizes, strict=True)]
    )
    return PredictorPlan(
        design, union, offset, tuple(_joined_loadings(parts, rows, n)), tuple(_joined_terms(parts, rows, n))
    )


def _joined_loadings(parts: Sequence[PredictorPlan], rows: Sequence[slice], n: int) -> Iterator[LoadingPlan]:
    """Yield the random effects, one column for each latent variable."""
    used = sorted({int(k) for part in parts for loading in part.loadings for k in loading.latent})
    if not used:
        return
    design = np.zeros((n, len(used)))
    for at, part in zip(rows, parts, strict=True):
        for loading in part.loadings:
            for k, column in zip(loading.latent, loading.design.T, strict=True):
                design[at, used.index(int(k))] += column
    yield LoadingPlan(0, design, np.array(used, dtype=np.intp))


def _joined_terms(parts: Sequence[PredictorPlan], rows: Sequence[slice], n: int) -> Iterator[TermPlan]:
    """Yield the terms of named latent variables, one for each set of these."""
    named = [(at, term) for at, part in zip(rows, parts, strict=True) for term in part.terms]
    for latents in sorted({term.latents for _, term in named}):
        own = [(at, term) for at, term in named if term.latents == latents]
        edges = np.concatenate(([0], np.cumsum([term.design.shape[1] for _, term in own])))
        design = np.zeros((n, int(edges[-1])))
        for (at, term), begin, end in zip(own, edges[:-1], edges[1:], strict=True):
            design[at, begin:end] = term.design
        coefficient, held = (
            np.concatenate([getattr(term, name) for _, term in own]) for name in ("coefficient", "held")
        )
        yield TermPlan(latents, design, coefficient, held)
