"""What a result needs of the place its numbers come from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout, ResponseLayout
from glamm.results.posterior import LevelPosterior
from glamm.results.predict import ResponseRows

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
        """Return the posterior moments of the random effects, lowest level first."""

    def labels(self) -> tuple[pd.Index, ...]:
        """Return the names of the clusters, lowest level first."""

    def psi(self) -> tuple[Array, ...]:
        """Return the covariance matrices of the random effects, lowest level first."""

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of each response in `newdata` (None: the data of the fit) and their index."""

    def observed(self) -> tuple[Array, ...]:
        """Return the encoded response values of the fit, shape (n, ny) each."""

    @property
    def responses(self) -> tuple[ResponseLayout, ...]:
        """How each response is made of data."""

    @property
    def levels(self) -> tuple[LevelLayout, ...]:
        """Names, labels and grouping columns of the levels, lowest first."""
