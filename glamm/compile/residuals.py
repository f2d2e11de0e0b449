"""Covariances of the residuals of Gaussian responses in the same row: ``y1 ~~ y2``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.coefficients import Coefficients
from glamm.compile.parameters import ParameterRow
from glamm.compile.plan import ResidualCovariance, ResponsePlan
from glamm.errors import DataError, Problem
from glamm.graph import CovarianceSpec, ModelGraph, Modifier

Index = NDArray[np.intp]

__all__ = ["check_residual_covariances", "residual_covariances", "residual_pairs"]


def residual_pairs(graph: ModelGraph) -> list[CovarianceSpec]:
    """Return what the model says of covariances of two responses."""
    names = {response.name for response in graph.responses}
    return [
        spec for spec in graph.covariances if spec.left != spec.right and {spec.left, spec.right} <= names
    ]


def residual_covariances(graph: ModelGraph, coefficients: Coefficients) -> tuple[ResidualCovariance, ...]:
    """Return the covariances of residuals; their parameters are numbered and named in `coefficients`."""
    place = {response.name: k for k, response in enumerate(graph.responses)}
    found = []
    for spec in residual_pairs(graph):
        modifier = spec.modifier or Modifier()
        first, second = place[spec.left], place[spec.right]
        if modifier.fixed is not None:
            if modifier.fixed != 0.0:
                found.append(ResidualCovariance(first, second, -1, modifier.fixed))
            continue
        index = coefficients.number(f"covariance {modifier.label}" if modifier.label else "")
        if modifier.start is not None:
            coefficients.given[index] = modifier.start
        name = f"{spec.left} ~~ {spec.right}"
        if modifier.label:
            coefficients.named.setdefault(modifier.label, name)
        pair = (spec.left, spec.right)
        coefficients.rows.append(ParameterRow(name, "residual covariance", terms=pair, place=(index,)))
        found.append(ResidualCovariance(first, second, index, 0.0))
    return tuple(found)


def check_residual_covariances(graph: ModelGraph, responses: Sequence[ResponsePlan]) -> None:
    """Raise an error where a response that covaries is not Gaussian around its linear predictor.

    Nor may it be a covariate with missing values: what is missing has a disturbance in its place.
    """
    place = {response.name: k for k, response in enumerate(graph.responses)}
    imputed = {missing.response: missing.name for missing in graph.missing}
    problems = []
    for spec in residual_pairs(graph):
        for name in (spec.left, spec.right):
            plan = responses[place[name]]
            if not plan.family.is_quadratic(0):
                message = f"{name!r} does not have the identity link, so its residuals have no covariance"
                problems.append(Problem(message, spec.span))
            elif any(p.is_random for p in plan.predictors[1:]):
                message = f"the residual variance of {name!r} is random, so its residuals have no covariance"
                problems.append(Problem(message, spec.span))
            elif name in imputed:
                other = spec.right if name == spec.left else spec.left
                message = f"the missing values of {name!r}, {imputed[name]}, have no residuals that covary"
                problems.append(Problem(message, spec.span, f"regress one on the other: {name} ~ {other}"))
    if problems:
        raise DataError(problems)
