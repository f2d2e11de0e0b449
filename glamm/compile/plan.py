"""The plan: a model and its data as flat arrays, without a name in it.

Levels are numbered from the lowest (0) to the highest. Rows of every response are sorted by top-level
cluster, then by the next lower level and so on, so the rows of any cluster are contiguous. Coordinates of
the standardised latent variables are numbered within their level; `loadings` of a row run over the
coordinates of all levels, level 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.protocols import Encoded, Family
from glamm.protocols.values import TRANSFORMS, Transform

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = [
    "ConstraintPlan",
    "CovarianceBlock",
    "LatentPlan",
    "LevelPlan",
    "LoadingPlan",
    "MassPoints",
    "Plan",
    "PredictorPlan",
    "ResidualCovariance",
    "ResponsePlan",
    "TermPlan",
]


@dataclass(frozen=True, slots=True, eq=False)
class CovarianceBlock:
    """A part of a latent covariance matrix that the free entries of a Cholesky factor cannot express.

    Attributes
    ----------
    coordinates : ndarray of intp, shape (k,)
        Rows of the level's factor, ascending.
    index : ndarray of intp, shape (k, k), symmetric
        Position in theta of each entry; -1 where it is held.
    held : ndarray, shape (k, k)
        Values of the held entries.
    correlation : bool
        Whether all variances are held and all covariances free: the entries of theta below the diagonal
        are then those of the rows ``(v_1, .., v_(i-1), 1)`` of a Cholesky factor before each is scaled to
        its standard deviation, so that every theta is a covariance matrix. Otherwise theta holds the
        covariances.
    """

    coordinates: Index
    index: Index
    held: Array
    correlation: bool


@dataclass(frozen=True, slots=True, eq=False)
class LevelPlan:
    """One level of clusters.

    Attributes
    ----------
    parent : ndarray of intp, shape (clusters,), or None
        Cluster of the next higher level, ascending; None at the top.
    weight : ndarray, shape (clusters,), or None
        Frequency weights of the clusters.
    factor : ndarray of intp, shape (q, q)
        Index in theta of each entry of the lower Cholesky factor of the latent covariance matrix; -1 is
        held. ``q`` is the number of latent variables of the level, possibly 0.
    clusters : int
    held : ndarray, shape (q, q), or None
        Values of the held entries; None: zeros.
    blocks : tuple of CovarianceBlock
        Parts of the covariance matrix made otherwise; `factor` is -1 in their rows and columns.
    group : ndarray of intp, shape (clusters,), or None
        Ascending; clusters of one group are the same cluster of the data in each of its classes.
    """

    clusters: int
    parent: Index | None
    weight: Array | None
    factor: Index
    held: Array | None = None
    blocks: tuple[CovarianceBlock, ...] = ()
    group: Index | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LoadingPlan:
    """Design columns of latent variables of one level in one linear predictor.

    Attributes
    ----------
    level : int
    design : ndarray, shape (n, m)
    latent : ndarray of intp, shape (m,)
        Latent variable (within its level) that each design column multiplies.
    """

    level: int
    design: Array
    latent: Index


@dataclass(frozen=True, slots=True, eq=False)
class TermPlan:
    """Named latent variables in one linear predictor: ``(design @ coefficients) * their product``.

    Attributes
    ----------
    latents : tuple of int
        One or two positions in `Plan.latents`.
    design : ndarray, shape (n, m)
    coefficient : ndarray of intp, shape (m,)
        Position in theta; -1 where the coefficient is held.
    held : ndarray, shape (m,)
        Values of the held coefficients, 0 elsewhere.
    """

    latents: tuple[int, ...]
    design: Array
    coefficient: Index
    held: Array


@dataclass(frozen=True, slots=True, eq=False)
class PredictorPlan:
    """One linear predictor: ``offset + design @ theta[coefficient] + latent part``.

    Attributes
    ----------
    design : ndarray, shape (n, p)
    coefficient : ndarray of intp, shape (p,)
        Without repetitions.
    offset : ndarray, shape (n,), or float
    loadings : tuple of LoadingPlan
        Random effects.
    terms : tuple of TermPlan
        Named latent variables.
    coordinate : tuple of (int, int) or None
        Level and number of one standard coordinate that is added as it is.
    """

    design: Array
    coefficient: Index
    offset: Array | float
    loadings: tuple[LoadingPlan, ...] = ()
    terms: tuple[TermPlan, ...] = ()
    coordinate: tuple[int, int] | None = None

    @property
    def is_random(self) -> bool:
        """Whether it depends on latent variables."""
        return bool(self.loadings or self.terms or self.coordinate)

    def take(self, rows: Index) -> PredictorPlan:
        """Return it for some of its rows, in the order given and with repetitions."""
        return replace(
            self,
            design=np.ascontiguousarray(self.design[rows]),
            offset=np.asarray(self.offset)[rows] if np.ndim(self.offset) else self.offset,
            loadings=tuple(replace(p, design=np.ascontiguousarray(p.design[rows])) for p in self.loadings),
            terms=tuple(replace(t, design=np.ascontiguousarray(t.design[rows])) for t in self.terms),
        )


@dataclass(frozen=True, slots=True, eq=False)
class MassPoints:
    """Locations of a discrete distribution and the log odds of their masses.

    Attributes
    ----------
    location : ndarray of intp, shape (K,)
        Position in theta of each location; -1 for the one held at 0, from which the others are counted.
    log_odds : ndarray of intp, shape (K - 1,)
        Of each mass against the last.
    """

    location: Index
    log_odds: Index

    def values(self, theta: Array) -> tuple[Array, Array]:
        """Return locations and masses, shape (K,) each."""
        location = np.where(self.location < 0, 0.0, theta[self.location])
        odds = np.append(theta[self.log_odds], 0.0)
        mass = np.exp(odds - odds.max())
        return location, mass / mass.sum()

    def mean(self, theta: Array) -> float:
        """Return the mean of the distribution."""
        location, mass = self.values(theta)
        return float(mass @ location)

    def mean_slope(self, theta: Array) -> Array:
        """Return the derivative of the mean in theta, shape (P,)."""
        location, mass = self.values(theta)
        slope = np.zeros(len(theta))
        free = self.location >= 0
        slope[self.location[free]] += mass[free]
        slope[self.log_odds] += (mass * (location - mass @ location))[:-1]
        return slope


@dataclass(frozen=True, slots=True, eq=False)
class LatentPlan:
    """A named latent variable: ``predictor + exp(scale) * (row of the factor)' u``.

    Attributes
    ----------
    level : int
    predictor : PredictorPlan
        Its rows are the clusters of the level.
    scale : PredictorPlan or None
        Log of what multiplies the disturbance; None: nothing does.
    coordinate : int
        Row of the level's Cholesky factor; -1 without a disturbance.
    points : MassPoints or None
        The mass points of its distribution, whose mean is subtracted.
    """

    level: int
    predictor: PredictorPlan
    scale: PredictorPlan | None
    coordinate: int
    points: MassPoints | None = None

    def take(self, clusters: Index) -> LatentPlan:
        """Return it for some clusters of its level."""
        scale = None if self.scale is None else self.scale.take(clusters)
        return replace(self, predictor=self.predictor.take(clusters), scale=scale)


@dataclass(frozen=True, slots=True, eq=False)
class ResponsePlan:
    """All units of one response.

    Attributes
    ----------
    family : Family
    encoded : Encoded
        Values, shape (n, ny).
    cluster : ndarray of intp, shape (n,)
        Lowest-level cluster of each unit, ascending.
    weight : ndarray, shape (n,), or None
        Frequency weights of the units.
    predictors : tuple of PredictorPlan
        In the order of ``family.predictors``.
    channels : ndarray of intp, shape (n, K), or None
        Predictor that feeds each channel of each unit (see `Family.channels`).
    row : ndarray of intp, shape (n,), or None
        Units of responses with residual covariances belong together where these agree; without repetitions.
    """

    family: Family
    encoded: Encoded
    cluster: Index
    weight: Array | None
    predictors: tuple[PredictorPlan, ...]
    channels: Index | None
    row: Index | None = None

    def take(self, units: Index, cluster: Index) -> ResponsePlan:
        """Return some of its units, which stand in other clusters.

        Parameters
        ----------
        units : ndarray of intp, shape (m,)
        cluster : ndarray of intp, shape (m,)
            Ascending.
        """
        return replace(
            self,
            encoded=replace(self.encoded, y=np.ascontiguousarray(self.encoded.y[units])),
            cluster=np.ascontiguousarray(cluster, dtype=np.intp),
            weight=None if self.weight is None else self.weight[units],
            predictors=tuple(predictor.take(units) for predictor in self.predictors),
            channels=None if self.channels is None else self.channels[units],
            row=None if self.row is None else self.row[units],
        )


@dataclass(frozen=True, slots=True, eq=False)
class ResidualCovariance:
    """Covariance of the residuals of two Gaussian responses in the same row.

    Attributes
    ----------
    first, second : int
        Positions in `Plan.responses`.
    index : int
        Position in theta; -1 where it is held.
    held : float
    """

    first: int
    second: int
    index: int
    held: float


_SCALES = {
    **TRANSFORMS,
    "log variance": Transform(
        "log variance", lambda v: 0.5 * np.log(v), lambda x: np.exp(2.0 * x), lambda v: 2.0 * v
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class ConstraintPlan:
    """Linear constraints on some parameters, as people read them.

    Attributes
    ----------
    places : tuple of int
        Entries of theta that are constrained; m of them.
    kinds : tuple of str
        How each is read: by the inverse of the transform of that name, or "log variance" (the exponential of
        its double).
    equalities : ndarray, shape (e, m)
    value : ndarray, shape (e,)
        ``equalities @ parameters == value``.
    names : tuple of str
        The equalities as the text has them.
    bounds : ndarray, shape (b, m)
    lower : ndarray, shape (b,)
        ``bounds @ parameters >= lower``.
    bound_names : tuple of str
    """

    places: tuple[int, ...]
    kinds: tuple[str, ...]
    equalities: Array
    value: Array
    names: tuple[str, ...]
    bounds: Array
    lower: Array
    bound_names: tuple[str, ...]

    def natural(self, theta: Array) -> Array:
        """Return the constrained parameters as people read them, shape (m,)."""
        return np.array(
            [float(_SCALES[k].inverse(theta[p])) for k, p in zip(self.kinds, self.places, strict=True)]
        )

    def slopes(self, theta: Array) -> Array:
        """Return d natural / d theta of each constrained parameter, shape (m,)."""
        values = self.natural(theta)
        return np.array([float(_SCALES[k].slope(v)) for k, v in zip(self.kinds, values, strict=True)])

    def equality_slopes(self, theta: Array) -> Array:
        """Return the gradients of the equalities' left-hand sides, shape (e, P)."""
        found = np.zeros((len(self.equalities), len(theta)))
        found[:, list(self.places)] = self.equalities * self.slopes(theta)
        return found

    def linear(self, values: Array) -> Array:
        """Return the entries of theta that values (m,) are; not finite outside the range of one."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.array([float(_SCALES[k].forward(v)) for k, v in zip(self.kinds, values, strict=True)])


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A whole model.

    Attributes
    ----------
    levels : tuple of LevelPlan
        At least one; a model without groups has one level whose clusters are the rows, with q = 0.
    responses : tuple of ResponsePlan
    n_parameters : int
        Length of theta: coefficients, free Cholesky entries and covariances.
    start : ndarray, shape (n_parameters,)
        Data-free starting values (zero coefficients, families' starting intercepts, Cholesky diagonal 1).
    latents : tuple of LatentPlan
        Each after those its predictor needs.
    memberships : tuple of ResponsePlan
        The class of each cluster as if it were observed, for the classes' probabilities.
    ratios : tuple of ResponsePlan
        For each standard coordinate that is not normal: the log of its density relative to the normal's, one
        unit a cluster.
    constraints : ConstraintPlan or None
    given : tuple of (int, float)
        Entries of theta whose starting values the text gives.
    residual_covariances : tuple of ResidualCovariance
    """

    levels: tuple[LevelPlan, ...]
    responses: tuple[ResponsePlan, ...]
    n_parameters: int
    start: Array
    latents: tuple[LatentPlan, ...] = ()
    memberships: tuple[ResponsePlan, ...] = ()
    ratios: tuple[ResponsePlan, ...] = ()
    constraints: ConstraintPlan | None = None
    given: tuple[tuple[int, float], ...] = ()
    residual_covariances: tuple[ResidualCovariance, ...] = ()

    @property
    def units(self) -> tuple[ResponsePlan, ...]:
        """Everything that enters the likelihood: responses, memberships, ratios."""
        return self.responses + self.memberships + self.ratios
