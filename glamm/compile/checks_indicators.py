"""Whether indicators of a latent variable tell anything beside each other, and within its clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.levels import ClusterTree
from glamm.compile.predictors import Observed
from glamm.errors import Problem
from glamm.graph import ROW, AuxiliaryModel, CovarianceSpec, ModelGraph, Response, Term
from glamm.graph.factors import names_in

Array = NDArray[np.float64]

__all__ = ["constant_within_clusters", "equal_indicators"]

# Part of a correlation's square that is missing to 1, below which it is rounding.
_ROUNDING = 1e-12
# Rows that are compared first: two columns that differ do so in some of them.
_SAMPLE = 1000


def equal_indicators(graph: ModelGraph, observed: Sequence[Observed]) -> list[Problem]:
    """Return a problem for each indicator of a latent variable that determines another one.

    A latent variable that equals both leaves no residual variance and a likelihood without bound.

    Parameters
    ----------
    graph : ModelGraph
    observed : sequence of Observed
    """
    by_name = {o.response.name: o for o in observed if o.family.is_quadratic(0)}
    problems: dict[str, Problem] = {}
    for latent in graph.latents:
        own = [by_name[name] for name in latent.indicators if name in by_name]
        for k, second in enumerate(own):
            name = second.response.name
            first = next((o for o in own[:k] if name not in problems and _equal(o, second)), None)
            if first is not None:
                problems[name] = Problem(
                    f"the indicators {first.response.name!r} and {name!r} of {latent.name!r} are perfectly "
                    "correlated, so their residual variances would be 0",
                    second.response.span,
                    "leave one of them out",
                )
    return list(problems.values())


def _equal(first: Observed, second: Observed) -> bool:
    x, y = first.encoded.y[:, 0], second.encoded.y[:, 0]
    if not np.array_equal(first.rows, second.rows):
        _, a, b = np.intersect1d(first.rows, second.rows, return_indices=True)
        x, y = x[a], y[b]
    step = max(1, len(x) // _SAMPLE)
    return len(x) > 2 and _correlated(x[::step], y[::step]) and _correlated(x, y)


def _correlated(x: Array, y: Array) -> bool:
    x, y = x - x.mean(), y - y.mean()
    both = float(x @ x) * float(y @ y)
    return both > 0.0 and both - float(x @ y) ** 2 <= _ROUNDING * both


def constant_within_clusters(
    graph: ModelGraph, observed: Sequence[Observed], tree: ClusterTree
) -> list[Problem]:
    """Return a problem for each response of the rows that is the same in all rows of every cluster.

    What is random at that level then equals it, which leaves no residual variance and a likelihood without
    bound. So it does not where something known moves the mean within clusters, and where the residual
    variance is not free, by itself, to become 0.

    Parameters
    ----------
    graph : ModelGraph
    observed : sequence of Observed
    tree : ClusterTree
    """
    problems = []
    for own in observed:
        response = own.response
        if response.level != ROW or not own.family.is_quadratic(0):
            continue
        if _moved_by_what_is_known(response) or _has_residual_variance(graph, response):
            continue
        cluster = own.cluster
        for level in tree.levels:
            name = level.level.name
            same = cluster[1:] == cluster[:-1]
            if name != ROW and same.any() and name in _levels_of(graph, response):
                values = own.encoded.y[:, 0]
                if np.array_equal(values[1:][same], values[:-1][same]):
                    problems.append(
                        Problem(
                            f"{response.name!r} is the same in all rows of every {name!r}, so beside what is "
                            "random there its residual variance would be 0",
                            response.span,
                            f"write `{response.name} | {name} ~ 1` for a response that each {name} has once",
                        )
                    )
                    break
            if level.parent is not None:
                cluster = level.parent[cluster]
    return problems


def _moved_by_what_is_known(response: Response) -> bool:
    """Return whether an offset or a coefficient that is held makes the mean of a response."""
    model = _model(response, "mu")
    return model is not None and bool(model.offsets or any(_is_held(term) for term in model.fixed_terms))


def _has_residual_variance(graph: ModelGraph, response: Response) -> bool:
    """Return whether the text gives a residual variance, or lets something else than the response set it."""
    model = _model(response, "sigma")
    if model is not None:
        intercept = model.intercept is not False and not _is_held(model)
        return not intercept and all(_is_held(term) for term in model.terms)
    name = response.name
    residual = [spec for spec in graph.covariances if spec.left == spec.right == name]
    if any(_is_held(spec) for spec in residual):
        return True
    labels = {spec.modifier.label for spec in residual if spec.modifier is not None} - {""}
    others = (spec.modifier for spec in graph.covariances if spec not in residual)
    if any(modifier is not None and modifier.label in labels for modifier in others):
        return True
    sides = (side for spec in graph.constraints for side in (spec.left, spec.right))
    constrained = {used for side in sides for used, _ in names_in(side)}
    return bool(constrained & {*labels, f"{name} ~~ {name}"})


def _model(response: Response, parameter: str) -> AuxiliaryModel | None:
    return next((model for model in response.predictors if model.parameter == parameter), None)


def _is_held(what: AuxiliaryModel | CovarianceSpec | Term) -> bool:
    return what.modifier is not None and what.modifier.fixed is not None


def _levels_of(graph: ModelGraph, response: Response) -> set[str]:
    """Return the levels at which a response has a random intercept or a latent variable of its own.

    Mass points do not count: they are fewer than the clusters.
    """
    latents = {latent.name: latent.level for latent in graph.latents if latent.distribution.name != "none"}
    found = {b.level for b in graph.blocks if b.intercept and (response.name, "mu") in b.members}
    model = _model(response, "mu")
    for term in () if model is None else model.latent_terms:
        # loadings of items are one for each row, other columns make a slope of the latent variable
        if len(term.latents) == 1 and term.latents[0] in latents and (term.measures or not term.factors):
            found.add(latents[term.latents[0]])
    return found
