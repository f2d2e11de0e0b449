"""Whether data have room for the classes of a model."""

from __future__ import annotations

from math import prod

import numpy as np

from glamm.compile.levels import ClusterTree
from glamm.compile.plan import Plan, ResponsePlan
from glamm.errors import Problem
from glamm.graph import AuxiliaryModel, ClassVariable, ModelGraph

__all__ = ["more_classes_than_clusters", "more_parameters_than_patterns"]


def more_classes_than_clusters(graph: ModelGraph, tree: ClusterTree) -> list[Problem]:
    """Return a problem for each class variable with more classes than its level has clusters."""
    found = {level.level.name: len(set(level.labels)) for level in tree.levels}
    return [
        Problem(
            f"{variable.name!r} has {len(variable.labels)} {_what(variable)}, but there are only "
            f"{found[variable.level]} clusters of the level {variable.level!r}",
            variable.span,
            f"a few {_what(variable)} are usually enough",
        )
        for variable in graph.classes
        if len(variable.labels) > found[variable.level]
    ]


def _what(variable: ClassVariable) -> str:
    return "mass points" if variable.points else "classes"


def more_parameters_than_patterns(graph: ModelGraph, plan: Plan) -> list[Problem]:
    """Return the problem of classes with more parameters than patterns of responses have frequencies.

    Parameters
    ----------
    graph : ModelGraph
    plan : Plan
    """
    variables = [variable for variable in graph.classes if not variable.known]
    levels = {response.level for response in graph.responses} | {variable.level for variable in graph.classes}
    if not variables or len(levels) > 1 or not _is_latent_class_model(graph):
        return []
    values = [_values(response) for response in plan.responses]
    once = all(np.bincount(response.cluster).max(initial=0) <= 1 for response in plan.responses)
    if not once or 0 in values:
        return []
    frequencies = prod(values) - 1
    count = plan.n_parameters - (0 if plan.constraints is None else len(plan.constraints.equalities))
    if count <= frequencies:
        return []
    return [
        Problem(
            f"not identified: with {len(variables[0].labels)} {_what(variables[0])} of "
            f"{variables[0].name!r} the model has {count} parameters, but the {frequencies + 1} patterns of "
            f"{', '.join(response.name for response in graph.responses)} have only {frequencies} frequencies",
            variables[0].span,
            "fewer classes, or more indicators",
        )
    ]


def _is_latent_class_model(graph: ModelGraph) -> bool:
    """Return whether classes are all that the responses depend on."""
    names = {variable.name for variable in graph.classes}
    models: list[AuxiliaryModel] = [model for response in graph.responses for model in response.predictors]
    models += [variable.membership for variable in graph.classes]
    factors = {factor for model in models for term in model.terms for factor in term.factors}
    alone = {factor.strip("`").rpartition("[")[0] or factor.strip("`") for factor in factors} <= names
    return alone and not (graph.latents or graph.blocks or any(model.offsets for model in models))


def _values(response: ResponsePlan) -> int:
    """Return the number of values that a categorical response takes, 0 for others."""
    if response.encoded.categories:
        return len(response.encoded.categories)
    y = response.encoded.y
    zero_one = response.family.cumulant() == "logistic" and bool((y[:, 1] == 1.0).all())
    return 2 if zero_one else 0
