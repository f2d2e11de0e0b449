"""Tidy frames of a fit: one row a parameter, one row a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from glamm.compile.parameters import ParameterRow
from glamm.results.estimates import Estimates, effect_label
from glamm.results.facts import Facts

__all__ = ["glance", "tidy"]

EFFECTS = {
    "fixed": "fixed",
    "loading": "loading",
    "auxiliary": "auxiliary",
    "residual": "residual",
    "sd": "ran_pars",
    "cor": "ran_pars",
    "variance": "variance",
    "covariance": "covariance",
    "residual covariance": "covariance",
    "location": "location",
    "derived": "derived",
}


def _term(row: ParameterRow, label: str) -> str:
    """Return what broom.mixed calls a parameter: ``x``, ``sd__x``, ``cor__(Intercept).x``."""
    if row.kind in ("sd", "cor"):
        return f"{row.kind}__{'.'.join(effect_label(term) for term in row.terms)}"
    return label


def tidy(estimates: Estimates, labels: Sequence[str], conf_int: bool, alpha: float) -> pd.DataFrame:
    """Return one row a parameter in broom.mixed's columns, indexed by parameter name.

    Parameters
    ----------
    estimates : Estimates
    labels : sequence of str
        What tables call each parameter.
    conf_int : bool
        Whether to add ``conf_low`` and ``conf_high``.
    alpha : float
        One minus the coverage of the intervals.
    """
    rows = estimates.rows
    table = pd.DataFrame(
        {
            "effect": [EFFECTS[row.kind] for row in rows],
            "group": [row.level or None for row in rows],
            "term": [_term(row, label) for row, label in zip(rows, labels, strict=True)],
            "estimate": estimates.values,
            "std_error": estimates.standard_errors(),
            "statistic": estimates.statistics(),
            "p_value": estimates.p_values(),
        },
        index=pd.Index(estimates.names, name="parameter"),
    )
    if conf_int:
        table[["conf_low", "conf_high"]] = estimates.intervals(alpha)
    return table


def glance(facts: Facts) -> pd.DataFrame:
    """Return the facts of a fit as a frame of one row."""
    loglik_error, estimate_error = facts.integration_error or (np.nan, np.nan)
    return pd.DataFrame(
        {
            "nobs": [facts.nobs],
            "df": [facts.n_parameters],
            "df_residual": [facts.nobs - facts.n_parameters],
            "log_lik": [facts.log_likelihood],
            "aic": [facts.aic],
            "bic": [facts.bic],
            "deviance": [-2.0 * facts.log_likelihood],
            "points": ["x".join(map(str, facts.points))],
            "integration_error": [loglik_error],
            "integration_error_se": [estimate_error],
            "converged": [facts.converged],
            "status": [facts.status],
        }
    )
