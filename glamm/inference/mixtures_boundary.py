"""Probabilities of classes and within classes that are estimated as 0 or 1: their log odds diverge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.inference.coordinates import Coordinates, Scaled
from glamm.inference.optimize import Search
from glamm.inference.status import Missing

Array = NDArray[np.float64]

__all__ = ["hold_log_odds", "undetermined"]

KNOWN = 2e-2
"""Information of the whole data, classes known, relative to one observation's, below which there is none."""

LARGEST = (15.0, 20.0, 25.0, 30.0)
"""Sizes at which diverging log odds are held: the first that does not change the log-likelihood."""

LOST = 1e-6
"""Change of the log-likelihood that counts as none."""


def undetermined(known: Array, places: Sequence[int]) -> dict[int, Missing]:
    """Return why some parameters of a model with classes are not determined.

    Those that known classes would not determine either are log odds of probabilities 0 and 1, or belong to
    a class that is empty; the others cannot be told apart because classes are not observed.

    Parameters
    ----------
    known : ndarray, shape (P,)
        Information on each parameter if classes were known, relative to one observation's.
    places : sequence of int
    """
    return {k: Missing.PROBABILITY if known[k] < KNOWN else Missing.UNIDENTIFIED for k in places}


def hold_log_odds(objective: Scaled, search: Search, at: Coordinates, places: Sequence[int]) -> None:
    """Bring diverging log odds back to where the log-likelihood just no longer tells the difference.

    Parameters
    ----------
    objective : Scaled
    search : Search
        Its theta, log-likelihood and gradient are replaced.
    at : Coordinates
    places : sequence of int
        Positions of the log odds in theta.
    """
    for k in places:
        theta = at.transform @ search.theta
        for limit in LARGEST:
            if abs(theta[k]) <= limit:
                break
            moved = theta.copy()
            moved[k] = np.sign(theta[k]) * limit
            phi = at.inverse @ moved
            loglik, gradient = objective.value_and_gradient(phi)
            search.evaluations += 1
            if abs(loglik - search.loglik) <= LOST and np.isfinite(gradient).all():
                search.theta, search.loglik, search.gradient = phi, float(loglik), gradient
                break
