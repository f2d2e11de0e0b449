"""Rows of a fit or of new data, ready for prediction: their predictors as forms, clusters and classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile import LatentLayout, LevelLayout, ResponseLayout
from glamm.compile.classes import ClassStates
from glamm.graph import MissingCovariate
from glamm.inference.adjoints import Coordinates
from glamm.protocols import Family
from glamm.results.forms import RowForm

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Branches", "MembershipRows", "ModelLayout", "ResponseRows"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelLayout:
    """How everything in a model is made of data.

    Attributes
    ----------
    responses : tuple of ResponseLayout
    latents : tuple of LatentLayout
    memberships : tuple of ResponseLayout
        One for each class variable.
    classes : tuple of ClassStates
    levels : tuple of LevelLayout
        Lowest first.
    missing : tuple of MissingCovariate
        Latent variables that are the values of a response where that is observed.
    """

    responses: tuple[ResponseLayout, ...]
    latents: tuple[LatentLayout, ...]
    memberships: tuple[ResponseLayout, ...]
    classes: tuple[ClassStates, ...]
    levels: tuple[LevelLayout, ...]
    missing: tuple[MissingCovariate, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class MembershipRows:
    """The membership model of one class variable in the rows of a response.

    Attributes
    ----------
    level : int
    family : Family
    categories : tuple of str
    code : ndarray of intp, shape (n,)
        Category of the class that each row stands in.
    predictors : tuple of RowForm
    """

    level: int
    family: Family
    categories: tuple[str, ...]
    code: Index
    predictors: tuple[RowForm, ...]

    def probability(self, nu: list[Array]) -> Array:
        """Return the probability of the row's class at given predictors, shape (n,)."""
        p = np.asarray(self.family.mean_value(self.categories, nu))
        return np.asarray(p[np.arange(len(p)), self.code])


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRows:
    """Rows of one response, ready for prediction.

    Attributes
    ----------
    response : str
    family : Family
    categories : tuple of str
    space : Coordinates
        Of the forms.
    predictors : tuple of RowForm
        In the order of ``family.predictors``.
    clusters : tuple of ndarray of intp, shape (n,)
        Cluster of each row at each level, lowest level first; -1 is a cluster the fit has not seen.
    position : ndarray of intp, shape (n,)
        Row of the data frame that each row came from: one for each class that it may belong to.
    memberships : tuple of MembershipRows
    share : ndarray, shape (n,)
        Posterior probability of the classes of the row's known clusters; 1 without classes.
    unit : ndarray of intp, shape (n,)
        Unit of the response that each row shows: the rows of a cluster show the same unit of a response
        that the cluster has once.
    """

    response: str
    family: Family
    categories: tuple[str, ...]
    space: Coordinates
    predictors: tuple[RowForm, ...]
    clusters: tuple[Index, ...]
    position: Index
    memberships: tuple[MembershipRows, ...]
    share: Array
    unit: Index


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """The clusters of one level in the plan, where each class of a cluster has a copy of it.

    Attributes
    ----------
    parent : ndarray of intp, shape (n,), or None
    copy_of : ndarray of intp, shape (n,)
        Cluster of the data that each is.
    clusters : tuple of ndarray of intp, shape (n,), or None
        Themselves and the clusters above them by level; None below.
    space : Coordinates
    memberships : tuple of MembershipRows
        Of the class variables of this level and above.
    """

    parent: Index | None
    copy_of: Index
    clusters: tuple[Index | None, ...]
    space: Coordinates
    memberships: tuple[MembershipRows, ...]
