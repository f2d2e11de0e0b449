"""The plain facts of a fit, taken from the lowered model and the optimum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Lowered, Plan
from glamm.graph import FamilySpec
from glamm.inference import Optimum, Status
from glamm.results.classes_notes import class_notes
from glamm.results.facts import ClassFact, Facts, LevelFact, ResponseFact
from glamm.results.held import held_parameters
from glamm.results.weights import unit_weights

Index = NDArray[np.intp]

__all__ = ["facts_of"]


def _units(plan: Plan, data_rows: Sequence[Index]) -> float:
    """Return the number of response units, frequency weights of all levels counted.

    Parameters
    ----------
    plan : Plan
    data_rows : sequence of ndarray of intp
        Row of the data of each unit of each response.
    """
    total = 0.0
    for response, rows in zip(plan.responses, data_rows, strict=True):
        weight = unit_weights(plan, response)
        # with classes each row of the data has a copy for every class
        total += float(
            weight.sum() if _distinct(rows) else weight[np.unique(rows, return_index=True)[1]].sum()
        )
    return total


def _distinct(rows: Index) -> bool:
    """Return whether rows ascend, as they do where no row of the data has copies."""
    return bool(np.all(rows[:-1] < rows[1:]))


def facts_of(lowered: Lowered, optimum: Optimum) -> Facts:
    """Return the plain facts of a fit."""
    origin = lowered.origin
    rows = [layout.rows if origin is None else origin[layout.rows] for layout in lowered.responses]
    responses = []
    for response, layout, own in zip(lowered.graph.responses, lowered.responses, rows, strict=True):
        spec = response.family
        link = spec.link or layout.family.link.name
        responses.append(
            ResponseFact(
                layout.name,
                str(FamilySpec(spec.name, link, spec.link_args, spec.options)),
                len(own) if _distinct(own) else len(np.unique(own)),
                tuple((p.name, p.label) for p in layout.predictors),
                layout.categories,
                "sigma" if layout.family.is_quadratic(0) else "",
            )
        )
    levels = tuple(
        LevelFact(
            layout.name,
            len(set(layout.labels)) if layout.labels else plan.clusters,
            tuple(layout.latents[k] for k in layout.effects),
            tuple(latent.name for latent in lowered.latents if latent.level == level),
        )
        for level, (layout, plan) in enumerate(zip(lowered.levels, lowered.plan.levels, strict=True))
    )
    return Facts(
        formula=lowered.graph.source.strip(),
        responses=tuple(responses),
        levels=levels,
        nobs=_units(lowered.plan, rows),
        n_parameters=optimum.n_free,
        log_likelihood=float(optimum.loglik),
        points=tuple(optimum.points),
        rule=optimum.rule,
        integration_error=optimum.integration_error,
        converged=optimum.converged,
        status=optimum.status.value,
        gradient=float(optimum.relative_gradient),
        condition=float(optimum.condition),
        interrupted=optimum.status is Status.INTERRUPTED,
        notes=lowered.messages + class_notes(lowered, optimum),
        integration=optimum.integration,
        classes=tuple(
            ClassFact(states.variable.name, states.variable.level, states.labels)
            for states in lowered.classes
        ),
        held=held_parameters(lowered),
    )
