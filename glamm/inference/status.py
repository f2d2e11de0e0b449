"""How a fit ended, and why a parameter has no standard error: messages that are kept in the result."""

from __future__ import annotations

from enum import Enum

__all__ = ["BOUNDARIES", "STALLED", "Missing", "Status"]


class Status(Enum):
    """End of a fit; the value is the message."""

    CONVERGED = "converged"
    BOUNDARY = "converged, with a variance at its boundary (zero)"
    SINGULAR = "converged, with a correlation matrix of latent variables at its boundary (singular)"
    CLASS_BOUNDARY = "converged, with probabilities of classes or within classes at their boundary (0 or 1)"
    LIMIT = "converged, with parameters at the limit of their range, where a distribution is a simpler one"
    INTEGRATION_LIMIT = (
        "converged, but the largest number of quadrature points was reached before the integration error "
        "fell below its tolerance"
    )
    DIVERGING = (
        "not converged: some parameters grow without bound (the responses are separated, or a dispersion "
        "vanishes); their values are where the log-likelihood stopped moving"
    )
    SINGULAR_LIMIT = (
        "not converged: a covariance matrix of latent variables became singular, the boundary of what "
        "its covariances, as the text holds or shares them, can be"
    )
    INTEGRATION_UNSETTLED = (
        "not converged: the estimates still move with the number of quadrature points "
        "at the largest number allowed"
    )
    ITERATION_LIMIT = "not converged: the iteration limit was reached"
    LINE_SEARCH = "not converged: no step along the search direction raises the log-likelihood"
    NON_FINITE_START = "not converged: the log-likelihood cannot be computed at the starting values"
    INTERRUPTED = "not converged: interrupted; the best point so far is kept"

    @property
    def ok(self) -> bool:
        """Whether the point is a maximum that can be reported."""
        return self in (
            Status.CONVERGED,
            Status.BOUNDARY,
            Status.SINGULAR,
            Status.CLASS_BOUNDARY,
            Status.LIMIT,
            Status.INTEGRATION_LIMIT,
        )


class Missing(Enum):
    """Why a parameter has no standard error; the value is the message."""

    BOUNDARY = "its variance is estimated as zero, the boundary of its range"
    SINGULAR = "the correlation matrix of its latent variables is singular, the boundary of its range"
    BOUND = "it lies at the bound that a constraint sets"
    LIMIT = "it is estimated at the limit of its range, where the distribution is a simpler one"
    FLAT = "a variance at zero leaves it undetermined"
    UNIDENTIFIED = "the data do not determine it: the log-likelihood is flat along a direction that moves it"
    DIVERGING = "it grows without bound (the responses are separated, or a dispersion vanishes)"
    PROBABILITY = "a probability is 0 or 1, where log odds have no estimate"
    NOT_COMPUTED = "the information matrix could not be computed at the last point"
    INDEFINITE = "the last point is not a maximum: the log-likelihood rises along a direction that moves it"


BOUNDARIES = {
    Missing.SINGULAR: Status.SINGULAR,
    Missing.PROBABILITY: Status.CLASS_BOUNDARY,
    Missing.LIMIT: Status.LIMIT,
}
"""Ends of fits with estimates at the boundary of their range, by why these have no standard error."""

STALLED = (Status.LINE_SEARCH, Status.ITERATION_LIMIT)
"""Ends of a climb that may be a slope to a limit."""
