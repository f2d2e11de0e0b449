"""Empirical Bayes predictions of random effects and latent variables, labelled by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile.plan import LatentPlan
from glamm.results.estimates import effect_label
from glamm.results.facts import LevelFact
from glamm.results.forms import Forms, LevelPosterior, path_moments

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "Clusters",
    "Scores",
    "empirical_bayes",
    "latent_scores",
    "random_effects",
]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Posterior means and variances of some variables of one level.

    Attributes
    ----------
    names : tuple of L str
    mean : ndarray, shape (clusters, L)
    variance : ndarray, shape (clusters, L)
    """

    names: tuple[str, ...]
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The clusters of the data at one level, of which each class has a copy in the plan.

    Attributes
    ----------
    index : pandas.Index
        Their names.
    copy_of : ndarray of intp, shape (clusters of the plan,)
        Cluster of the data that each one of the plan is.
    weight : ndarray, shape (clusters of the plan,)
        Posterior probability of each among the copies of one cluster.
    """

    index: pd.Index
    copy_of: Index
    weight: Array

    def mixed(self, scores: Scores) -> Scores:
        """Return moments over the classes: the law of total variance."""
        size = len(self.index)

        def total(values: Array) -> Array:
            return np.column_stack(
                [np.bincount(self.copy_of, self.weight * column, minlength=size) for column in values.T]
            )

        mean = total(scores.mean)
        between = (scores.mean - mean[self.copy_of]) ** 2
        return Scores(scores.names, mean, total(scores.variance + between))


def random_effects(
    level: LevelFact, factor: Array, effects: Sequence[int], posterior: LevelPosterior
) -> Scores:
    """Return the posterior moments of a level's random effects.

    Parameters
    ----------
    level : LevelFact
    factor : ndarray, shape (q, q)
    effects : sequence of int
        Rows of the factor.
    posterior : LevelPosterior
    """
    rows = factor[list(effects)]
    own = len(factor)
    mean = posterior.mean[:, :own] @ rows.T
    variance = np.einsum("ij,cjk,ik->ci", rows, posterior.covariance[:, :own, :own], rows)
    return Scores(tuple(effect_label(effect) for effect in level.effects), mean, variance)


def latent_scores(
    forms: Forms, level: int, named: Sequence[tuple[str, LatentPlan]], posterior: LevelPosterior
) -> Scores:
    """Return the posterior moments of a level's named latent variables.

    The mean is exact. Where a latent variable has products of others in it, its variance is that of its
    linear part at the mean (the delta method), else exact.

    Parameters
    ----------
    forms : Forms
    level : int
    named : sequence of (name, LatentPlan)
        As in `forms`; those of other levels are left out.
    posterior : LevelPosterior
    """
    space = forms.space
    start, clusters = space.starts[level], len(posterior.mean)
    own = np.arange(clusters, dtype=np.intp)
    moments = path_moments(space, clusters, {level: posterior}, {level: own})
    names, means, variances = [], [], []
    for (name, plan), form in zip(named, forms.latents, strict=True):
        if plan.level != level:
            continue
        slope = form.linear(space, moments.mean)[:, start:]
        names.append(name)
        means.append(form.expected(moments))
        variances.append(np.einsum("ci,cij,cj->c", slope, posterior.covariance, slope))
    shape = (len(names), clusters)
    return Scores(tuple(names), np.reshape(means, shape).T, np.reshape(variances, shape).T)


def empirical_bayes(
    levels: Sequence[str], clusters: Sequence[Clusters], scores: Sequence[Scores]
) -> dict[str, pd.DataFrame]:
    """Return means and ``sd_`` standard deviations by level, one row a cluster of the data.

    Parameters
    ----------
    levels : sequence of str
        Names of the levels, lowest first; those without a variable are left out.
    clusters : sequence of Clusters
    scores : sequence of Scores
        Of the clusters of the plan.
    """
    frames = {}
    for level, of_level, own in zip(levels, clusters, scores, strict=True):
        if own.names:
            mixed = of_level.mixed(own)
            frames[level] = pd.DataFrame(
                np.hstack([mixed.mean, np.sqrt(np.maximum(mixed.variance, 0.0))]),
                index=of_level.index,
                columns=[*own.names, *(f"sd_{name}" for name in own.names)],
            )
    return frames
