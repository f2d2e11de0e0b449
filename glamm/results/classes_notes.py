"""What a reader must know of a fit with discrete latent variables: notes kept in the result."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from glamm.compile import Lowered
from glamm.errors import FitError
from glamm.inference import Missing, Optimum
from glamm.inference.mixtures import classes_of
from glamm.inference.mixtures_points import point_coefficients

__all__ = ["class_notes", "unreplicated"]

SAME = 1e-3
"""Difference of coefficients, relative to their size or 1, below which two classes are one."""


def unreplicated(optimum: Optimum) -> str:
    """Return what to say of a best maximum that only one start found; empty if more did."""
    if optimum.replicated:
        return ""
    continued = sum(one.found for one in optimum.solutions)
    return (
        f"the largest log-likelihood was reached from 1 of the {continued} best random starts only: "
        "there may be a larger one, which more starts (starts=) would find"
    )


def class_notes(lowered: Lowered, optimum: Optimum) -> tuple[str, ...]:
    """Return notes on local maxima, probabilities at their boundary and classes that coincide."""
    notes = [note for note in (unreplicated(optimum),) if note]
    places = {k for k, reason in optimum.missing if reason is Missing.PROBABILITY}
    held = [row.name for row in lowered.parameters.rows if len(row.place) == 1 and row.place[0] in places]
    if held:
        notes.append(
            "a probability is estimated as 0 or 1; its log odds have no estimate, and the standard errors of "
            f"the others are those with it held there: {', '.join(held)}"
        )
    for classes, states in zip(classes_of(lowered.plan), lowered.classes, strict=True):
        try:
            points = optimum.theta[point_coefficients(lowered.plan, classes)]
        except FitError:
            # classes with different coefficients are different
            continue
        for a, b in combinations(range(classes.count), 2):
            if np.all(np.abs(points[a] - points[b]) <= SAME * np.maximum(1.0, np.abs(points[a]))):
                name = states.variable.name
                both = f"{states.labels[a]} and {states.labels[b]}"
                notes.append(f"the classes {both} of {name} coincide: fewer fit as well")
    return tuple(notes)
