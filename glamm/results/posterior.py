"""Empirical Bayes predictions of the random effects, labelled by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.results.estimates import effect_label
from glamm.results.facts import LevelFact

Array = NDArray[np.float64]

__all__ = ["LevelPosterior", "random_effects"]


@dataclass(frozen=True, slots=True, eq=False)
class LevelPosterior:
    """Posterior moments of the random effects of one level.

    Attributes
    ----------
    mean : ndarray, shape (clusters, q)
    covariance : ndarray, shape (clusters, q, q)
    """

    mean: Array
    covariance: Array


def random_effects(
    levels: Sequence[LevelFact], labels: Sequence[pd.Index], posterior: Sequence[LevelPosterior]
) -> dict[str, pd.DataFrame]:
    """Return means and ``sd_`` standard deviations of each level's effects, one row a cluster.

    Parameters
    ----------
    levels : sequence of LevelFact
        Lowest first; levels without random effects are left out.
    labels : sequence of pandas.Index
        Names of the clusters of each level.
    posterior : sequence of LevelPosterior
    """
    frames = {}
    for level, index, moments in zip(levels, labels, posterior, strict=True):
        if not level.effects:
            continue
        effects = [effect_label(effect) for effect in level.effects]
        sd = np.sqrt(np.diagonal(moments.covariance, axis1=1, axis2=2))
        frames[level.name] = pd.DataFrame(
            np.hstack([moments.mean, sd]),
            index=index,
            columns=[*effects, *(f"sd_{effect}" for effect in effects)],
        )
    return frames
