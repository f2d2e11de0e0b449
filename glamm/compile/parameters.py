"""Reported parameters as functions of theta, with their exact derivative.

Theta holds regression coefficients and the free entries of the lower Cholesky factors ``C`` of the levels'
latent covariance matrices ``C C'`` (their signs are free). People read standard deviations
``s_i = |c_i|`` and correlations ``r_ij = c_i'c_j / (s_i s_j)``, with ``c_i`` the i-th row of ``C``, and
auxiliary parameters on their natural scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.protocols import TRANSFORMS

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["LatentFactor", "ParameterRow", "ParameterTable"]

# d natural / d linear, as a function of the natural value.
_SLOPES: Mapping[str, Callable[[float], float]] = {
    "identity": lambda value: 1.0,
    "log": lambda value: value,
    "logit": lambda value: value * (1.0 - value),
}


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One reported parameter and what it belongs to.

    Attributes
    ----------
    name : str
        The piece of model language that makes it: ``"y ~ x"``, ``"sd(x | school)"``.
    kind : {"fixed", "auxiliary", "sd", "cor"}
        ``"fixed"`` is any coefficient on its linear scale, ``"auxiliary"`` a parameter reported on its
        natural scale (``sigma(y)``).
    response, predictor, label : str
        Response, predictor of its family (``"mu"``, ``"sigma"``, ``"threshold"``) and the category label
        of the predictor (``"1|2"``); empty where they do not apply.
    terms : tuple of str
        ``("x",)`` of a coefficient; the effect of an sd, the two effects of a correlation.
    level : str
        Level of clusters of an sd or correlation; else empty.
    scale : {"identity", "log", "logit", "atanh"}
        Scale on which its confidence interval is symmetric.
    place : tuple of int
        ``(position in theta,)`` of a coefficient; ``(level, latent)`` of an sd and
        ``(level, latent, latent)`` of a correlation, counted as in the plan.
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
        Names of the latent variables: ``"1"``, ``"x"``, ``"sigma(y): 1"``.
    index : ndarray of intp, shape (q, q)
        Position in theta of each entry; -1 is a fixed zero.
    """

    level: str
    latents: tuple[str, ...]
    index: Index

    def fill(self, theta: Array) -> Array:
        """Return the lower Cholesky factor, shape (q, q)."""
        factor: Array = np.where(self.index < 0, 0.0, theta[self.index])
        return factor


@dataclass(frozen=True, slots=True, eq=False)
class ParameterTable:
    """All reported parameters of a model; as many as theta has entries.

    Attributes
    ----------
    rows : tuple of ParameterRow
        Coefficients and auxiliary parameters response by response, then the levels' standard deviations
        and correlations, the lowest level first.
    factors : tuple of LatentFactor
        One for each level of the plan.
    n_parameters : int
        Length of theta.
    """

    rows: tuple[ParameterRow, ...]
    factors: tuple[LatentFactor, ...]
    n_parameters: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the reported parameters."""
        return tuple(row.name for row in self.rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each reported parameter: "fixed", "auxiliary", "sd" or "cor"."""
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
        for k, row in enumerate(self.rows):
            match row.kind, row.place:
                case "sd", (level, i):
                    self._add_row(jacobian[k], level, i, _slope_sd(factors[level][i], i))
                case "cor", (level, i, j):
                    slope_a, slope_b = _slope_cor(factors[level][i], factors[level][j])
                    self._add_row(jacobian[k], level, i, slope_a)
                    self._add_row(jacobian[k], level, j, slope_b)
                case "auxiliary", (place,):
                    natural = float(TRANSFORMS[row.scale].inverse(theta[place]))
                    jacobian[k, place] = _SLOPES[row.scale](natural)
                case _, (place,):
                    jacobian[k, place] = 1.0
        return jacobian

    def theta(self, natural: Array) -> Array:
        """Return the theta whose reported values are `natural`, shape (P,), Cholesky diagonals >= 0.

        Parameters
        ----------
        natural : ndarray, shape (rows,)
            A correlation that is nan counts as 0.
        """
        natural = np.asarray(natural, float)
        theta = np.zeros(self.n_parameters)
        covariances = [np.zeros(factor.index.shape) for factor in self.factors]
        correlations: list[tuple[tuple[int, ...], float]] = []
        for value, row in zip(natural, self.rows, strict=True):
            match row.kind, row.place:
                case "sd", (level, i):
                    covariances[level][i, i] = value * value
                case "cor", _:
                    correlations.append((row.place, 0.0 if np.isnan(value) else float(value)))
                case "auxiliary", (place,):
                    theta[place] = TRANSFORMS[row.scale].forward(value)
                case _, (place,):
                    theta[place] = value
        for (level, i, j), value in correlations:
            covariance = covariances[level]
            covariance[i, j] = covariance[j, i] = value * np.sqrt(covariance[i, i] * covariance[j, j])
        for factor, covariance in zip(self.factors, covariances, strict=True):
            lower = _cholesky(covariance)
            free = factor.index >= 0
            theta[factor.index[free]] = lower[free]
        return theta

    def _add_row(self, out: Array, level: int, latent: int, slope: Array) -> None:
        index = self.factors[level].index[latent]
        free = index >= 0
        out[index[free]] += slope[free]


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


def _cholesky(covariance: Array) -> Array:
    """Return the lower Cholesky factor of a matrix that may be singular."""
    lower = np.zeros_like(covariance)
    for j in range(len(covariance)):
        pivot = covariance[j, j] - lower[j, :j] @ lower[j, :j]
        if pivot <= 1e-14 * covariance[j, j]:
            continue
        lower[j, j] = np.sqrt(pivot)
        below = covariance[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]
        lower[j + 1 :, j] = below / lower[j, j]
    return lower
