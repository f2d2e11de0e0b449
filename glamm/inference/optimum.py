"""What a fit found, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.inference.progress import Iteration
from glamm.inference.status import Missing, Status

Array = NDArray[np.float64]

__all__ = ["Optimum", "Solution"]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A local maximum that random starts led to.

    Attributes
    ----------
    theta : ndarray, shape (P,)
    loglik : float
    found : int
        Number of starts that led to it, of those that were continued.
    converged : bool
    """

    theta: Array
    loglik: float
    found: int
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """The end of a fit.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        Cholesky factors have diagonals >= 0.
    loglik : float
    gradient : ndarray, shape (P,)
    information : ndarray, shape (P, P)
        Observed information; NaN for parameters at a boundary and if the fit was interrupted.
    covariance : ndarray, shape (P, P)
        NaN for parameters in `missing`.
    missing : tuple of (int, Missing)
        Parameters without a standard error, and why.
    boundary : tuple of int
        Diagonal entries of Cholesky factors that are zero.
    flat : tuple of ndarray, shape (P,)
        Directions along which the log-likelihood does not change.
    status : Status
    trace : tuple of Iteration
    iterations, evaluations : int
        Accepted steps; evaluations of the log-likelihood with its gradient.
    points : tuple of int
        Quadrature points of a dimension, or beyond `rules.MOST_POINTS` in all, by level.
    rule : {"auto", "fixed", "exact"}
    integration_error : tuple of (float, float) or None
        Change of the log-likelihood, and of the estimates in standard errors, with a finer rule; None
        where it was not computed.
    relative_gradient : float
        Largest component of the gradient in units of its standard deviation.
    condition : float
        Condition number of the information scaled to a unit diagonal.
    asymmetry : float
        Relative asymmetry of the differenced information: its numerical error.
    seconds : float
    n_free : int
        Parameters that were free: the length of theta less the constraints that held.
    bounds : tuple of str
        Inequalities at which the maximum lies, as the text has them.
    integration : str
        What `Objective.integration` says.
    """

    theta: Array
    loglik: float
    gradient: Array
    information: Array
    covariance: Array
    missing: tuple[tuple[int, Missing], ...]
    boundary: tuple[int, ...]
    flat: tuple[Array, ...]
    status: Status
    trace: tuple[Iteration, ...]
    iterations: int
    evaluations: int
    points: tuple[int, ...]
    rule: str
    integration_error: tuple[float, float] | None
    relative_gradient: float
    condition: float
    asymmetry: float
    seconds: float
    solutions: tuple[Solution, ...] = ()
    n_free: int = 0
    bounds: tuple[str, ...] = ()
    integration: str = ""

    @property
    def converged(self) -> bool:
        """Whether the status is a success."""
        return self.status.ok

    @property
    def replicated(self) -> bool:
        """Whether the best of several local maxima was found from more than one start."""
        return not self.solutions or self.solutions[0].found > 1

    @property
    def standard_errors(self) -> Array:
        """Standard errors, shape (P,); NaN for parameters in `missing`."""
        with np.errstate(invalid="ignore"):
            errors: Array = np.sqrt(np.diagonal(self.covariance))
        return errors
