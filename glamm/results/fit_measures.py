"""Fit measures of models whose responses are all Gaussian with identity link, on one level.

The model is compared with the unrestricted model and with the baseline in which the responses are
independent of each other and of the covariates. Names, and the choices that programs differ in, are
lavaan's for maximum likelihood: sizes are n and not n - 1, the standardised residuals include means, and the
covariates' moments count among those the model reproduces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, chndtr

from glamm.results.unrestricted import Moments, independence, unrestricted

Array = NDArray[np.float64]

__all__ = ["FitMeasures", "fit_measures"]

LEVEL = 0.90
"""Of the confidence interval of the RMSEA."""

CLOSE = 0.05
"""RMSEA of the hypothesis of close fit."""


@dataclass(frozen=True, slots=True)
class FitMeasures:
    """Fit measures; `as_dict` has them by lavaan's names.

    NaN where a measure has no value, such as a p-value with no degrees of freedom.

    Attributes
    ----------
    chisq, df, pvalue : float, int, float
        Likelihood-ratio test against the unrestricted model.
    baseline_chisq, baseline_df, baseline_pvalue : float, int, float
        The same for the baseline.
    cfi, tli, nnfi, rfi, nfi, pnfi, ifi, rni : float
        Comparative fit; Tucker-Lewis, also called non-normed; Bollen's relative and incremental; normed and
        parsimonious normed; relative noncentrality.
    logl, unrestricted_logl : float
    npar : int
    aic, bic : float
    ntotal : int
        Rows with a response.
    bic2 : float
        BIC with the sample size adjusted, (n + 2) / 24.
    rmsea, rmsea_ci_lower, rmsea_ci_upper, rmsea_pvalue : float
        With the limits of a 90 percent interval and the p-value of 0.05 or less.
    srmr : float
        Bentler's: residuals over the standard deviations of the unrestricted model.
    crmr : float
        Of the correlations, and the means over standard deviations.
    """

    chisq: float
    df: int
    pvalue: float
    baseline_chisq: float
    baseline_df: int
    baseline_pvalue: float
    cfi: float
    tli: float
    nnfi: float
    rfi: float
    nfi: float
    pnfi: float
    ifi: float
    rni: float
    logl: float
    unrestricted_logl: float
    npar: int
    aic: float
    bic: float
    ntotal: int
    bic2: float
    rmsea: float
    rmsea_ci_lower: float
    rmsea_ci_upper: float
    rmsea_pvalue: float
    srmr: float
    crmr: float

    def as_dict(self) -> dict[str, float]:
        """Return the measures by lavaan's names: ``chisq``, ``baseline.chisq``, ``rmsea.ci.lower``."""
        return {field.name.replace("_", "."): getattr(self, field.name) for field in fields(self)}


def fit_measures(
    responses: Array,
    covariates: Array,
    loglik: float,
    parameters: int,
    coefficients: Array,
    covariance: Array,
) -> FitMeasures:
    """Return the fit measures of a fitted model.

    Rows without any response say nothing about the model and are left out throughout.

    Parameters
    ----------
    responses : ndarray, shape (n, p)
        NaN where missing.
    covariates : ndarray, shape (n, k)
        Complete, without an intercept; k may be 0.
    loglik : float
        Maximum of the log-likelihood, given the covariates.
    parameters : int
        Number of free parameters.
    coefficients : ndarray, shape (p, 1 + k)
        Intercepts and slopes of the responses on the covariates that the model implies.
    covariance : ndarray, shape (p, p)
        Covariance matrix of the responses given the covariates that the model implies.

    Raises
    ------
    DataError
        If a response is constant or the unrestricted covariance matrix is singular.
    FitError
        If the unrestricted model cannot be fitted.
    """
    seen = np.isfinite(responses).any(axis=1)
    responses, covariates = responses[seen], covariates[seen]
    n, p = responses.shape
    free = unrestricted(responses, covariates)
    df, baseline_df = free.parameters - parameters, free.parameters - 2 * p
    # Two maximisers agree but for rounding, which must not make a saturated model's statistic negative.
    chisq = max(2.0 * (free.loglik - loglik), 0.0)
    baseline = max(2.0 * (free.loglik - independence(responses)), 0.0)
    rmsea, lower, upper, close = _rmsea(chisq, df, n)
    srmr, crmr = _residuals(free.moments, Moments(coefficients, covariance), covariates)
    deviance = -2.0 * loglik
    return FitMeasures(
        chisq=chisq,
        df=df,
        pvalue=_tail(chisq, df),
        baseline_chisq=baseline,
        baseline_df=baseline_df,
        baseline_pvalue=_tail(baseline, baseline_df),
        **_incremental(chisq, df, baseline, baseline_df),
        logl=loglik,
        unrestricted_logl=free.loglik,
        npar=parameters,
        aic=deviance + 2.0 * parameters,
        bic=deviance + np.log(n) * parameters,
        ntotal=n,
        bic2=deviance + np.log((n + 2.0) / 24.0) * parameters,
        rmsea=rmsea,
        rmsea_ci_lower=lower,
        rmsea_ci_upper=upper,
        rmsea_pvalue=close,
        srmr=srmr,
        crmr=crmr,
    )


def _tail(statistic: float, df: int) -> float:
    return float(chdtrc(df, statistic)) if df > 0 else np.nan


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0.0 else np.nan


def _incremental(chisq: float, df: int, baseline: float, baseline_df: int) -> dict[str, float]:
    """Return the measures that compare the model's statistic with the baseline's."""
    excess = max(chisq - df, 0.0)
    worst = max(excess, baseline - baseline_df)
    normed = _ratio(baseline - chisq, baseline)
    # Those per degree of freedom are one, as of a perfect fit, where the model has none.
    own, other = (_ratio(chisq, df) if df else 0.0), _ratio(baseline, baseline_df)
    tucker_lewis = _ratio(other - own, other - 1.0) if df else 1.0
    return {
        "cfi": 1.0 - excess / worst if worst > 0.0 else 1.0,
        "tli": tucker_lewis,
        "nnfi": tucker_lewis,
        "rfi": _ratio(other - own, other),
        "nfi": normed,
        "pnfi": _ratio(df, baseline_df) * normed,
        "ifi": _ratio(baseline - chisq, baseline - df),
        "rni": 1.0 - _ratio(chisq - df, baseline - baseline_df),
    }


def _rmsea(chisq: float, df: int, n: int) -> tuple[float, float, float, float]:
    """Return the RMSEA, the limits of its interval and the p-value of close fit."""
    if df < 1:
        return 0.0, 0.0, 0.0, np.nan
    size = float(n * df)

    def limit(probability: float) -> float:
        """Return the noncentrality at which a smaller statistic has the probability, 0 if none is."""

        def excess(noncentrality: float) -> float:
            return float(chndtr(chisq, df, noncentrality)) - probability

        return _root(excess, chisq + df)

    lower, upper = limit(0.5 * (1.0 + LEVEL)), limit(0.5 * (1.0 - LEVEL))
    close = 1.0 - float(chndtr(chisq, df, size * CLOSE**2))
    return (
        np.sqrt(max(chisq - df, 0.0) / size),
        np.sqrt(lower / size),
        np.sqrt(upper / size),
        close,
    )


def _root(decreasing: Callable[[float], float], step: float) -> float:
    """Return where a decreasing function of a number >= 0 is zero, or 0 where it is negative throughout."""
    if decreasing(0.0) <= 0.0:
        return 0.0
    upper = step
    while decreasing(upper) > 0.0:
        upper *= 2.0
    return float(brentq(decreasing, 0.0, upper, xtol=1e-10, rtol=1e-12))


def _residuals(free: Moments, model: Moments, covariates: Array) -> tuple[float, float]:
    """Return the SRMR and the CRMR."""
    mean, covariance = free.joint(covariates)
    implied_mean, implied = model.joint(covariates)
    size = len(mean)
    lower = np.tril_indices(size)
    # A constant covariate has no residuals.
    scale, implied_scale = (
        np.sqrt(np.where(np.diagonal(matrix) > 0.0, np.diagonal(matrix), 1.0))
        for matrix in (covariance, implied)
    )
    squares = ((covariance - implied) / np.outer(scale, scale))[lower] ** 2
    means = ((mean - implied_mean) / scale) ** 2
    correlations = covariance / np.outer(scale, scale) - implied / np.outer(implied_scale, implied_scale)
    standardised = mean / scale - implied_mean / implied_scale
    moments = size * (size + 1) // 2
    srmr = np.sqrt((squares.sum() + means.sum()) / (moments + size))
    crmr = np.sqrt(((correlations[lower] ** 2).sum() + (standardised**2).sum()) / moments)
    return float(srmr), float(crmr)
