"""Linear predictors and latent variables of a fit as functions of the standard coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LatentPlan, PredictorPlan
from glamm.inference.adjoints import Coordinates, Form
from glamm.inference.forms import Latent, PredictorForm

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Forms", "LevelPosterior", "Moments", "RowForm", "evaluate_forms", "path_moments"]


@dataclass(frozen=True, slots=True, eq=False)
class LevelPosterior:
    """Posterior moments of the standard coordinates of one level and of those above it.

    Attributes
    ----------
    mean : ndarray, shape (clusters, p)
    covariance : ndarray, shape (clusters, p, p)
    """

    mean: Array
    covariance: Array


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Expectations of the standard coordinates of n rows.

    Attributes
    ----------
    mean : ndarray, shape (n, Q)
    products : ndarray, shape (n, P)
        Of the pairs of coordinates that a model multiplies.
    """

    mean: Array
    products: Array


@dataclass(frozen=True, slots=True, eq=False)
class RowForm:
    """``offset + slope' u``, u the Q coordinates and then the products of P pairs of them.

    Attributes
    ----------
    offset : ndarray, shape (n,)
    slope : ndarray, shape (n, Q + P), or None
        None: no latent part.
    """

    offset: Array
    slope: Array | None

    def expected(self, moments: Moments) -> Array:
        """Return its expectation, shape (n,)."""
        if self.slope is None:
            return self.offset
        width = moments.mean.shape[1]
        value = self.offset + np.einsum("nq,nq->n", self.slope[:, :width], moments.mean)
        if moments.products.shape[1]:
            value = value + np.einsum("np,np->n", self.slope[:, width:], moments.products)
        return np.asarray(value)

    def take(self, rows: Index) -> RowForm:
        """Return the form of some rows; NaN where `rows` is negative."""
        offset = np.where(rows < 0, np.nan, self.offset[rows])
        return RowForm(offset, None if self.slope is None else self.slope[rows])

    def linear(self, space: Coordinates, mean: Array) -> Array:
        """Return the derivatives in the coordinates at their means (n, Q), shape (n, Q)."""
        if self.slope is None:
            return np.zeros_like(mean)
        slope = np.array(self.slope[:, : space.width])
        for p, (x, y) in enumerate(space.pairs):
            factor = self.slope[:, space.width + p]
            slope[:, x] += factor * mean[:, y]
            slope[:, y] += factor * mean[:, x]
        return slope


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """Everything of a model that the standard coordinates enter.

    Attributes
    ----------
    space : Coordinates
    latents : tuple of RowForm
        Named latent variables.
    predictors : tuple of tuple of RowForm
        Linear predictors of each response and class variable.
    """

    space: Coordinates
    latents: tuple[RowForm, ...]
    predictors: tuple[tuple[RowForm, ...], ...]


def evaluate_forms(
    theta: Array,
    factors: Sequence[Array],
    latents: Sequence[tuple[LatentPlan, Sequence[Index | None]]],
    owners: Sequence[tuple[Sequence[PredictorPlan], Sequence[Index | None]]],
) -> Forms:
    """Return latent variables and linear predictors as forms.

    Parameters
    ----------
    theta : ndarray, shape (P,)
    factors : sequence of ndarray, shape (q, q)
        Cholesky factors of the levels' latent covariance matrices.
    latents : sequence of (LatentPlan, clusters)
        With the cluster at each level of each row of the latent variable's predictor.
    owners : sequence of (predictors, clusters)
        Of each response or class variable: its predictors, and the cluster at each level of each of its
        rows, by which they find their latent variables.
    """
    sizes = [len(factor) for factor in factors]
    starts = tuple(int(s) for s in np.concatenate(([0], np.cumsum(sizes)))[:-1])
    named: list[Latent] = []
    for number, (plan, clusters) in enumerate(latents):
        count = len(_rows(clusters))
        named.append(Latent(plan, number, count, clusters, named, starts, sizes[plan.level]))
    predictors = [
        [PredictorForm(p, len(_rows(clusters)), clusters, named, starts) for p in plans]
        for plans, clusters in owners
    ]
    pairs: set[tuple[int, int]] = set()
    for latent in named:
        pairs |= latent.pairs
    for predictor in (p for own in predictors for p in own):
        pairs |= predictor.pairs
    space = Coordinates(starts, sum(sizes), tuple(sorted(pairs)))
    forms: list[Form] = []
    for latent in named:
        forms.append(latent.form(space, theta, factors, forms))
    spread = [_spread(form, len(_rows(clusters))) for form, (_, clusters) in zip(forms, latents, strict=True)]
    return Forms(
        space,
        tuple(spread),
        tuple(tuple(_evaluate(p, space, theta, factors, forms) for p in own) for own in predictors),
    )


def _rows(clusters: Sequence[Index | None]) -> Index:
    """Return the cluster of the highest level of each row, which every row has."""
    top = clusters[-1]
    assert top is not None
    return top


def _spread(form: Form, n: int) -> RowForm:
    offset = np.array(np.broadcast_to(form.offset, (n,)))
    return RowForm(offset, np.array(np.broadcast_to(form.slope, (n, form.slope.shape[1]))))


def _evaluate(
    predictor: PredictorForm,
    space: Coordinates,
    theta: Array,
    factors: Sequence[Array],
    forms: Sequence[Form],
) -> RowForm:
    offset = np.empty(predictor.n)
    predictor.offset(theta, offset)
    if not predictor.latent:
        return RowForm(offset, None)
    slope = np.empty((predictor.n, space.slopes))
    predictor.fill_loadings(factors, slope)
    predictor.add_terms(space, theta, forms, offset, slope)
    return RowForm(offset, slope)


def path_moments(
    space: Coordinates,
    n: int,
    posterior: Mapping[int, LevelPosterior] | None = None,
    clusters: Mapping[int, Index] | None = None,
) -> Moments:
    """Return moments of the coordinates of n rows: posterior ones of known clusters, else the prior's.

    Parameters
    ----------
    space : Coordinates
    n : int
    posterior : mapping of level to LevelPosterior, optional
    clusters : mapping of level to ndarray of intp, shape (n,), optional
        Cluster of each row, negative where it is not known.
    """
    mean = np.zeros((n, space.width))
    products = np.tile(np.array([float(x == y) for x, y in space.pairs]), (n, 1))
    # a known cluster lies in known ones, whose moments its own include
    for level, own in sorted((posterior or {}).items(), reverse=True):
        cluster = (clusters or {})[level]
        known = np.flatnonzero(cluster >= 0)
        at, start = cluster[known], space.starts[level]
        mean[known, start:] = own.mean[at]
        for p, (x, y) in enumerate(space.pairs):
            if x >= start:
                covariance = own.covariance[at, x - start, y - start]
                products[known, p] = covariance + mean[known, x] * mean[known, y]
    return Moments(mean, products)
