"""Two-level and single-level models as plans, from plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glamm import registry
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan
from glamm.graph import family_spec
from glamm.protocols import Column


def plan(
    family: str,
    columns: Sequence[np.ndarray],
    design: np.ndarray,
    groups: Sequence[np.ndarray] = (),
    random: Sequence[np.ndarray] = (),
    *,
    form: str | None = None,
    labels: tuple[str, ...] | None = None,
    weight: np.ndarray | None = None,
    correlated: bool = True,
) -> Plan:
    """Return the plan of one response whose first predictor has `design` and all the random effects.

    Parameters
    ----------
    columns : sequence of ndarray, shape (n,)
        The left-hand side.
    design : ndarray, shape (n, p)
        With its own column of ones.
    groups : sequence of ndarray, shape (n,)
        Cluster of each row at each level, lowest first; rows are sorted here.
    random : sequence of ndarray, shape (n, q)
        Design of the random effects of each level.
    """
    n = design.shape[0]
    order = np.lexsort(tuple(groups)) if len(groups) else np.arange(n)
    columns = [np.asarray(c, float)[order] for c in columns]
    design = np.ascontiguousarray(design[order], float)
    model = registry.family(family_spec(family))
    form = ("cbind" if len(columns) == 2 else "") if form is None else form
    encoded = model.encode(form, [Column(f"y{i}", c, labels) for i, c in enumerate(columns)])

    # codes that ascend along the rows, of whole paths, so that ids may repeat in other clusters
    paths = [np.zeros(n, dtype=np.intp)]
    for group in reversed([np.asarray(g)[order] for g in groups]):
        both = np.stack([paths[0], np.unique(group, return_inverse=True)[1]], axis=1)
        new = np.r_[False, (both[1:] != both[:-1]).any(axis=1)]
        paths.insert(0, np.cumsum(new).astype(np.intp))
    codes = paths[:-1] if groups else [np.arange(n, dtype=np.intp)]

    count = 0
    start: list[float] = []
    predictors: list[PredictorPlan] = []
    random_designs = [np.ascontiguousarray(np.reshape(z, (n, -1))[order], float) for z in random]
    values = model.start(encoded, np.ones(n))
    for k, predictor in enumerate(model.predictors(encoded)):
        own = design if k == 0 else np.ones((n, 1))
        if predictor.name == "mu" and not predictor.intercept:
            own = design[:, 1:]
        if predictor.fixed is not None:
            predictors.append(PredictorPlan(np.zeros((n, 0)), np.zeros(0, dtype=np.intp), predictor.fixed))
            continue
        takes = k == 0
        loadings = tuple(
            LoadingPlan(level, z, np.arange(z.shape[1], dtype=np.intp))
            for level, z in enumerate(random_designs)
        )
        index = np.arange(count, count + own.shape[1], dtype=np.intp)
        count += own.shape[1]
        begin = np.zeros(own.shape[1])
        if k:
            begin[0] = values[k]
        start += list(begin)
        predictors.append(PredictorPlan(own, index, 0.0, loadings if takes else ()))

    levels = []
    for at, code in enumerate(codes):
        q = random_designs[at].shape[1] if random_designs else 0
        factor = np.full((q, q), -1, dtype=np.intp)
        for i in range(q):
            for j in range(i + 1):
                if i == j or correlated:
                    factor[i, j] = count
                    count += 1
                    start.append(float(i == j))
        first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
        parent = codes[at + 1][first] if at + 1 < len(codes) else None
        levels.append(LevelPlan(len(first), parent, None, factor))
    response = ResponsePlan(
        model,
        encoded,
        codes[0],
        None if weight is None else np.asarray(weight, float)[order],
        tuple(predictors),
        model.channels(encoded),
    )
    return Plan(tuple(levels), (response,), count, np.array(start))


def simulated_logit(
    seed: int, clusters: int, size: int, sd: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a 0/1 response, a design (n, 3) and the cluster of each row."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(clusters), size)
    n = group.size
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n)])
    nu = x @ np.array([-0.5, 0.7, 0.4]) + sd * rng.normal(size=clusters)[group]
    return (rng.random(n) < 1.0 / (1.0 + np.exp(-nu))).astype(float), x, group
