"""Rows of a fit or of new data, ready for prediction: their predictors as forms, clusters and classes."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

__all__ = ["Alternatives", "Branches", "MembershipRows", "ModelLayout", "ResponseRows"]


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

    def take(self, rows: Index) -> MembershipRows:
        """Return it for some of its rows."""
        return replace(self, code=self.code[rows], predictors=tuple(p.take(rows) for p in self.predictors))


@dataclass(frozen=True, slots=True, eq=False)
class Alternatives:
    """The alternatives of the sets that choices are made from, each a row of the data.

    Attributes
    ----------
    unit : ndarray of intp, shape (m,), ascending
        Set of each, a row of its ResponseRows.
    place : ndarray of intp, shape (m,)
        Its position in the set.
    position : ndarray of intp, shape (m,)
        Row of the data frame that it came from.
    """

    unit: Index
    place: Index
    position: Index

    @classmethod
    def of(cls, sizes: Index, position: Index) -> Alternatives:
        """Return the alternatives of sets of given sizes, whose rows follow each other."""
        unit = np.repeat(np.arange(len(sizes)), sizes)
        return cls(unit, np.arange(len(unit)) - (np.cumsum(sizes) - sizes)[unit], position)

    def masked(self, nu: list[Array]) -> list[Array]:
        """Return the predictors of the sets' alternatives, minus infinity where a set has none."""
        there = np.zeros((len(nu[0]), len(nu)), dtype=bool)
        there[self.unit, self.place] = True
        return [np.where(there[:, k], value, -np.inf) for k, value in enumerate(nu)]

    def spread(self, values: Array) -> Array:
        """Return a number for each alternative, shape (m,), from those by set and position."""
        wide = values[:, None] if values.ndim == 1 else values
        return np.asarray(wide[self.unit, self.place])

    def observed(self, code: Array) -> Array:
        """Return whether each alternative is the one of a code (sets,), NaN where that is."""
        chosen = (code[self.unit] == self.place).astype(float)
        return np.where(np.isnan(code[self.unit]), np.nan, chosen)


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
    alternatives : Alternatives or None
        Of a response whose units are sets: each row is a set then, its predictors are those of the
        alternatives and its position is that of the first.
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
    alternatives: Alternatives | None = None

    def gathered(self, code: Index) -> ResponseRows:
        """Return rows of one predictor, each an alternative, as sets.

        Parameters
        ----------
        code : ndarray of intp, shape (n,)
            Set of each row, numbered from 0 without gaps.
        """
        order, sizes = np.argsort(code, kind="stable"), np.bincount(code)
        sets = Alternatives.of(sizes, self.position[order])
        first = order[np.cumsum(sizes) - sizes]
        (predictor,) = self.predictors
        predictors = []
        for k in range(int(sizes.max(initial=1))):
            # a set of fewer alternatives repeats its first
            member = first.copy()
            member[sets.unit[sets.place == k]] = order[sets.place == k]
            predictors.append(predictor.take(member))
        return replace(
            self,
            predictors=tuple(predictors),
            clusters=tuple(cluster[first] for cluster in self.clusters),
            position=self.position[first],
            memberships=tuple(m.take(first) for m in self.memberships),
            share=self.share[first],
            unit=np.arange(len(first)),
            alternatives=sets,
        )


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
