"""Whether indicators of a latent variable tell anything beside each other, and within its clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.levels import ClusterTree
from glamm.compile.predictors import Observed
from glamm.errors import Problem
from glamm.graph import ROW, ModelGraph, Response

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
    bound.

    Parameters
    ----------
    graph : ModelGraph
    observed : sequence of Observed
    tree : ClusterTree
    """
    held = {
        spec.left
        for spec in graph.covariances
        if spec.left == spec.right and spec.modifier is not None and spec.modifier.fixed is not None
    }
    problems = []
    for own in observed:
        response = own.response
        if response.level != ROW or response.name in held or not own.family.is_quadratic(0):
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


def _levels_of(graph: ModelGraph, response: Response) -> set[str]:
    """Return the levels at which a response has a random intercept or a latent variable of its own."""
    latents = {latent.name: latent.level for latent in graph.latents}
    found = {b.level for b in graph.blocks if b.intercept and (response.name, "mu") in b.members}
    for model in response.predictors:
        if model.parameter == "mu":
            found |= {latents[n] for term in model.latent_terms for n in term.latents if n in latents}
    return found
