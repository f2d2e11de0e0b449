"""Reported parameters as functions of theta, with their exact derivative.

Theta holds regression coefficients, the free entries of the lower Cholesky factors ``C`` of the levels'
latent covariance matrices ``C C'`` (their signs are free) and, where those cannot say what the model
says, covariances themselves. People read standard deviations ``s_i = |c_i|`` and correlations
``r_ij = c_i'c_j / (s_i s_j)`` of random effects, with ``c_i`` the i-th row of ``C``, variances ``c_i'c_i``
and covariances ``c_i'c_j`` of latent variables that have a name, and auxiliary parameters on their natural
scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.expressions import gradient, value
from glamm.compile.factors import fill_factor, pull_factor, store_covariance
from glamm.compile.plan import LevelPlan, MassPoints
from glamm.grammar.ast import Expr
from glamm.protocols import TRANSFORMS

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Derived", "LatentFactor", "ParameterRow", "ParameterTable"]


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One reported parameter and what it belongs to.

    Attributes
    ----------
    name : str
        The piece of model language that makes it: ``"y ~ x"``, ``"sd(x | school)"``, ``"eta =~ y"``.
    kind : str
        ``"fixed"``: a coefficient on its linear scale; ``"loading"``: one of a measurement;
        ``"auxiliary"``: a parameter reported on its natural scale (``sigma(y)``); ``"residual"``,
        ``"residual covariance"``: of Gaussian responses; ``"sd"``, ``"cor"``: of random effects;
        ``"variance"``, ``"covariance"``: of the disturbances of named latent variables; ``"derived"``: an
        expression of others; ``"location"``: a mass point, less the mean of all.
    response, predictor, label : str
        Response or latent variable it belongs to, predictor of its family (``"mu"``, ``"sigma"``,
        ``"threshold"``) and the category label of the predictor (``"1|2"``); empty where they do not apply.
    terms : tuple of str
        ``("x",)`` of a coefficient; the effect of an sd, the two effects of a correlation; the latent
        variables of a loading, variance or covariance.
    level : str
        Level of clusters of an sd, correlation, variance or covariance; else empty.
    scale : {"identity", "log", "logit", "atanh"}
        Scale on which its confidence interval is symmetric.
    place : tuple of int
        ``(position in theta,)`` of a coefficient; ``(level, latent)`` of an sd or variance and
        ``(level, latent, latent)`` of a correlation or covariance, counted as in the plan.
    """

    name: str
    kind: str
    response: str = ""
    predictor: str = ""
    label: str = ""
    terms: tuple[str, ...] = ()
    level: str = ""
    scale: str = "identity"
    place: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LatentFactor:
    """The Cholesky factor of one level.

    Attributes
    ----------
    level : str
    latents : tuple of str
        Names of the latent variables: ``"1"``, ``"x"``, ``"sigma(y): 1"``, ``"eta"``.
    plan : LevelPlan
        Holds the structure of the factor.
    """

    level: str
    latents: tuple[str, ...]
    plan: LevelPlan

    def fill(self, theta: Array) -> Array:
        """Return the lower Cholesky factor, shape (q, q)."""
        return fill_factor(self.plan, theta)


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """A parameter that is an expression of others.

    Attributes
    ----------
    name : str
    expression : Expr
    names : mapping of str to str or float
        The reported parameter, or the number, that each name in the expression stands for.
    """

    name: str
    expression: Expr
    names: Mapping[str, str | float]


@dataclass(frozen=True, slots=True, eq=False)
class ParameterTable:
    """All reported parameters of a model.

    Parameters that share a label have a row each and one entry of theta.

    Attributes
    ----------
    rows : tuple of ParameterRow
        Coefficients and auxiliary parameters response by response, those of latent variables, then the
        levels' standard deviations and correlations, variances and covariances, the lowest level first.
    factors : tuple of LatentFactor
        One for each level of the plan.
    n_parameters : int
        Length of theta.
    derived : tuple of Derived
        Reported after all others; each uses only those before it.
    points : tuple of MassPoints
        Distributions whose locations are reported as deviations from their mean.
    """

    rows: tuple[ParameterRow, ...]
    factors: tuple[LatentFactor, ...]
    n_parameters: int
    derived: tuple[Derived, ...] = ()
    points: tuple[MassPoints, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the reported parameters."""
        return tuple(row.name for row in self.rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each reported parameter."""
        return tuple(row.kind for row in self.rows)

    def latent_factor(self, theta: Array, level: int | str) -> Array:
        """Return the lower Cholesky factor of a level's latent covariance matrix, shape (q, q).

        Parameters
        ----------
        theta : ndarray, shape (P,)
        level : int or str
            Position of the level, the lowest 0, or its name.
        """
        if isinstance(level, str):
            level = [factor.level for factor in self.factors].index(level)
        return self.factors[level].fill(np.asarray(theta, float))

    def natural(self, theta: Array) -> Array:
        """Return the reported values, shape (rows,); a correlation with an sd of 0 is nan."""
        theta = np.asarray(theta, float)
        factors = [factor.fill(theta) for factor in self.factors]
        values = np.empty(len(self.rows))
        for k, row in enumerate(self.rows):
            match row.kind, row.place:
                case "sd", (level, i):
                    values[k] = np.linalg.norm(factors[level][i])
                case "cor", (level, i, j):
                    a, b = factors[level][i], factors[level][j]
                    size = float(np.linalg.norm(a) * np.linalg.norm(b))
                    values[k] = a @ b / size if size > 0.0 else np.nan
                case "variance", (level, i):
                    values[k] = factors[level][i] @ factors[level][i]
                case "covariance", (level, i, j):
                    values[k] = factors[level][i] @ factors[level][j]
                case "location", (which, point):
                    location, mass = self.points[which].values(theta)
                    values[k] = location[point] - mass @ location
                case "derived", (which,):
                    values[k] = self._derive(which, values)
                case "residual", (place,):
                    values[k] = np.exp(2.0 * theta[place])
                case "auxiliary", (place,):
                    values[k] = TRANSFORMS[row.scale].inverse(theta[place])
                case _, (place,):
                    values[k] = theta[place]
        return values

    def jacobian(self, theta: Array) -> Array:
        """Return d natural / d theta, shape (rows, P).

        Where a standard deviation is 0 its derivative in its own diagonal entry is taken from above, and
        the derivative of its correlations is nan.
        """
        theta = np.asarray(theta, float)
        factors = [factor.fill(theta) for factor in self.factors]
        jacobian = np.zeros((len(self.rows), self.n_parameters))
        slopes = [np.zeros((len(self.rows), *factor.shape)) for factor in factors]
        for k, row in enumerate(self.rows):
            match row.kind, row.place:
                case "derived", _:
                    continue
                case "location", (which, point):
                    jacobian[k] = -self.points[which].mean_slope(theta)
                    own = self.points[which].location[point]
                    if own >= 0:
                        jacobian[k, own] += 1.0
                case "sd", (level, i):
                    slopes[level][k, i] = _slope_sd(factors[level][i], i)
                case "cor", (level, i, j):
                    slopes[level][k, i], slopes[level][k, j] = _slope_cor(
                        factors[level][i], factors[level][j]
                    )
                case "variance", (level, i):
                    slopes[level][k, i] = 2.0 * factors[level][i]
                case "covariance", (level, i, j):
                    slopes[level][k, i], slopes[level][k, j] = factors[level][j], factors[level][i]
                case "residual", (place,):
                    jacobian[k, place] = 2.0 * np.exp(2.0 * theta[place])
                case "auxiliary", (place,):
                    natural = float(TRANSFORMS[row.scale].inverse(theta[place]))
                    jacobian[k, place] = TRANSFORMS[row.scale].slope(natural)
                case _, (place,):
                    jacobian[k, place] = 1.0
        for factor, slope in zip(self.factors, slopes, strict=True):
            if slope.shape[1]:
                pull_factor(factor.plan, theta, slope, jacobian)
        if self.derived:
            self._derive_slopes(self.natural(theta), jacobian)
        return jacobian

    def _lookup(self, which: int, values: Array) -> tuple[Derived, dict[str, float], dict[str, int]]:
        """Return a derived parameter, the values of the names it uses, and the rows of those."""
        derived = self.derived[which]
        place = {row.name: k for k, row in enumerate(self.rows)}
        rows = {name: place[own] for name, own in derived.names.items() if isinstance(own, str)}
        lookup = {name: float(own) for name, own in derived.names.items() if not isinstance(own, str)}
        return derived, lookup | {name: float(values[k]) for name, k in rows.items()}, rows

    def _derive(self, which: int, values: Array) -> float:
        derived, lookup, _ = self._lookup(which, values)
        return value(derived.expression, lookup)

    def _derive_slopes(self, values: Array, jacobian: Array) -> None:
        for k, row in enumerate(self.rows):
            if row.kind == "derived":
                derived, lookup, rows = self._lookup(row.place[0], values)
                partial = gradient(derived.expression, lookup, list(rows))
                jacobian[k] = partial @ jacobian[list(rows.values())] if rows else 0.0

    def theta(self, natural: Array, begin: Array | None = None) -> Array:
        """Return the theta whose reported values are `natural`, shape (P,), Cholesky diagonals >= 0.

        Parameters
        ----------
        natural : ndarray, shape (rows,)
            A correlation that is nan counts as 0. Of parameters that share an entry of theta the last counts.
        begin : ndarray, shape (P,), optional
            Theta whose held variances and covariances are kept; zeros by default.
        """
        natural = np.asarray(natural, float)
        theta = np.zeros(self.n_parameters) if begin is None else np.array(begin, dtype=float)
        with np.errstate(invalid="ignore"):
            factors = [factor.fill(theta) for factor in self.factors]
        covariances = [np.nan_to_num(factor @ factor.T) for factor in factors]
        correlations: list[tuple[tuple[int, ...], float]] = []
        located = {
            row.place: float(x) for x, row in zip(natural, self.rows, strict=True) if row.kind == "location"
        }
        for (which, point), location in located.items():
            own = self.points[which].location[point]
            if own >= 0:
                held = int(np.flatnonzero(self.points[which].location < 0)[0])
                theta[own] = location - located[which, held]
        for given, row in zip(natural, self.rows, strict=True):
            match row.kind, row.place:
                case (("derived" | "location"), _):
                    continue
                case "sd", (level, i):
                    covariances[level][i, i] = given * given
                case "variance", (level, i):
                    covariances[level][i, i] = given
                case "covariance", (level, i, j):
                    covariances[level][i, j] = covariances[level][j, i] = given
                case "cor", _:
                    correlations.append((row.place, 0.0 if np.isnan(given) else float(given)))
                case "residual", (place,):
                    theta[place] = 0.5 * np.log(given)
                case "auxiliary", (place,):
                    theta[place] = TRANSFORMS[row.scale].forward(given)
                case _, (place,):
                    theta[place] = given
        for (level, i, j), cor in correlations:
            covariance = covariances[level]
            covariance[i, j] = covariance[j, i] = cor * np.sqrt(covariance[i, i] * covariance[j, j])
        for factor, covariance in zip(self.factors, covariances, strict=True):
            if len(covariance):
                store_covariance(factor.plan, theta, covariance)
        return theta


def _slope_sd(row: Array, own: int) -> Array:
    sd = float(np.linalg.norm(row))
    if sd > 0.0:
        return row / sd
    slope = np.zeros_like(row)
    slope[own] = 1.0
    return slope


def _slope_cor(a: Array, b: Array) -> tuple[Array, Array]:
    sd_a, sd_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if sd_a == 0.0 or sd_b == 0.0:
        return np.full_like(a, np.nan), np.full_like(b, np.nan)
    a, b = a / sd_a, b / sd_b
    r = float(a @ b)
    return (b - r * a) / sd_a, (a - r * b) / sd_b
