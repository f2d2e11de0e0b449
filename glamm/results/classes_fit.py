"""How well classes fit: criteria, observed patterns, residuals of pairs, more classes or fewer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from glamm.compile import Lowered, Plan
from glamm.errors import GlammError
from glamm.inference import FitOptions, Optimum, maximise
from glamm.inference.discrete import DiscreteObjective, objective_for
from glamm.inference.options import Multistart
from glamm.results.classes import (
    ClassFit,
    class_orders,
    class_probabilities,
    prior_probabilities,
    relative_entropy,
)
from glamm.results.classes_draw import draw_responses, with_responses

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "BootstrapTest",
    "bivariate_residuals",
    "bootstrap_test",
    "class_criteria",
    "compare_classes",
    "pattern_fit",
]

PERSISTENT_STARTS = 10
"""Random starts of a fit to simulated data, whose likelihood is known near its maximum."""


def class_criteria(fit: ClassFit) -> pd.Series:
    """Return log-likelihood, parameters and information criteria with the number of clusters as n.

    ``sabic`` is BIC with ``(n + 2) / 24`` for n; ``icl`` is BIC plus twice the entropy of the posterior
    classes.
    """
    optimum = fit.source.optimum
    top = fit.source.lowered.plan.levels[-1]
    group = np.arange(top.clusters) if top.group is None else top.group
    first = np.unique(group, return_index=True)[1]
    n = float(len(first) if top.weight is None else top.weight[first].sum())
    deviance, size = -2.0 * optimum.loglik, optimum.n_free
    posterior = [class_probabilities(fit, fit.name(classes)).to_numpy() for classes in fit.variables]
    entropy = sum(
        -float(np.where(p > 0.0, p * np.log(np.where(p > 0.0, p, 1.0)), 0.0).sum()) for p in posterior
    )
    bic = deviance + size * math.log(n)
    return pd.Series(
        {
            "loglik": optimum.loglik,
            "parameters": size,
            "n": n,
            "aic": deviance + 2.0 * size,
            "bic": bic,
            "sabic": deviance + size * math.log((n + 2.0) / 24.0),
            "icl": bic + 2.0 * entropy,
            "entropy": relative_entropy(fit),
        }
    )


# ---------------------------------------------------------------- patterns


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """Categorical responses of clusters, one each.

    Attributes
    ----------
    codes : ndarray, shape (clusters, items)
        Category of each, NaN where it is missing.
    categories : list of int
    top : ndarray of intp, shape (clusters,)
        First of the alternatives of each cluster.
    """

    codes: Array
    categories: list[int]
    top: Index


def _items(lowered: Lowered) -> _Items:
    """Return the items of a latent class model.

    Raises
    ------
    GlammError
        A response is not categorical, or a cluster has more than one unit of it.
    """
    plan = lowered.plan
    if len(plan.levels) != 1 or plan.levels[0].group is None:
        raise GlammError(
            "patterns of responses are those of a model with classes at one level, one row a cluster"
        )
    first = np.unique(plan.levels[0].group, return_index=True)[1].astype(np.intp)
    codes, categories = [], []
    for response, layout in zip(plan.responses, lowered.responses, strict=True):
        y = response.encoded.y
        binary = y.shape[1] == 2 and not layout.categories and bool((y[:, 1] == 1.0).all())
        if not (layout.categories or binary):
            raise GlammError(
                f"the response {layout.name!r} has no categories, so there are no patterns to compare"
            )
        if len(np.unique(response.cluster)) < len(response.cluster):
            raise GlammError(f"a cluster has more than one unit of {layout.name!r}, so there are no patterns")
        own = np.full(plan.levels[0].clusters, np.nan)
        own[response.cluster] = y[:, 0]
        codes.append(own[first])
        categories.append(len(layout.categories) or 2)
    return _Items(np.column_stack(codes), categories, first)


def _without_covariates(plan: Plan) -> bool:
    """Return whether units of one response differ in their classes only."""
    group = plan.levels[0].group
    assert group is not None
    state = np.arange(len(group)) - np.searchsorted(group, group)
    for response in plan.units:
        for predictor in response.predictors:
            rows = np.column_stack(
                (
                    state[response.cluster],
                    predictor.design,
                    np.broadcast_to(predictor.offset, (len(response.cluster),)),
                )
            )
            if len(np.unique(rows, axis=0)) > len(np.unique(state)):
                return False
    return True


def pattern_fit(fit: ClassFit) -> pd.Series:
    """Return likelihood-ratio and Pearson statistics against the frequencies of response patterns.

    ``df`` is the number of possible patterns less one, less the free parameters.
    Clusters with missing responses are left out of the statistics.

    Raises
    ------
    GlammError
        The model has covariates, or responses without categories.
    """
    plan = fit.source.lowered.plan
    items = _items(fit.source.lowered)
    if not _without_covariates(plan):
        raise GlammError("patterns have one probability each only in a model without covariates")
    complete = ~np.isnan(items.codes).any(axis=1)
    loglik = objective_for(plan).cluster_logliks(fit.source.optimum.theta)[complete]
    weight = plan.levels[0].weight
    counts = np.ones(len(items.top)) if weight is None else weight[items.top]
    _, first, number = np.unique(items.codes[complete], axis=0, return_index=True, return_inverse=True)
    observed = np.bincount(number.ravel(), weights=counts[complete])
    expected = observed.sum() * np.exp(loglik[first])
    used = observed > 0.0
    g2 = 2.0 * float((observed[used] * np.log(observed[used] / expected[used])).sum())
    # patterns nobody has contribute what is expected of them
    x2 = float(((observed - expected) ** 2 / expected).sum() + observed.sum() - expected.sum())
    df = math.prod(items.categories) - 1 - fit.source.optimum.n_free
    p = (float(chi2.sf(g2, df)), float(chi2.sf(x2, df))) if df > 0 else (float("nan"),) * 2
    return pd.Series({"g2": g2, "x2": x2, "df": df, "p_g2": p[0], "p_x2": p[1]})


def bivariate_residuals(fit: ClassFit) -> pd.DataFrame:
    """Return Pearson's statistic of each pair of items over its degrees of freedom, lower triangle.

    Values well above 1 show pairs that are associated within classes.
    """
    lowered, plan = fit.source.lowered, fit.source.lowered.plan
    items = _items(lowered)
    (classes,) = fit.variables
    prior, _ = prior_probabilities(fit, classes, fit.source.optimum.theta)
    weight = plan.levels[0].weight
    counts = np.ones(len(items.top)) if weight is None else weight[items.top]
    inside = []
    for response, categories in zip(plan.responses, items.categories, strict=True):
        theta = fit.source.optimum.theta
        nu = [p.design @ theta[p.coefficient] + p.offset for p in response.predictors]
        mean = response.family.mean_value(response.encoded.categories, nu)
        mean = mean if mean.ndim == 2 else np.column_stack((1.0 - mean, mean))
        full = np.full((plan.levels[0].clusters, categories), np.nan)
        full[response.cluster] = mean
        cube = np.full((len(items.top), classes.count, categories), np.nan)
        cube[plan.levels[0].group, classes.state] = full
        inside.append(cube)
    names = [layout.name for layout in lowered.responses]
    table = pd.DataFrame(np.nan, index=names, columns=names)
    for a, b in combinations(range(len(names)), 2):
        both = ~np.isnan(items.codes[:, [a, b]]).any(axis=1)
        # a class that is impossible for a cluster has no probability there
        joint = np.einsum(
            "ik,ika,ikb,i->ab",
            prior[both],
            np.nan_to_num(inside[a][both]),
            np.nan_to_num(inside[b][both]),
            counts[both],
        )
        seen = np.zeros_like(joint)
        place = items.codes[both].astype(np.intp)
        np.add.at(seen, (place[:, a], place[:, b]), counts[both])
        df = (joint.shape[0] - 1) * (joint.shape[1] - 1)
        table.iloc[b, a] = float(((seen - joint) ** 2 / joint).sum()) / df
    return table


# ---------------------------------------------------------------- numbers of classes


def compare_classes(fits: Mapping[object, ClassFit]) -> pd.DataFrame:
    """Return the criteria of several fits, one a row.

    ``replicated`` says whether more than one random start led to the best maximum.
    """
    table = pd.DataFrame([class_criteria(fit) for fit in fits.values()], index=list(fits))
    table["replicated"] = [fit.source.optimum.replicated for fit in fits.values()]
    return table


@dataclass(frozen=True, slots=True, eq=False)
class BootstrapTest:
    """Parametric bootstrap test of fewer classes against more.

    Attributes
    ----------
    statistic : float
        Likelihood-ratio statistic of the data.
    simulated : ndarray, shape (draws,)
        The same of data simulated from the model with fewer classes.
    pvalue : float
        ``(1 + number of simulated statistics that are as large) / (1 + draws)``.
    """

    statistic: float
    simulated: Array
    pvalue: float


def bootstrap_test(
    fewer: ClassFit, more: ClassFit, draws: int = 99, seed: int = 0, starts: int = PERSISTENT_STARTS
) -> BootstrapTest:
    """Return the bootstrap likelihood-ratio test of a model with fewer classes against one with more.

    Parameters
    ----------
    fewer, more : ClassFit
        Of the same data, without continuous latent variables.
    draws : int
    seed : int
    starts : int
        Random starts of each fit to simulated data.
    """
    rng = np.random.default_rng(seed)
    observed = 2.0 * (more.source.optimum.loglik - fewer.source.optimum.loglik)
    simulated = np.empty(draws)
    for draw in range(draws):
        y = draw_responses(fewer, rng)
        ends = [
            _refitted(fit.source.lowered, y, starts, int(rng.integers(2**31))).loglik for fit in (fewer, more)
        ]
        simulated[draw] = 2.0 * (ends[1] - ends[0])
    exceeding = int((simulated >= observed).sum())
    return BootstrapTest(observed, simulated, (1 + exceeding) / (1 + draws))


def _refitted(lowered: Lowered, y: list[Array], starts: int, seed: int) -> Optimum:
    plan = with_responses(lowered, y)
    options = FitOptions(progress=False, multistart=Multistart(starts, seed, class_orders(lowered.graph)))
    return maximise(replace(plan, constraints=lowered.plan.constraints), options, DiscreteObjective)
