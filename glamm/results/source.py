"""What a result needs of the place its numbers come from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout
from glamm.errors import GlammError
from glamm.results.fit_measures import FitMeasures
from glamm.results.forms import LevelPosterior
from glamm.results.laws import CoordinateLaw
from glamm.results.posterior import Clusters, Scores
from glamm.results.rows import Branches, ModelLayout, ResponseRows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Source"]


class Source(Protocol):
    """Where a result finds what costs time or needs the data: the fitted plan, or a file."""

    @property
    def theta(self) -> Array:
        """Optimised parameters, shape (P,)."""

    def covariance(self, cov_type: str) -> tuple[Array, tuple[str, ...]]:
        """Return the covariance matrix of the reported parameters and why some have none."""

    def posterior(self) -> tuple[LevelPosterior, ...]:
        """Return the posterior moments of the standard coordinates, lowest level first."""

    def clusters(self) -> tuple[Clusters, ...]:
        """Return the clusters of the data at each level, lowest level first."""

    def latent_scores(self) -> tuple[Scores, ...]:
        """Return the posterior moments of the named latent variables of each level, lowest level first."""

    def factors(self) -> tuple[Array, ...]:
        """Return the Cholesky factors of the latent covariance matrices, lowest level first."""

    def shares(self) -> tuple[Array, ...]:
        """Return the posterior probability of each cluster of the plan among its classes, by level."""

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of each response in `newdata` (None: the data of the fit) and their index."""

    def observed(self) -> tuple[Array, ...]:
        """Return the encoded response values of the fit, shape (n, ny) each."""

    def branches(self) -> tuple[Branches, ...]:
        """Return the clusters of the plan and their membership models, lowest level first."""

    def coordinate_laws(self) -> tuple[CoordinateLaw, ...]:
        """Return the distributions of the standard coordinates that are not normal."""

    def residual_covariances(self) -> tuple[tuple[int, int, float], ...]:
        """Return pairs of responses, by position, and the covariance of their residuals in a row."""

    def fit_measures(self, parameters: int) -> FitMeasures | GlammError:
        """Return the fit measures, or why there are none.

        Parameters
        ----------
        parameters : int
            Number of free parameters.
        """

    def standardized(self, cov_type: str) -> pd.DataFrame:
        """Return the standardised parameters."""

    @property
    def layout(self) -> ModelLayout:
        """How everything in the model is made of data."""

    @property
    def levels(self) -> tuple[LevelLayout, ...]:
        """Names, labels and grouping columns of the levels, lowest first."""
