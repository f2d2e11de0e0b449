"""Standardised parameters: latent variables, and then everything, with variance one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import Lowered, ParameterRow, PredictorLayout, PredictorPlan
from glamm.errors import GlammError
from glamm.inference.forms import cluster_weights
from glamm.protocols import Family
from glamm.results.covariance import delta_method
from glamm.results.forms import Forms, RowForm
from glamm.results.held import held_parameters
from glamm.results.weights import unit_weights

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Standardized", "standardized", "standardized_frame"]

STEP = 1e-5
NOISE = 1e-9

LATENT_RESPONSE: Mapping[str, float] = {
    "logit": np.pi**2 / 3.0,
    "probit": 1.0,
    "cloglog": np.pi**2 / 6.0,
    "loglog": np.pi**2 / 6.0,
}
"""Variance of the error of the latent response behind a binary or ordinal one, by link."""

COLUMNS = ("estimate", "std.lv", "se.std.lv", "std.all", "se.std.all")


@dataclass(frozen=True, slots=True, eq=False)
class Standardized:
    """Standardised parameters as functions of theta.

    Attributes
    ----------
    names : tuple of m str
    estimate : ndarray, shape (m,)
    value : ndarray, shape (m, 2)
        ``std.lv`` and ``std.all``.
    jacobian : ndarray, shape (m, 2, P)
    """

    names: tuple[str, ...]
    estimate: Array
    value: Array
    jacobian: Array

    def frame(self, covariance: Array) -> pd.DataFrame:
        """Return them with standard errors, given the covariance matrix (P, P) of theta."""
        columns = [self.estimate]
        for j in range(2):
            with np.errstate(invalid="ignore"):
                error = np.sqrt(np.diagonal(delta_method(covariance, self.jacobian[:, j])))
            columns += [self.value[:, j], error]
        return standardized_frame(self.names, np.column_stack(columns))


def standardized(lowered: Lowered, theta: Array, forms: Callable[[Array], Forms]) -> Standardized:
    """Return standardised parameters, those the model holds among them.

    Parameters
    ----------
    lowered : Lowered
    theta : ndarray, shape (P,)
    forms : callable
        Returns the forms of the model at a theta.

    Raises
    ------
    GlammError
        The model has classes.
    """
    if lowered.classes:
        raise GlammError("standardised parameters are not defined in models with classes")
    held = [(row, value) for row, value in held_parameters(lowered) if _shown(lowered, row)]
    free = [k for k, row in enumerate(lowered.parameters.rows) if _shown(lowered, row)]
    rows = [row for row, _ in held] + [lowered.parameters.rows[k] for k in free]

    def values(at: Array) -> tuple[Array, Array]:
        natural = lowered.parameters.natural(at)
        plain = np.array([value for _, value in held] + [natural[k] for k in free])
        scales = _Scales(lowered, at, forms(at))
        # a latent variable of variance zero has no standardised coefficients
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = np.array([scales.of(row) for row in rows]).reshape(-1, 2)
            return plain, plain[:, None] * factors

    plain, found = values(theta)
    jacobian = np.empty((*found.shape, len(theta)))
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = STEP * max(1.0, abs(float(theta[k])))
        with np.errstate(invalid="ignore"):
            jacobian[:, :, k] = (values(theta + step)[1] - values(theta - step)[1]) / (2.0 * step[k])
    # differences of what does not depend on a parameter are rounding errors
    small = np.abs(jacobian) < NOISE * np.maximum(1.0, np.abs(found))[:, :, None]
    return Standardized(tuple(row.name for row in rows), plain, found, np.where(small, 0.0, jacobian))


def standardized_frame(names: Sequence[str], values: Array) -> pd.DataFrame:
    """Return the frame of standardised parameters.

    Parameters
    ----------
    names : sequence of m str
    values : ndarray, shape (m, 5)
        Estimate, standardised values and their standard errors.
    """
    return pd.DataFrame(values, index=pd.Index(names, name="parameter"), columns=list(COLUMNS))


def _shown(lowered: Lowered, row: ParameterRow) -> bool:
    """Return whether a parameter has standardised values: those of random effects and classes have none."""
    if row.response in {membership.name for membership in lowered.memberships}:
        return False
    match row.kind:
        case "loading" | "covariance" | "variance" | "residual" | "residual covariance":
            return True
        case "fixed":
            return row.predictor == "mu"
        case "auxiliary":
            return row.predictor in ("sigma", "threshold")
    return False


def _spread(values: Array, weight: Array) -> float:
    """Return the variance of values (n,), weight by weight."""
    mean = np.average(values, weights=weight)
    return float(np.average((values - mean) ** 2, weights=weight))


def _variance(form: RowForm, rows: Index | slice, width: int, weight: Array) -> float:
    """Return the variance of a form over rows and coordinates; NaN where coordinates are multiplied."""
    weight = weight[rows]
    total = _spread(form.offset[rows], weight)
    if form.slope is None:
        return total
    slope = form.slope[rows]
    if np.any(slope[:, width:]):
        return np.nan
    return total + float(np.average(np.einsum("nq,nq->n", slope, slope), weights=weight))


class _Scales:
    """What each parameter is multiplied by to be standardised.

    Parameters
    ----------
    lowered : Lowered
    theta : ndarray, shape (P,)
    forms : Forms
    """

    def __init__(self, lowered: Lowered, theta: Array, forms: Forms) -> None:
        self.lowered, self.theta, self.forms = lowered, theta, forms
        width, weights = forms.space.width, cluster_weights(lowered.plan)
        self.latents = {
            layout.name: np.sqrt(_variance(form, slice(None), width, weights[layout.level]))
            for layout, form in zip(lowered.latents, forms.latents, strict=True)
        }
        self.weights = {
            layout.name: unit_weights(lowered.plan, plan)
            for layout, plan in zip(lowered.responses, lowered.plan.responses, strict=True)
        }
        self.weights |= {layout.name: weights[layout.level] for layout in lowered.latents}
        self.responses = {layout.name: k for k, layout in enumerate(lowered.responses)}

    def of(self, row: ParameterRow) -> tuple[float, float]:
        """Return the factors of a parameter's value for ``std.lv`` and ``std.all``."""
        match row.kind:
            case "covariance":
                first, second = (self._disturbance(name) for name in row.terms)
                return 1.0 / (first * second), 1.0 / (first * second)
            case "residual covariance":
                first, second = (self._residual_sd(name) for name in row.terms)
                return 1.0, 1.0 / (first * second)
            case "variance":
                factor = 1.0 / self.latents[row.terms[0]] ** 2
                return factor, factor
            case "residual":
                return 1.0, 1.0 / self._response(row.response, slice(None)) ** 2
            case "auxiliary":
                return 1.0, 1.0 / self._response(row.response, slice(None))
        effect, own = row.terms[0], self._owner(row)
        left = self.latents.get(row.response, 1.0)
        if effect == "1":
            return 1.0 / left, 1.0 / own
        if effect in self.latents:
            return self.latents[effect] / left, self.latents[effect] / own
        if any(name in effect.split(":") for name in self.latents):
            return np.nan, np.nan
        return 1.0 / left, self._column(row) / own

    def _disturbance(self, name: str) -> float:
        """Return the standard deviation of a latent variable's disturbance."""
        layout = next(latent for latent in self.lowered.latents if latent.name == name)
        factor = self.lowered.parameters.latent_factor(self.theta, layout.level)
        return float(np.linalg.norm(factor[layout.coordinate]))

    def _owner(self, row: ParameterRow) -> float:
        """Return the standard deviation of what a coefficient's regression is of."""
        if row.response in self.latents:
            return float(self.latents[row.response])
        return self._response(row.response, self._units(row))

    def _units(self, row: ParameterRow) -> Index | slice:
        """Return the units that a loading is of: in long data those with a one in its column."""
        if row.kind != "loading" or ":" not in row.name:
            return slice(None)
        for layout, plan in self._predictors(row.response):
            for made, term in zip(layout.terms, plan.terms, strict=True):
                for column, values in zip(made.columns, term.design.T, strict=True):
                    if row.name.endswith(f":{column}") and set(np.unique(values)) <= {0.0, 1.0}:
                        return np.flatnonzero(values)
        return slice(None)

    def _response(self, name: str, units: Index | slice) -> float:
        """Return the standard deviation of a response, or of the latent response behind it."""
        k = self.responses[name]
        layout, forms = self.lowered.responses[k], self.forms.predictors[k]
        weight = self.weights[name]
        residual = _residual(layout.family, layout.predictors, forms, units, weight)
        return float(np.sqrt(_variance(forms[0], units, self.forms.space.width, weight) + residual))

    def _residual_sd(self, name: str) -> float:
        """Return the residual standard deviation of a Gaussian response."""
        k = self.responses[name]
        layout, forms = self.lowered.responses[k], self.forms.predictors[k]
        rest = _residual(layout.family, layout.predictors, forms, slice(None), self.weights[name])
        return float(np.sqrt(rest))

    def _column(self, row: ParameterRow) -> float:
        """Return the standard deviation of a column of a regression's design."""
        for layout, plan in self._predictors(row.response):
            if (layout.name, layout.label) != (row.predictor, row.label):
                continue
            places = layout.numbered.coefficient
            place = places[layout.columns.index(row.terms[0])]
            # columns with one label are one column of the plan's design
            if place >= 0 and np.count_nonzero(places == place) == 1:
                column = plan.design[:, plan.coefficient == place][:, 0]
                return float(np.sqrt(_spread(column, self.weights[row.response])))
        return float("nan")

    def _predictors(self, owner: str) -> list[tuple[PredictorLayout, PredictorPlan]]:
        if owner in self.responses:
            k = self.responses[owner]
            layouts, plans = self.lowered.responses[k].predictors, self.lowered.plan.responses[k].predictors
            # the alternatives of a set share one layout
            return list(zip(layouts, plans[: len(layouts)], strict=True))
        k = list(self.latents).index(owner)
        return [(self.lowered.latents[k].predictor, self.lowered.plan.latents[k].predictor)]


def _residual(
    family: Family,
    layouts: tuple[PredictorLayout, ...],
    forms: tuple[RowForm, ...],
    units: Index | slice,
    weight: Array,
) -> float:
    """Return the variance of a response, or of the latent response behind it, given its predictor."""
    if family.stacked:
        return float("nan")
    by_name = {layout.name: form.offset[units] for layout, form in zip(layouts, forms, strict=True)}
    weight = weight[units]
    if family.name == "gaussian" and family.link.name == "identity":
        return float(np.average(np.exp(2.0 * by_name["sigma"]), weights=weight))
    if family.name not in ("binomial", "ordinal"):
        return float("nan")
    scale = np.average(np.exp(2.0 * by_name["scale"]), weights=weight) if "scale" in by_name else 1.0
    return float(scale * LATENT_RESPONSE.get(family.link.name, np.nan))
