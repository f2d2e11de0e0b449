"""The result of a fit: statsmodels' names, lme4's names, tidy frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import ParameterRow
from glamm.errors import GlammError
from glamm.results.classes_result import ClassResults
from glamm.results.covariance import check_covariance
from glamm.results.estimates import Estimates
from glamm.results.facts import Facts
from glamm.results.fit_measures import FitMeasures
from glamm.results.framed import predictions, residuals
from glamm.results.frames import glance, tidy
from glamm.results.layout import Summary
from glamm.results.posterior import empirical_bayes, random_effects
from glamm.results.predict import resolve_kind
from glamm.results.simulate import simulate
from glamm.results.source import Source
from glamm.results.store import read, stored_source, write
from glamm.results.summary import coefficient_label, summarise
from glamm.results.varcorr import VarCorr, var_corr

Array = NDArray[np.float64]

__all__ = ["Result"]


class Result(ClassResults):
    """A fitted model.

    Everything that costs time (standard errors, random effects, predictions) is computed when it is
    first asked for.

    Parameters
    ----------
    facts : Facts
    rows : tuple of ParameterRow
    values : ndarray, shape (m,)
        Reported parameters.
    source : Source
    cov_type : {"nonrobust", "robust", "opg"}
    """

    def __init__(
        self,
        facts: Facts,
        rows: Sequence[ParameterRow],
        values: Array,
        source: Source,
        *,
        cov_type: str = "nonrobust",
    ) -> None:
        check_covariance(cov_type)
        self.facts = facts
        self._rows = tuple(rows)
        self._values = np.asarray(values, dtype=float)
        self._source = source
        self.cov_type = cov_type

    # ------------------------------------------------ parameters

    @cached_property
    def estimates(self) -> Estimates:
        """Reported parameters with their covariance matrix."""
        covariance, reasons = self._source.covariance(self.cov_type)
        return Estimates(self._rows, self._values, covariance, reasons)

    @property
    def theta(self) -> Array:
        """Parameters as they were optimised: coefficients and Cholesky factors, shape (P,)."""
        return self._source.theta

    def _series(self, values: Array, name: str) -> pd.Series:
        return pd.Series(values, index=[row.name for row in self._rows], name=name)

    @property
    def params(self) -> pd.Series:
        """Estimates by parameter name."""
        return self._series(self._values, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Standard errors; NaN where there is none, and `summary` says why."""
        return self._series(self.estimates.standard_errors(), "std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Wald z statistics of the coefficients; NaN for variance components."""
        return self._series(self.estimates.statistics(), "statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of `tvalues`."""
        return self._series(self.estimates.p_values(), "p_value")

    @property
    def missing_errors(self) -> dict[str, str]:
        """Parameters that have no standard error, and why."""
        names = self.estimates.names
        return {n: why for n, why in zip(names, self.estimates.reasons, strict=True) if why}

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return Wald confidence limits in two columns, 0 and 1 as in statsmodels.

        Limits of standard deviations come from the log scale and limits of correlations from the atanh
        scale, so they stay inside the range.
        """
        return pd.DataFrame(self.estimates.intervals(alpha), index=self.params.index, columns=[0, 1])

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimates."""
        names = self.params.index
        return pd.DataFrame(self.estimates.covariance, index=names, columns=names)

    def with_covariance(self, cov_type: str) -> Result:
        """Return the same fit with other standard errors.

        Parameters
        ----------
        cov_type : {"nonrobust", "robust", "opg"}
            Observed information; sandwich over the J clusters of the highest level (the rows, if there
            are no groups), with Stata's factor ``J / (J - 1)``; outer product of their scores.
        """
        return Result(self.facts, self._rows, self._values, self._source, cov_type=cov_type)

    # ------------------------------------------------ facts

    @property
    def formula(self) -> str:
        """The model text."""
        return self.facts.formula

    @property
    def llf(self) -> float:
        """Log-likelihood."""
        return self.facts.log_likelihood

    def logLik(self) -> float:  # noqa: N802
        """Return the log-likelihood (lme4's name)."""
        return self.facts.log_likelihood

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.facts.aic

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, with the number of response units."""
        return self.facts.bic

    @property
    def nobs(self) -> float:
        """Number of response units, frequency weights counted."""
        return self.facts.nobs

    @property
    def df_model(self) -> int:
        """Number of free parameters."""
        return self.facts.n_parameters

    @property
    def df_resid(self) -> float:
        """Response units minus free parameters."""
        return self.facts.nobs - self.facts.n_parameters

    @property
    def converged(self) -> bool:
        """Whether the fit ended at a maximum that can be reported."""
        return self.facts.converged

    @property
    def status(self) -> str:
        """How the fit ended, in words."""
        return self.facts.status

    @property
    def interrupted(self) -> bool:
        """Whether the fit was stopped by hand; the best point so far is what is reported."""
        return self.facts.interrupted

    @property
    def gradient(self) -> float:
        """Relative gradient at the end."""
        return self.facts.gradient

    @property
    def condition_number(self) -> float:
        """Condition number of the information matrix."""
        return self.facts.condition

    @property
    def points(self) -> tuple[int, ...]:
        """Integration points of a dimension, by level, lowest first."""
        return self.facts.points

    @property
    def integration_error(self) -> tuple[float, float] | None:
        """Estimated integration error: in log-likelihood, and of the estimates in standard errors.

        None where the number of points was given and nothing was compared.
        """
        return self.facts.integration_error

    # ------------------------------------------------ lme4's names

    def fixef(self) -> pd.Series:
        """Return the coefficients, named inside their response as lme4 names them."""
        chosen = [i for i, row in enumerate(self._rows) if row.kind == "fixed"]
        labels = self._labels
        return pd.Series(self._values[chosen], index=[labels[i] for i in chosen], name="estimate")

    @cached_property
    def _random_effects(self) -> dict[str, pd.DataFrame]:
        source, facts = self._source, self.facts.levels
        parts = zip(facts, source.factors(), source.levels, source.posterior(), strict=True)
        scores = [random_effects(fact, factor, level.effects, p) for fact, factor, level, p in parts]
        return empirical_bayes([fact.name for fact in facts], source.clusters(), scores)

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Return empirical Bayes means and posterior standard deviations (``sd_...``) by level.

        Those of random effects; named latent variables are in `latent`.
        """
        return {level: frame.copy() for level, frame in self._random_effects.items()}

    @cached_property
    def _latent(self) -> dict[str, pd.DataFrame]:
        levels = [fact.name for fact in self.facts.levels]
        return empirical_bayes(levels, self._source.clusters(), self._source.latent_scores())

    def latent(self) -> dict[str, pd.DataFrame]:
        """Return empirical Bayes scores of the named latent variables by level.

        Posterior means and standard deviations (``sd_...``) of the latent variables themselves, not of their
        disturbances. The rows are the clusters of the level, for the level ``"row"`` the rows of the
        data that have a response. In models with classes they are mixed over the classes. Means are exact;
        the standard deviation of a latent variable that depends on a product of others is that of its linear
        part at the mean.
        """
        return {level: frame.copy() for level, frame in self._latent.items()}

    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """The same as `ranef` (statsmodels' name)."""
        return self.ranef()

    def VarCorr(self) -> VarCorr:  # noqa: N802
        """Return standard deviations and correlations of the random effects."""
        errors = self.estimates.standard_errors()
        residuals = {(fact.name, fact.residual) for fact in self.facts.responses}
        residual = {}
        for i, row in enumerate(self._rows):
            if row.kind == "auxiliary" and (row.response, row.predictor) in residuals:
                residual[row.response] = (float(self._values[i]), float(errors[i]))
        return var_corr(self.estimates, [level.name for level in self.facts.levels], residual)

    def ngrps(self) -> dict[str, int]:
        """Return the number of clusters of each level of groups."""
        return {level.name: level.clusters for level in self.facts.groups}

    # ------------------------------------------------ tables

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the summary page; ``print`` it or let a notebook show it."""
        measures = self._measures if self.facts.latents and isinstance(self._measures, FitMeasures) else None
        varcorr = self.VarCorr()
        return summarise(
            self.facts, self.estimates, varcorr, measures=measures, cov_type=self.cov_type, alpha=alpha
        )

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"<glamm.Result {self.formula!r}: log-likelihood {self.llf:.4f}, {self.status}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def _labels(self) -> list[str]:
        several = len(self.facts.responses) > 1
        return [
            f"{r.response}: {coefficient_label(r)}" if several else coefficient_label(r) for r in self._rows
        ]

    def tidy(self, conf_int: bool = True, alpha: float = 0.05) -> pd.DataFrame:
        """Return one row a parameter in broom.mixed's columns, indexed by parameter name."""
        return tidy(self.estimates, self._labels, conf_int, alpha)

    def glance(self) -> pd.DataFrame:
        """Return the facts of the fit as a frame of one row."""
        return glance(self.facts)

    @cached_property
    def _measures(self) -> FitMeasures | GlammError:
        return self._source.fit_measures(self.facts.n_parameters)

    def fit_measures(self) -> pd.Series:
        """Return lavaan's fit measures by its names: ``chisq``, ``df``, ``cfi``, ``rmsea``, ``srmr``.

        They are defined where the responses are Gaussian with identity link and each independent unit (row,
        or cluster of the only level) has each response once.

        Raises
        ------
        GlammError
            They are not defined for this model; the message says why.
        """
        if isinstance(self._measures, GlammError):
            raise self._measures
        return pd.Series(self._measures.as_dict(), name="fit_measures")

    def standardized(self) -> pd.DataFrame:
        """Return standardised loadings, coefficients, variances and covariances with standard errors.

        ``std.lv`` has latent variables with variance 1, ``std.all`` responses and covariates too, all over
        the sample's covariates. The standard deviation of a categorical response is that of the latent
        response behind it, whose residual variance is pi^2 / 3 (logit), 1 (probit) or pi^2 / 6 (cloglog,
        loglog). Where a response has none, and for products, they are NaN. The standard errors
        (``se.std.lv``, ``se.std.all``) are the delta method's. Models with classes have none.
        """
        return self._source.standardized(self.cov_type)

    # ------------------------------------------------ prediction

    def predict(self, newdata: Any = None, kind: str = "response", random: bool | str = True) -> Any:
        """Return predictions for the rows of the fit or of `newdata`.

        Parameters
        ----------
        newdata : data frame, optional
            Columns of the model; the responses may be missing. Default: the rows of the fit.
        kind : str
            ``"response"`` (mean, or probabilities of the categories), ``"probability"`` (the same),
            ``"link"`` (linear predictor); ``"linear"``, the fixed part of the linear predictor;
            ``"conditional"``, the mean at the empirical Bayes means; ``"marginal"``, the mean integrated
            over the random effects.
        random : {True, "zero", False}
            For the first three kinds: random effects at their empirical Bayes means (prior means for
            clusters the fit has not seen), at 0, or integrated over.

        Returns
        -------
        Series or DataFrame
            Aligned with the rows of the data, NaN where a covariate is missing; by default also where the
            response is, which has no part in the fit. A frame has one column
            a category, or one a response; both where there are both.

        Notes
        -----
        The disturbances of latent variables are random effects in this, so that a latent variable has its
        structural part with the covariates of `newdata`. Rows of new data are new clusters of the level of
        the rows. Classes are averaged over: with the posterior probabilities of known clusters in
        conditional predictions, with the probabilities of the membership model elsewhere. A response that
        a cluster has once has its prediction in every row of the cluster.
        Each alternative of a choice or ranking has the probability that it is chosen, or ranks first, among
        the rows of its set in the data given; its residual is 1 less that where it was, else 0 less that.
        Marginal predictions are infinite where a mean does not exist, as with a log link under Student's t.
        """
        return predictions(self._source, self.facts, resolve_kind(kind, random), newdata)

    @property
    def fittedvalues(self) -> Any:
        """Means at the empirical Bayes means, for the rows of the fit."""
        return self.predict()

    @property
    def resid(self) -> Any:
        """Response residuals: observed minus `fittedvalues`, of the responses that are no categories."""
        return residuals(self._source, self.predict())

    def simulate(self, n: int | None = None, seed: int | np.random.Generator | None = None) -> pd.DataFrame:
        """Return responses drawn from the fitted model, with new random effects and latent variables.

        Classes are new, too, but for those that are observed.

        Parameters
        ----------
        n : int, optional
            Number of draws. None: one draw in a frame with the columns of the responses, ready for
            ``data.assign(**frame)``; else columns are pairs of draw and response column.
        seed : int or numpy Generator, optional
        """
        return simulate(self._source, np.random.default_rng(seed), n)

    # ------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the fit to one file that `glamm.load` reads: JSON and arrays, no data, no code."""
        write(self, Path(path))

    def without_data(self) -> Result:
        """Return the same fit without its data: small to pickle, still predicts for new data."""
        source = stored_source(self)
        return Result(self.facts, self._rows, self._values, source, cov_type=self.cov_type)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Return the fit in a file that `save` wrote."""
        found = read(Path(path))
        return cls(found.facts, found.rows, found.values, found.source, cov_type=found.cov_type)
