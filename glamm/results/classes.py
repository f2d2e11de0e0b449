"""Discrete latent variables of a fit: posterior classes, their sizes and profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import Lowered
from glamm.errors import GlammError
from glamm.graph import ModelGraph
from glamm.inference import Optimum
from glamm.inference.discrete import objective_for
from glamm.inference.mixtures import Classes, class_sizes, classes_of, clusters_at, responsibilities
from glamm.results.covariance import delta_method

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "ClassFit",
    "class_orders",
    "class_probabilities",
    "class_profiles",
    "class_size_table",
    "classification_table",
    "derivative",
    "modal_classes",
    "relative_entropy",
    "solution_table",
]

STEP = 1e-3
"""Step of fourth-order differences of smooth functions of theta."""


class FitWithData(Protocol):
    """What is needed of the source of a result: one that still has its plan."""

    lowered: Lowered
    optimum: Optimum
    index: pd.Index
    threads: int | None

    def covariance(self, cov_type: str) -> tuple[Array, tuple[str, ...]]:
        """Return the covariance matrix of the reported parameters, and why some have no standard error."""


def class_orders(graph: ModelGraph) -> tuple[str, ...]:
    """Return for each class variable how its classes are numbered: by size, by location or as named."""
    orders = []
    for variable in graph.classes:
        numbered = variable.labels == tuple(str(k + 1) for k in range(len(variable.labels)))
        free = numbered and not variable.known
        orders.append(("location" if variable.points else "size") if free else "")
    return tuple(orders)


@dataclass(eq=False)
class ClassFit:
    """A fit with discrete latent variables, and what is computed from it once.

    Parameters
    ----------
    source : FitWithData
    """

    source: FitWithData

    @classmethod
    def of(cls, source: Any) -> ClassFit:
        """Return the classes of a fit.

        Raises
        ------
        GlammError
            The fit has no classes, or was read without its data.
        """
        if not hasattr(source, "lowered"):
            raise GlammError("classes are computed from the data, which this fit no longer has")
        if not source.lowered.classes:
            raise GlammError("the model has no discrete latent variable")
        return cls(source)

    @cached_property
    def shares(self) -> list[Array]:
        """Probability of each cluster among its alternatives, by level."""
        source = self.source
        points = tuple(max(p, 2) for p in source.optimum.points)
        objective = objective_for(source.lowered.plan, points, source.threads)
        objective.place_nodes(source.optimum.theta)
        return objective.shares(source.optimum.theta)

    @cached_property
    def variables(self) -> tuple[Classes, ...]:
        """The class variables, in the order of the graph."""
        return classes_of(self.source.lowered.plan)

    def name(self, classes: Classes) -> str:
        """Return the name of a class variable."""
        return self.source.lowered.classes[classes.number].variable.name

    def labels(self, classes: Classes) -> tuple[str, ...]:
        """Return the names of its classes."""
        return self.source.lowered.classes[classes.number].labels

    def find(self, name: str | None) -> Classes:
        """Return the class variable called `name`; the first for None.

        Raises
        ------
        GlammError
            There is none of that name.
        """
        names = [self.name(classes) for classes in self.variables]
        if name is None:
            return self.variables[0]
        if name not in names:
            raise GlammError(f"{name!r} is no class variable of the model; it has {', '.join(names)}")
        return self.variables[names.index(name)]

    @cached_property
    def lowest(self) -> Array:
        """Probability of the classes of each lowest-level cluster, those above included."""
        return responsibilities(self.source.lowered.plan, self.shares)[0]

    def state_of(self, classes: Classes, cluster: Index) -> Index:
        """Return the class of rows in lowest-level clusters."""
        return classes.state[clusters_at(self.source.lowered.plan, cluster, classes.level)]


def class_probabilities(fit: ClassFit, name: str | None = None) -> pd.DataFrame:
    """Return posterior probabilities of the classes, one row a cluster of the data.

    Parameters
    ----------
    fit : ClassFit
    name : str, optional
        Class variable; the first by default.
    """
    classes = fit.find(name)
    layout = fit.source.lowered.levels[classes.level]
    posterior = responsibilities(fit.source.lowered.plan, fit.shares)[classes.level]
    number, labels = pd.factorize(pd.Series(list(layout.labels)))
    values = np.zeros((len(labels), classes.count))
    np.add.at(values, (number, classes.state), posterior)
    by_row = layout.group is None or not layout.group.columns
    index = fit.source.index[np.asarray(labels)] if by_row else pd.Index(labels, name=layout.name)
    return pd.DataFrame(values, index=index, columns=list(fit.labels(classes)))


def modal_classes(fit: ClassFit, name: str | None = None) -> pd.Series:
    """Return the most probable class of each cluster of the data."""
    classes = fit.find(name)
    found = class_probabilities(fit, name)
    labels = np.asarray(fit.labels(classes), dtype=object)
    return pd.Series(labels[found.to_numpy().argmax(axis=1)], index=found.index, name=fit.name(classes))


def relative_entropy(fit: ClassFit, name: str | None = None) -> float:
    """Return 1 less the entropy of the posterior classes over its largest possible value, ``n log K``."""
    p = class_probabilities(fit, name).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        total = -np.where(p > 0.0, p * np.log(p), 0.0).sum()
    return float(1.0 - total / (len(p) * np.log(p.shape[1])))


def classification_table(fit: ClassFit, name: str | None = None) -> pd.DataFrame:
    """Return average posterior probabilities (columns) of those whose most probable class is the row's."""
    posterior = class_probabilities(fit, name)
    table = posterior.groupby(modal_classes(fit, name).to_numpy()).mean()
    return table.reindex(posterior.columns).rename_axis("modal class")


def derivative(function: Callable[[Array], Array], theta: Array) -> Array:
    """Return the derivative (m, P) of a smooth function of theta (P,) with values (m,)."""
    columns = []
    for k in range(len(theta)):
        moved = theta.copy()
        values = []
        for side in (-2.0, -1.0, 1.0, 2.0):
            moved[k] = theta[k] + side * STEP
            values.append(function(moved))
        far, near = values[3] - values[0], values[2] - values[1]
        columns.append((8.0 * near - far) / (12.0 * STEP))
    return np.stack(columns, axis=1)


def with_errors(fit: ClassFit, function: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return a function of theta with its delta-method standard errors."""
    optimum = fit.source.optimum
    covariance = delta_method(optimum.covariance, _cleared(derivative(function, optimum.theta)))
    with np.errstate(invalid="ignore"):
        return function(optimum.theta), np.sqrt(np.diagonal(covariance))


def _cleared(jacobian: Array) -> Array:
    """Return a derivative with what differs from 0 by rounding set to 0."""
    largest = np.abs(jacobian).max(axis=1, keepdims=True, initial=0.0)
    return np.where(np.abs(jacobian) > 1e-9 * np.maximum(largest, 1e-6), jacobian, 0.0)


def prior_probabilities(fit: ClassFit, classes: Classes, theta: Array) -> tuple[Array, Array]:
    """Return the membership model's probabilities (clusters, K) of the clusters of a level and their weights.

    Clusters that differ in a class of this level only count once.
    """
    plan = fit.source.lowered.plan
    membership = plan.memberships[classes.number]
    level = plan.levels[classes.level]
    assert level.group is not None
    log_odds = np.zeros((len(membership.cluster), classes.count))
    for k, predictor in enumerate(membership.predictors):
        log_odds[:, k] = predictor.design @ theta[predictor.coefficient] + predictor.offset
    log_odds -= log_odds.max(axis=1, keepdims=True)
    prior = np.exp(log_odds)
    prior /= prior.sum(axis=1, keepdims=True)
    cluster = clusters_at(plan, membership.cluster, classes.level)
    first = np.unique(level.group[cluster], return_index=True)[1]
    posterior = responsibilities(plan, fit.shares)[classes.level]
    weight: Array = np.bincount(level.group, posterior).astype(float)
    if level.weight is not None:
        weight = weight * level.weight[np.unique(level.group, return_index=True)[1]]
    return prior[first], np.asarray(weight[level.group[cluster][first]])


def class_size_table(fit: ClassFit, name: str | None = None) -> pd.DataFrame:
    """Return sizes of the classes: posterior average, its standard error, and share of modal assignments."""
    classes = fit.find(name)

    def average(theta: Array) -> Array:
        prior, weight = prior_probabilities(fit, classes, theta)
        return np.asarray(weight @ prior / weight.sum())

    sizes = class_sizes(fit.source.lowered.plan, classes, fit.shares)
    modal = modal_classes(fit, name).value_counts(normalize=True)
    labels = list(fit.labels(classes))
    return pd.DataFrame(
        {
            "size": sizes,
            "std_error": with_errors(fit, average)[1],
            "modal": modal.reindex(labels, fill_value=0.0).to_numpy(),
        },
        index=pd.Index(labels, name=fit.name(classes)),
    )


def class_profiles(fit: ClassFit, name: str | None = None) -> pd.DataFrame:
    """Return the mean, or the probabilities of the categories, of each response in each class.

    Where they depend on covariates they are averaged over the units, each weighted by its posterior
    probability of the class; continuous latent variables are at 0.

    Returns
    -------
    DataFrame
        Rows are pairs of response and category (empty for a mean), columns pairs of class and
        ``estimate``, ``std_error``.
    """
    classes = fit.find(name)
    lowered = fit.source.lowered
    index: list[tuple[str, str]] = []
    values, errors = [], []
    for plan, layout in zip(lowered.plan.responses, lowered.responses, strict=True):
        state = fit.state_of(classes, plan.cluster)
        weight = fit.lowest[plan.cluster] * (1.0 if plan.weight is None else plan.weight)
        total = np.bincount(state, weights=weight, minlength=classes.count)

        def profile(
            theta: Array, plan: Any = plan, state: Any = state, weight: Any = weight, total: Any = total
        ) -> Array:
            nu = [p.design @ theta[p.coefficient] + p.offset for p in plan.predictors]
            mean = plan.family.mean_value(plan.encoded.categories, nu).reshape(len(state), -1)
            sums = np.zeros((classes.count, mean.shape[1]))
            np.add.at(sums, state, mean * weight[:, None])
            with np.errstate(invalid="ignore"):
                return np.asarray((sums / total[:, None]).T.ravel())

        found = with_errors(fit, profile)
        values.append(found[0].reshape(-1, classes.count))
        errors.append(found[1].reshape(-1, classes.count))
        index += [(layout.name, category) for category in layout.categories or ("",)]
    columns = [(label, what) for label in fit.labels(classes) for what in ("estimate", "std_error")]
    table = np.stack([np.vstack(values), np.vstack(errors)], axis=2).reshape(len(index), -1)
    return pd.DataFrame(
        table,
        index=pd.MultiIndex.from_tuples(index, names=["response", "category"]),
        columns=pd.MultiIndex.from_tuples(columns, names=[fit.name(classes), ""]),
    )


def solution_table(fit: ClassFit) -> pd.DataFrame:
    """Return the local maxima that random starts led to: log-likelihood, how often found, converged."""
    solutions = fit.source.optimum.solutions
    return pd.DataFrame(
        {
            "loglik": [one.loglik for one in solutions],
            "found": [one.found for one in solutions],
            "converged": [one.converged for one in solutions],
        }
    )
