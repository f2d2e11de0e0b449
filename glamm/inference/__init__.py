"""Maximum likelihood: starting values, objective, optimizer, enough points, covariance, status."""

from glamm.inference.maximise import Optimum, maximise
from glamm.inference.objective import Objective
from glamm.inference.options import AdaptiveQuadrature, FitOptions, Laplace, Newton
from glamm.inference.progress import Iteration
from glamm.inference.status import Missing, Status

__all__ = [
    "AdaptiveQuadrature",
    "FitOptions",
    "Iteration",
    "Laplace",
    "Missing",
    "Newton",
    "Objective",
    "Optimum",
    "Status",
    "maximise",
]
