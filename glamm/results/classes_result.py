"""What a result says of its discrete latent variables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.inference.mixtures_points import Gateaux
from glamm.results.classes import (
    ClassFit,
    class_probabilities,
    class_profiles,
    class_size_table,
    classification_table,
    modal_classes,
    relative_entropy,
    solution_table,
)
from glamm.results.classes_fit import (
    BootstrapTest,
    bivariate_residuals,
    bootstrap_test,
    class_criteria,
    compare_classes,
    pattern_fit,
)
from glamm.results.classes_plot import plot_profiles
from glamm.results.classes_points import directional_derivative, mass_points
from glamm.results.facts import Facts
from glamm.results.source import Source

if TYPE_CHECKING:
    from glamm.results.result import Result

Array = NDArray[np.float64]

__all__ = ["ClassResults"]


class ClassResults:
    """The part of a result that is about classes and mass points."""

    facts: Facts
    _source: Source

    @cached_property
    def _classes(self) -> ClassFit:
        return ClassFit.of(self._source)

    def class_probabilities(self, name: str | None = None) -> pd.DataFrame:
        """Return posterior class probabilities, one row a cluster; `name`: of which class variable."""
        return class_probabilities(self._classes, name)

    def classes(self, name: str | None = None) -> pd.Series:
        """Return the most probable class of each cluster."""
        return modal_classes(self._classes, name)

    def class_sizes(self, name: str | None = None) -> pd.DataFrame:
        """Return estimated sizes of the classes with standard errors, and shares of modal assignments."""
        return class_size_table(self._classes, name)

    def class_profiles(self, name: str | None = None) -> pd.DataFrame:
        """Return means or category probabilities of the responses by class, with standard errors."""
        return class_profiles(self._classes, name)

    def classification(self, name: str | None = None) -> pd.DataFrame:
        """Return average posterior probabilities by modal class."""
        return classification_table(self._classes, name)

    def entropy(self, name: str | None = None) -> float:
        """Return the relative entropy: 1 where classes are certain, 0 where nothing is known of them."""
        return relative_entropy(self._classes, name)

    def class_criteria(self) -> pd.Series:
        """Return AIC, BIC, SABIC, ICL and entropy, with the number of clusters as n."""
        return class_criteria(self._classes)

    def pattern_fit(self) -> pd.Series:
        """Return G2 and X2 against the observed response patterns, with degrees of freedom."""
        return pattern_fit(self._classes)

    def bivariate_residuals(self) -> pd.DataFrame:
        """Return Pearson statistics of pairs of items over their degrees of freedom."""
        return bivariate_residuals(self._classes)

    def mass_points(self, name: str | None = None) -> pd.DataFrame:
        """Return locations and masses of mass points with standard errors."""
        return mass_points(self._classes, name)

    def directional_derivative(self) -> Gateaux:
        """Return the derivative of the log-likelihood towards further mass points."""
        return directional_derivative(self._classes)

    def compare_classes(self, *others: Result) -> pd.DataFrame:
        """Return the criteria of this and other fits, one a row, named by their formulas."""
        return compare_classes({fit.facts.formula: fit._classes for fit in (self, *others)})

    def bootstrap_test(self, more: Result, draws: int = 99, seed: int = 0) -> BootstrapTest:
        """Return the bootstrap likelihood-ratio test of this model against one with more classes."""
        return bootstrap_test(self._classes, more._classes, draws, seed)

    def plot_classes(self, name: str | None = None, ax: Any = None) -> Any:
        """Draw the profiles of the classes; needs matplotlib."""
        return plot_profiles(self._classes, name, ax)

    @property
    def solutions(self) -> pd.DataFrame:
        """Local maxima found from random starts, the best first."""
        return solution_table(self._classes)
