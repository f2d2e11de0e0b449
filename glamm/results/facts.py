"""What a fit is, in plain values: everything of a result but its arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glamm.compile import ParameterRow
from glamm.graph import ROW

__all__ = ["ClassFact", "Facts", "LevelFact", "ResponseFact"]


@dataclass(frozen=True, slots=True)
class ResponseFact:
    """One response of a fitted model.

    Attributes
    ----------
    name : str
    family : str
        As the model language writes it, link included: ``"binomial(logit)"``.
    units : int
        Rows that count for it.
    predictors : tuple of (str, str)
        Name and category label of its linear predictors: ``("threshold", "1|2")``.
    categories : tuple of str
    residual : str
        The auxiliary parameter that is the residual standard deviation of a linear model; else empty.
    """

    name: str
    family: str
    units: int
    predictors: tuple[tuple[str, str], ...]
    categories: tuple[str, ...] = ()
    residual: str = ""


@dataclass(frozen=True, slots=True)
class LevelFact:
    """One level of clusters: its name, number of clusters, random effects and named latent variables."""

    name: str
    clusters: int
    effects: tuple[str, ...]
    latents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A class variable: its name, the level it lives at and the names of its classes."""

    name: str
    level: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Plain facts of a fit.

    Attributes
    ----------
    formula : str
    responses : tuple of ResponseFact
    levels : tuple of LevelFact
        Lowest first.
    nobs : float
        Response units, frequency weights counted.
    n_parameters : int
        Free parameters.
    log_likelihood : float
    points : tuple of int
        Integration points of a dimension, or beyond 200 nodes in all, by level.
    rule : {"auto", "fixed", "exact"}
        How the points were chosen; ``"exact"`` means the integrals have a closed form.
    integration_error : tuple of (float, float) or None
        Estimated error of the log-likelihood, and of the estimates in standard errors.
    converged : bool
    status : str
    gradient, condition : float
        Relative gradient at the end; condition number of the information matrix.
    interrupted : bool
        Whether the fit was stopped by hand.
    integration : str
        What was integrated in fewer dimensions than there are latent variables.
    notes : tuple of str
        What the reader must know: rows left out, parameters on a boundary.
    classes : tuple of ClassFact
    held : tuple of (ParameterRow, float)
        Parameters that the model holds, and their values.
    """

    formula: str
    responses: tuple[ResponseFact, ...]
    levels: tuple[LevelFact, ...]
    nobs: float
    n_parameters: int
    log_likelihood: float
    points: tuple[int, ...]
    rule: str
    integration_error: tuple[float, float] | None
    converged: bool
    status: str
    gradient: float
    condition: float
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    integration: str = ""
    classes: tuple[ClassFact, ...] = ()
    held: tuple[tuple[ParameterRow, float], ...] = ()

    @property
    def groups(self) -> tuple[LevelFact, ...]:
        """Levels of groups: those whose clusters are not the rows."""
        return tuple(level for level in self.levels if level.name not in ("", ROW))

    @property
    def latents(self) -> tuple[str, ...]:
        """Named latent variables, the highest level first."""
        return tuple(name for level in reversed(self.levels) for name in level.latents)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 k - 2 log L``."""
        return 2.0 * self.n_parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``k log n - 2 log L``, with n the number of response units."""
        return self.n_parameters * math.log(self.nobs) - 2.0 * self.log_likelihood
