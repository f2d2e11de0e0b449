"""Clusters with the same data, counted as often, against all of them one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile.plan import Plan
from glamm.inference import Objective, objective
from glamm.inference.collapsing import collapse


def answers(n: int, count: int, seed: int) -> pd.DataFrame:
    """Return answers to a few items, some missing, and a group and weight of each person."""
    rng = np.random.default_rng(seed)
    nu = rng.normal(size=(n, 1)) + np.linspace(-1.0, 1.0, count)
    values = (rng.random(nu.shape) < 1.0 / (1.0 + np.exp(-nu))).astype(float)
    values[rng.random(nu.shape) < 0.05] = np.nan
    frame = pd.DataFrame(values, columns=[f"y{j}" for j in range(count)])
    return frame.assign(female=rng.integers(0, 2, n).astype(float), w=rng.integers(1, 4, n).astype(float))


def plans() -> dict[str, Plan]:
    frame = answers(250, 4, 1)
    frame["y3"] = frame["y3"] + frame["y2"].fillna(0.0)
    items = ["y0", "y1", "y2"]
    rows = (
        answers(250, 3, 2)
        .assign(person=np.arange(250))
        .melt(id_vars=["person", "female", "w"], value_vars=items, var_name="item", value_name="y")
    )
    text = "f =~ y0 + y1 + y2 + y3\nf ~ female"
    families = {"y0": "binomial", "y1": "binomial", "y2": "binomial(probit)", "y3": "ordinal"}
    ordered = frame.assign(y3=pd.Categorical(frame["y3"], ordered=True))
    wide = glamm.Model(text, ordered, families).lowered.plan
    weight = frame["w"].to_numpy()
    return {
        "wide": wide,
        "weighted": replace(wide, levels=(replace(wide.levels[0], weight=weight),)),
        "long": glamm.Model("y ~ 0 + item + female + (1 | person)", rows, "binomial").lowered.plan,
        "scaled": glamm.Model(f"{text}\nsd(f) ~ female", ordered, families).lowered.plan,
    }


PLANS = plans()


@pytest.mark.parametrize("name", PLANS)
def test_nothing_is_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS[name]
    clusters = plan.levels[0].clusters
    found = collapse(plan)
    assert found is not None
    assert found.plan.levels[0].clusters < clusters / 2
    theta = 0.8 * plan.start + np.random.default_rng(3).uniform(0.0, 0.3, plan.n_parameters)
    few = Objective(plan, 7)
    assert few.n_clusters == found.plan.levels[0].clusters
    monkeypatch.setattr(objective, "collapse", lambda _: None)
    every = Objective(plan, 7)
    value, gradient = few.value_and_gradient(theta)
    expected, slopes = every.value_and_gradient(theta)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(few.cluster_logliks(theta), every.cluster_logliks(theta), atol=1e-10)
    np.testing.assert_allclose(few.cluster_scores(theta), every.cluster_scores(theta), atol=1e-8)
    (mean, cov), (every_mean, every_cov) = few.posterior(theta)[0], every.posterior(theta)[0]
    np.testing.assert_allclose(mean, every_mean, atol=1e-9)
    np.testing.assert_allclose(cov, every_cov, atol=1e-9)


def test_distinct_clusters_stay_apart() -> None:
    rng = np.random.default_rng(4)
    frame = answers(60, 3, 5).dropna().assign(x=lambda d: rng.normal(size=len(d)))
    assert collapse(glamm.Model("f =~ y0 + y1 + y2\nf ~ x", frame, "binomial").lowered.plan) is None
    # where half of the clusters or more would be left it is not done
    twins = frame.iloc[[0, 0, 1, 2, 3, 4, 5, 6]]
    assert collapse(glamm.Model("f =~ y0 + y1 + y2\nf ~ x", twins, "binomial").lowered.plan) is None
    three = pd.concat([frame.iloc[:9]] * 3)
    found = collapse(glamm.Model("f =~ y0 + y1 + y2\nf ~ x", three, "binomial").lowered.plan)
    assert found is not None
    assert list(found.pattern) == list(range(9)) * 3
    assert set(found.plan.levels[0].weight) == {3.0}


def test_order_within_a_cluster_and_missing_units_are_data() -> None:
    """The same answers to other items are another pattern."""
    frame = pd.DataFrame(
        {"person": np.repeat(np.arange(8), 2), "item": list("abbcaccb" * 2), "y": [1.0, 0.0] * 8}
    )
    plan = glamm.Model("y ~ 0 + item + (1 | person)", frame, "binomial").lowered.plan
    found = collapse(plan)
    assert found is not None
    assert list(found.pattern) == [0, 1, 2, 3] * 2
