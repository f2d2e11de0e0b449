"""Small models as plans, and the same models as input of the NumPy twin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glamm import registry
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan
from glamm.graph import family_spec
from glamm.kernels import reference
from glamm.numdiff import differentiate
from glamm.protocols import Column, Encoded, Family, MeanFamily


def random_columns(family: Family, form: str, rng: np.random.Generator, n: int) -> list[Column]:
    """Return columns of a left-hand side that lie inside the support of the family."""
    if form == "cbind":
        return [Column(name, rng.integers(1, 6, n).astype(float)) for name in ("s", "f")]
    if form == "surv":
        return [
            Column("time", rng.gamma(4.0, 0.3, n) + 0.1),
            Column("event", (rng.random(n) < 0.7).astype(float)),
        ]
    if family.stacked:
        best = np.argsort(rng.random((n, 3)), axis=1).reshape(-1)
        values = 1.0 + best if form == "ranking" else (best == 0).astype(float)
        return [Column("y", values), Column("set", np.repeat(np.arange(float(n)), 3))]
    if not isinstance(family, MeanFamily):
        labels = ("no", "yes") if "cbind" in family.responses else ("a", "b", "c", "d")
        codes = np.arange(n) % len(labels)
        return [Column("y", rng.permutation(codes).astype(float), labels, True)]
    low, high, integer = family.support.low, family.support.high, family.support.integer
    if np.isfinite(low) and np.isfinite(high):
        values = rng.integers(int(low), int(high) + 1, n) if integer else rng.beta(3.0, 3.0, n)
    elif np.isfinite(low):
        values = rng.poisson(2.0, n) if integer else rng.gamma(8.0, 0.1, n) + 0.2
    else:
        values = rng.normal(1.5, 0.4, n)
    return [Column("y", values.astype(float))]


def families() -> list[str]:
    """Return every registered family with every link that is known to fit."""
    found = []
    for name in registry.names("families"):
        first = registry.family(family_spec(name))
        found += [f"{name}({link})" for link in first.links] if len(first.links) > 1 else [name]
    return found


def random_tree(rng: np.random.Generator, sizes: Sequence[int]) -> list[np.ndarray]:
    """Return parents, rows first: `sizes` are the numbers of rows and of clusters of each level."""
    parents = []
    for below, above in itertools.pairwise(sizes):
        spread = np.concatenate([np.arange(above), rng.integers(0, above, max(below - above, 0))])
        parents.append(np.sort(spread[:below]).astype(np.intp))
    return parents


class Builder:
    """Collects responses over one tree and numbers their parameters."""

    def __init__(self, seed: int, sizes: Sequence[int], dimensions: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.parents = random_tree(self.rng, sizes)
        self.n = sizes[0]
        self.values: list[float] = []
        self.responses: list[ResponsePlan] = []
        self.levels: list[LevelPlan] = []
        for level, q in enumerate(dimensions):
            factor = np.full((q, q), -1, dtype=np.intp)
            for i in range(q):
                for j in range(i + 1):
                    factor[i, j] = self.new(0.2 if i == j else 0.06)
            last = level == len(dimensions) - 1
            self.levels.append(
                LevelPlan(sizes[level + 1], None if last else self.parents[level + 1], None, factor)
            )

    def new(self, value: float) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def add(self, text: str, *, form: str | None = None, auxiliary: bool = False) -> Builder:
        """Add a response; its first linear predictor, or its last, takes all latent variables."""
        family = registry.family(family_spec(text))
        form = next(iter(family.responses)) if form is None else form
        encoded = family.encode(form, random_columns(family, form, self.rng, self.n))
        starts = family.start(encoded, np.ones(self.n))
        described = family.predictors(encoded)
        names = list(dict.fromkeys(p.name for p in described))
        taker = names[-1] if auxiliary else names[0]
        x = self.rng.normal(size=self.n) * 0.5
        predictors = []
        for k, (p, start) in enumerate(zip(described, starts, strict=True)):
            # what all alternatives of a set share cancels
            share = float(k) if family.stacked else 1.0
            columns, coefficients = [], []
            if p.intercept and p.fixed is None:
                columns.append(np.ones(self.n))
                coefficients.append(self.new(start + 0.02))
            if p.name == names[0]:
                columns.append(x)
                coefficients.append(self.new(0.1))
            loadings = tuple(self.loading(level, x, share) for level in range(len(self.levels)))
            predictors.append(
                PredictorPlan(
                    np.stack(columns, axis=1) if columns else np.zeros((self.n, 0)),
                    np.array(coefficients, dtype=np.intp),
                    0.0 if p.fixed is None else p.fixed,
                    tuple(part for part in loadings if part is not None) if p.name == taker else (),
                )
            )
        self.responses.append(
            ResponsePlan(family, encoded, self.parents[0], None, tuple(predictors), family.channels(encoded))
        )
        return self

    def loading(self, level: int, x: np.ndarray, share: float) -> LoadingPlan | None:
        q = self.levels[level].factor.shape[0]
        if q == 0:
            return None
        design = share * np.stack([np.ones(self.n), x][:q], axis=1)
        return LoadingPlan(level, design, np.arange(q, dtype=np.intp))

    def plan(self) -> tuple[Plan, np.ndarray]:
        theta = np.array(self.values)
        return Plan(tuple(self.levels), tuple(self.responses), theta.size, theta.copy()), theta


def rowwise(seed: int, n: int) -> Builder:
    """Return a builder without random effects: every row is a cluster of its own."""
    builder = Builder(seed, (n, n), (0,))
    builder.parents[0] = np.arange(n, dtype=np.intp)
    return builder


def multilevel(seed: int, depth: int) -> Builder:
    """Return a builder with 1, 2 or 3 levels, the rows counted."""
    if depth == 1:
        return rowwise(seed, 16)
    return Builder(seed, (24, 6), (2,)) if depth == 2 else Builder(seed, (24, 7, 3), (2, 1))


def factors(plan: Plan, theta: np.ndarray) -> list[np.ndarray]:
    """Return the Cholesky factor of each level."""
    return [np.where(x.factor >= 0, theta[np.maximum(x.factor, 0)], 0.0) for x in plan.levels]


def twin_input(plan: Plan, theta: np.ndarray) -> tuple[list[reference.Level], list[reference.Response]]:
    """Return the model at theta as arrays for `glamm.kernels.reference`."""
    chols = factors(plan, theta)
    ends = np.cumsum([c.shape[0] for c in chols])
    levels = [
        reference.Level(x.clusters, c.shape[0], x.parent, x.weight)
        for x, c in zip(plan.levels, chols, strict=True)
    ]
    responses = []
    for r in plan.responses:
        n = r.encoded.y.shape[0]
        offsets, loadings = [], []
        for p in r.predictors:
            offsets.append(p.design @ theta[p.coefficient] + p.offset)
            a = np.zeros((n, ends[-1]))
            for part in p.loadings:
                c = chols[part.level]
                a[:, ends[part.level] - c.shape[0] : ends[part.level]] += part.design @ c[part.latent]
            loadings.append(a)
        offset, loading = np.stack(offsets, 1), np.stack(loadings, 1)
        if r.channels is not None:
            used = r.channels >= 0
            at = np.maximum(r.channels, 0)
            offset = np.where(used, np.take_along_axis(offset, at, 1), 0.0)
            loading = np.where(used[:, :, None], np.take_along_axis(loading, at[:, :, None], 1), 0.0)

        responses.append(reference.Response(block_of(r), offset, loading, r.cluster, r.weight))
    return levels, responses


def block_of(response: ResponsePlan) -> reference.Block:
    """Return the block function of a response, its derivatives differences of the log density alone."""
    unit = 0.4  # channels in this unit make the steps short enough for links with a pole nearby

    def block(rows, nu, order):
        y = np.ascontiguousarray(response.encoded.y[rows])
        if order == 0:
            return ([response.family.log_likelihood(y, nu)],)
        found = differentiate(
            lambda at: response.family.log_likelihood(y, [unit * x for x in at]),
            [x / unit for x in nu],
            order,
        )
        return tuple([d / unit**k for d in part] for k, part in enumerate(found))

    return block


def take_rows(response: ResponsePlan, rows: np.ndarray, cluster: np.ndarray) -> ResponsePlan:
    """Return the response with the given rows, in that order, in the given clusters."""
    predictors = tuple(
        replace(
            p,
            design=p.design[rows],
            loadings=tuple(replace(part, design=part.design[rows]) for part in p.loadings),
        )
        for p in response.predictors
    )
    encoded = Encoded(np.ascontiguousarray(response.encoded.y[rows]), response.encoded.categories)
    return replace(
        response,
        encoded=encoded,
        cluster=cluster.astype(np.intp),
        weight=None if response.weight is None else response.weight[rows],
        predictors=predictors,
        channels=None if response.channels is None else response.channels[rows],
    )
