"""Random problems of the quadrature engine, as its own arrays and as input of its NumPy twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from engine_problems import random_tree

from glamm.inference.rules import product_rule
from glamm.kernels import reference
from glamm.kernels._engine import Engine
from glamm.kernels._families import call_block, capsule

LINKS = {"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "log"}
# weights of f(x + j h) - f(x - j h) over h, j = 1..4: an error of order h^8
WEIGHTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One response: its values, family and arrays in the engine's layout."""

    family: str
    y: np.ndarray
    channels: int
    active: tuple[int, ...]
    products: np.ndarray | None
    o: np.ndarray
    a: np.ndarray
    c: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray | None = None

    @property
    def block(self) -> Any:
        return capsule(self.family, LINKS[self.family])


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A tree, its lowest level first, and the responses of its rows."""

    parents: list[np.ndarray]  # of the clusters of each level but the top
    clusters: list[int]
    dimensions: tuple[int, ...]
    parts: tuple[Part, ...]
    weights: tuple[np.ndarray | None, ...]
    groups: tuple[np.ndarray | None, ...]  # of each level, alternatives of each other

    def engine(self, points: Sequence[int], called: Callable[[Any], Any] = lambda block: block) -> Engine:
        """Return the engine, each response's block function passed through `called`."""
        edges = [np.arange(self.clusters[-1] + 1)]
        top = np.arange(self.clusters[-1])
        for parent in reversed(self.parents):
            top = top[parent]
            edges.insert(0, np.searchsorted(top, np.arange(self.clusters[-1] + 1)))
        described = zip(self.dimensions, [*self.parents, None], self.weights, edges, self.groups, strict=True)
        # the short form where there is nothing more to say
        levels = [x if x[-1] is not None else x[:-1] for x in described]
        engine = Engine(levels, [self.response(part, called(part.block)) for part in self.parts])
        engine.set_rule([product_rule(q, k) for q, k in zip(self.dimensions, points, strict=True)])
        return engine

    def response(self, part: Part, block: Any) -> tuple[Any, ...]:
        first = np.searchsorted(part.cluster, np.arange(self.clusters[0] + 1))
        quadratic = [part.family == "gaussian" and k == 0 for k in part.active]
        old = (part.y, first, part.weight, part.channels, part.active, quadratic, block)
        return old if part.products is None else (*old, part.products)

    def evaluate(self, points: Sequence[int], engine: Engine | None = None, **wanted: Any) -> dict[str, Any]:
        """Evaluate the engine, its modes searched from zero."""
        start = [np.zeros((k, q)) for k, q in zip(self.clusters, self.dimensions, strict=True)]
        engine = self.engine(points) if engine is None else engine
        parts = self.parts
        return engine.evaluate(
            [x.o for x in parts],
            [x.a for x in parts],
            start,
            c=[None if x.products is None else x.c for x in parts],
            **wanted,
        )

    def twin(self) -> tuple[list[reference.Level], list[reference.Response]]:
        """Return the same problem as input of the twin."""
        levels = [
            reference.Level(*level)
            for level in zip(
                self.clusters, self.dimensions, [*self.parents, None], self.weights, self.groups, strict=True
            )
        ]
        return levels, [twin_response(part) for part in self.parts]

    def total(self, loglik: np.ndarray) -> float:
        weight = self.weights[-1]
        return float(loglik.sum() if weight is None else weight @ loglik)

    def moved(self, direction: Problem, step: float) -> Problem:
        """Return the problem with offsets, loadings and coefficients moved along a direction."""
        parts = tuple(
            replace(x, o=x.o + step * d.o, a=x.a + step * d.a, c=x.c + step * d.c)
            for x, d in zip(self.parts, direction.parts, strict=True)
        )
        return replace(self, parts=parts)


def twin_response(part: Part) -> reference.Response:
    n, width = part.o.shape[1], part.a.shape[2]
    loading = np.zeros((n, part.channels, width))
    coefficient = np.zeros((n, part.channels, part.c.shape[2]))
    loading[:, part.active] = part.a.transpose(1, 0, 2)
    coefficient[:, part.active] = part.c.transpose(1, 0, 2)

    def block(rows, nu, order):
        return call_block(part.block, part.y[rows], nu, order)

    return reference.Response(block, part.o.T, loading, part.cluster, part.weight, part.products, coefficient)


def responses_of(family: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return responses of a family, shape (n, ny)."""
    if family == "binomial":
        return np.stack([rng.integers(0, 2, n).astype(float), np.ones(n)], axis=1)
    if family == "poisson":
        return rng.poisson(1.5, (n, 1)).astype(float)
    return rng.normal(0.5, 1.0, (n, 1)) if family == "gaussian" else rng.gamma(2.0, 0.5, (n, 1))


def random_problem(
    seed: int,
    sizes: Sequence[int],
    dimensions: Sequence[int],
    families: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    *,
    both: bool = False,
    size: float = 0.3,
    weights: bool = False,
    grouped: Sequence[int] = (),
) -> Problem:
    """Return a problem.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of rows and of clusters of each level.
    families : sequence of str
        One response each, in the same rows.
    pairs : sequence of (int, int)
        Products of every response; none at all where it is empty.
    both : bool
        Whether both channels of a family with two have a latent part, or the first only.
    size : float
        Of the coefficients of products.
    weights : bool
        Whether rows and clusters have frequency weights.
    grouped : sequence of int
        Levels whose clusters stand in groups of alternatives.
    """
    rng = np.random.default_rng(seed)
    parents = random_tree(rng, sizes)
    n, width = sizes[0], sum(dimensions)
    products = np.array(pairs, dtype=np.intp).reshape(-1, 2) if len(pairs) else None
    parts = []
    for family in families:
        channels = 2 if family in ("gaussian", "gamma") else 1
        active = tuple(range(channels if both else 1))
        scale = np.array([1.0, 0.4])[: len(active), None, None]  # a scale's channel varies less
        parts.append(
            Part(
                family,
                responses_of(family, rng, n),
                channels,
                active,
                products,
                0.3 * rng.normal(size=(channels, n)),
                scale * rng.normal(0.5, 0.3, (len(active), n, width)),
                scale * rng.normal(0.0, size, (len(active), n, len(pairs))),
                parents[0],
                rng.integers(1, 3, n).astype(float) if weights else None,
            )
        )
    groups = [
        random_groups(rng, parent) if level in grouped else None for level, parent in enumerate(parents[1:])
    ]
    levels = [rng.integers(1, 4, k).astype(float) if weights else None for k in sizes[1:]]
    for k, group in enumerate(groups):
        if weights and group is not None:
            levels[k] = levels[k][np.searchsorted(group, group)]
    return Problem(
        parents[1:], list(sizes[1:]), tuple(dimensions), tuple(parts), tuple(levels), (*groups, None)
    )


def random_groups(rng: np.random.Generator, parent: np.ndarray) -> np.ndarray:
    """Return groups of siblings, now and then of one cluster."""
    starts = np.append(True, (np.diff(parent) > 0) | (rng.random(parent.size - 1) < 0.4))
    return np.cumsum(starts).astype(np.intp)


def random_nodes(
    problem: Problem, seed: int, *, centre: float = 0.3, spread: tuple[float, float] = (0.7, 1.1)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return centres and spreads of every level, the diagonals of the spreads in the range `spread`."""
    rng = np.random.default_rng(seed)
    nodes: list[tuple[np.ndarray, np.ndarray]] = []
    above, parent = np.zeros((1, 0, 0)), np.zeros(problem.clusters[-1], dtype=np.intp)
    for level in reversed(range(len(problem.dimensions))):
        k, q, p = problem.clusters[level], problem.dimensions[level], sum(problem.dimensions[level:])
        if level < len(problem.parents):
            parent = problem.parents[level]
        t = np.triu(0.2 * rng.normal(size=(k, p, p)))
        t[:, range(p), range(p)] = rng.uniform(*spread, (k, p))
        t[:, q:, q:] = above[parent]
        nodes.insert(0, (centre * rng.normal(size=(k, q)), t))
        above = t
    return nodes


def random_direction(problem: Problem, seed: int) -> Problem:
    """Return a direction in which every offset, loading and coefficient moves."""
    rng = np.random.default_rng(seed)
    parts = tuple(
        replace(x, o=rng.normal(size=x.o.shape), a=rng.normal(size=x.a.shape), c=rng.normal(size=x.c.shape))
        for x in problem.parts
    )
    return replace(problem, parts=parts)


def along(out: dict[str, Any], direction: Problem) -> float:
    """Return the derivative along a direction that an evaluation's adjoints give."""
    return float(
        sum(
            np.sum(go * x.o) + np.sum(ga * x.a) + np.sum(gc * x.c)
            for go, ga, gc, x in zip(out["go"], out["ga"], out["gc"], direction.parts, strict=True)
        )
    )


def slope(function: Any, step: float) -> float:
    """Return the derivative of a function of one number at zero, by eighth-order differences."""
    return float(
        sum(w * (function(j * step) - function(-j * step)) for j, w in enumerate(WEIGHTS, start=1)) / step
    )
