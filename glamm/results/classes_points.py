"""Mass points of a fit: locations and masses with standard errors, and whether more would fit better."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.inference.mixtures import Classes
from glamm.inference.mixtures_points import Gateaux, point_coefficients
from glamm.results.classes import ClassFit, class_size_table

Array = NDArray[np.float64]

__all__ = ["directional_derivative", "mass_points"]


def mass_points(fit: ClassFit, name: str | None = None) -> pd.DataFrame:
    """Return locations and masses, one row a point.

    Returns
    -------
    DataFrame
        For each effect of the points, or for the latent variable that lives on them, a column with its
        locations and one, ``se_...``, with their standard errors; then ``mass`` and ``se_mass``. Locations of
        a latent variable are deviations from its mean.
    """
    classes = fit.find(name)
    columns = _latent_columns(fit, fit.name(classes)) or _effect_columns(fit, classes)
    sizes = class_size_table(fit, name)
    columns["mass"] = sizes["size"].to_numpy()
    columns["se_mass"] = sizes["std_error"].to_numpy()
    return pd.DataFrame(columns, index=sizes.index)


def _latent_columns(fit: ClassFit, own: str) -> dict[str, Array]:
    """Return the locations of the latent variable on mass points `own`, and their errors, if there is one."""
    parameters = fit.source.lowered.parameters
    found = {
        k: row.response
        for k, row in enumerate(parameters.rows)
        if row.kind == "location" and row.name.startswith(f"{own}[")
    }
    if not found:
        return {}
    rows, latent = list(found), next(iter(found.values()))
    covariance, _ = fit.source.covariance("nonrobust")
    values = np.asarray(parameters.natural(fit.source.optimum.theta))
    return {latent: values[rows], f"se_{latent}": np.sqrt(np.diag(covariance)[rows])}


def _effect_columns(fit: ClassFit, classes: Classes) -> dict[str, Array]:
    """Return the coefficients that differ between classes, as effects of points, and their errors."""
    lowered, optimum = fit.source.lowered, fit.source.optimum
    places = point_coefficients(lowered.plan, classes)
    names = {row.place[0]: row.name for row in lowered.parameters.rows if len(row.place) == 1}
    own, label = fit.name(classes), fit.labels(classes)[0]
    errors = optimum.standard_errors
    columns: dict[str, Array] = {}
    for column in places.T:
        effect = names[int(column[0])].replace(f"{own}[{label}]", "", 1).split(" ~ ", 1)[-1].strip(":") or "1"
        columns[effect] = optimum.theta[column]
        columns[f"se_{effect}"] = errors[column]
    return columns


def directional_derivative(fit: ClassFit) -> Gateaux:
    """Return the derivative of the log-likelihood towards a mass at a place, a function of places (S, m).

    Its method ``largest`` finds where it is largest; a value of 0 there certifies that the distribution is
    the nonparametric maximum-likelihood estimate.
    """
    return Gateaux(fit.source.lowered.plan, fit.source.optimum.theta)
