"""Samples of whole clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.objective import Objective
from glamm.inference.sampling import FEWEST, sampled


def lowered(text, data, family=None, weights=None):
    return glamm.Model(text, data, family, weights).lowered.plan


def check(plan, limit):
    """Compare the likelihood of each cluster of a sample with what it is in the whole."""
    part = sampled(plan, limit)
    assert part.levels[-1].clusters == FEWEST
    theta = plan.start + 0.1 * np.random.default_rng(0).normal(size=plan.n_parameters)
    chosen = np.linspace(0, plan.levels[-1].clusters - 1, FEWEST).astype(int)
    whole = Objective(plan, 1).cluster_logliks(theta)[chosen]
    np.testing.assert_allclose(Objective(part, 1).cluster_logliks(theta), whole, rtol=1e-12)
    return part


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(rng.normal(size=(n, 5)), columns=["a", "b", "c", "x", "o"])
    return data.assign(g=rng.integers(0, n // 4, n), h=lambda d: d.g // 3, w=rng.integers(1, 4, n))


def test_latent_variables_at_three_levels():
    data = rows(3000)
    data.loc[::5, "b"] = np.nan
    text = """
    f =~ a + b + c; f ~ x + 1*u + (1 | h); u | g ~ 0; sd(u) ~ 1; a ~ offset(o); sigma(c) ~ x
    a ~~ b; v | h =~ a + b + c
    """
    part = check(lowered(text, data), 100)
    assert len(part.levels) == 3
    assert part.levels[0].parent is not None
    assert np.all(np.diff(part.levels[0].parent) >= 0)


def test_weights():
    data = rows(1500)
    check(lowered("a ~ x + (1 | g)", data, weights="w"), 100)
    data["k"] = data["g"] % 3 + 1.0
    check(lowered("a ~ x + (1 | g)", data, weights={"g": "k"}), 100)


def test_ordinal_thresholds():
    data = rows(1500).assign(a=lambda d: pd.cut(d.a, [-9, -1, 0, 1, 9], labels=list("pqrs")))
    check(lowered("a ~ x + (1 | g)", data, "ordinal"), 100)


def test_small_data_are_taken_whole():
    plan = lowered("a ~ x + (1 | g)", rows(1500))
    assert sampled(plan, 1500) is plan


@pytest.mark.parametrize("level", ["g", "h"])
def test_clusters_keep_all_their_classes(level):
    plan = lowered(f"a ~ 0 + k; b ~ k; k | {level} ~ classes(3)", rows(3000))
    part = sampled(plan, 100)
    groups = int(plan.levels[-1].group[-1]) + 1
    theta = plan.start + 0.1 * np.random.default_rng(0).normal(size=plan.n_parameters)
    chosen = np.linspace(0, groups - 1, FEWEST).astype(int)
    whole = DiscreteObjective(plan).cluster_logliks(theta)[chosen]
    assert part.levels[-1].clusters == 3 * FEWEST
    np.testing.assert_allclose(DiscreteObjective(part).cluster_logliks(theta), whole, rtol=1e-12)
