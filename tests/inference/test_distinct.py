"""Distinct units: that they are those of the data, and that evaluations by way of them change nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile.plan import Plan
from glamm.inference import Objective, distinct_chain
from glamm.inference.distinct import Distinct
from glamm.inference.distinct_chain import DistinctChain, chain_of


def items(n: int = 300, seed: int = 1) -> pd.DataFrame:
    """Return items of two kinds with some values missing, a group of persons, and a covariate."""
    rng = np.random.default_rng(seed)
    eta = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 3))[:, np.arange(6) % 3]
    latent = eta + rng.logistic(size=(n, 6))
    frame = pd.DataFrame({f"b{j}": (latent[:, j] > 0.1 * j).astype(float) for j in range(6)})
    for j in range(4):
        codes = np.digitize(latent[:, j], [-1.0, 0.2, 1.4][: 2 + j % 2])
        frame[f"g{j}"] = pd.Categorical(codes, ordered=True)
    for name in ("b0", "b3", "g1"):
        frame[name] = frame[name].mask(rng.random(n) < 0.1)
    return frame.assign(
        group=rng.choice(["a", "b", "c"], n), x=rng.normal(size=n), freq=rng.integers(1, 4, n)
    )


BIFACTOR = (
    "f =~ b0 + b1 + b2 + b3 + b4 + b5\ng =~ 1*b0 + 1*b1 + 1*b2\nh =~ 1*b3 + 1*b4 + 1*b5\n"
    "f ~~ 0*g\nf ~~ 0*h\ng ~~ 0*h"
)
MODELS = {
    "one factor": ("f =~ b0 + b1 + b2 + b3", "binomial"),
    "items without a factor": ("f =~ b0 + b1 + b2\nb4 + b5 ~ 1", "binomial"),
    "graded responses": ("f =~ g0 + g1 + g2 + g3", "ordinal"),
    "two families": ("f =~ b0 + b1 + g1", {"b0": "binomial", "b1": "binomial", "g1": "ordinal"}),
    "equal items": ("f =~ NA*a*b1 + a*b2 + b3\nf ~~ 1*f\nb1 ~ m*1\nb2 ~ m*1", "binomial"),
    "groups": ("f =~ b0 + b1 + b2\nf ~ group\nb1 ~ group\nsd(f) ~ group", "binomial"),
    "bifactor": (BIFACTOR, "binomial"),
    "regression of factors": ("f =~ b0 + b1 + b2\ng =~ b3 + b4 + b5\ng ~ f", "binomial(probit)"),
}


def plan_of(name: str, weighted: bool = False) -> Plan:
    text, family = MODELS[name]
    return glamm.Model(text, items(), family, weights="freq" if weighted else None).lowered.plan


def somewhere(plan: Plan) -> np.ndarray:
    return 0.9 * plan.start + np.random.default_rng(3).uniform(0.0, 0.3, plan.n_parameters)


@pytest.mark.parametrize("name", MODELS)
def test_predictors_of_distinct_units_are_those_of_all(name: str) -> None:
    objective = Objective(plan_of(name), 3)
    distinct = Distinct.of(objective.plan, 1.0)
    assert distinct is not None
    theta = somewhere(objective.plan)
    chain = DistinctChain(distinct)
    forms = chain.forms(theta)
    assert forms is not None
    factors = objective.factors(theta)
    latents = objective.latent_forms(theta, factors)
    for units, number in zip(objective.units, distinct.numbers, strict=True):
        (k,) = {k for k, rows in enumerate(chain.rows) if rows.start <= number.min() < rows.stop}
        own = number - chain.rows[k].start
        offset, slope = units.forms(objective.space, theta, factors, latents)
        np.testing.assert_allclose(forms[k][0][:, own], offset, rtol=1e-12, atol=1e-12)
        place = np.searchsorted(chain.units[k].active, units.active)
        np.testing.assert_allclose(forms[k][1][place][:, own], slope, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(chain.units[k].values[own], units.values)
    # none is there in vain
    assert chain.size == sum(len(np.unique(number)) for number in distinct.numbers)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_evaluations_are_those_unit_by_unit(
    name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distinct_chain, "REPEATS", 1.0)
    plan = plan_of(name, weighted)
    theta = somewhere(plan)
    by_distinct, by_unit = Objective(plan, 5), Objective(plan, 5)
    monkeypatch.setattr(Objective, "_tables", None)
    expected, expected_gradient = by_unit.value_and_gradient(theta)
    logliks = by_unit.cluster_logliks(theta)
    monkeypatch.undo()
    monkeypatch.setattr(distinct_chain, "REPEATS", 1.0)
    value, gradient = by_distinct.value_and_gradient(theta)
    assert by_distinct._tables is not None
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(by_distinct.cluster_logliks(theta), logliks, rtol=1e-12)
    assert by_distinct.value(theta) == pytest.approx(expected, rel=1e-13)
    # scores of clusters are still made unit by unit
    np.testing.assert_allclose(by_distinct.cluster_scores(theta).sum(axis=0), gradient, rtol=1e-9, atol=1e-9)
    assert by_distinct.value_and_gradient(np.full_like(theta, np.nan))[0] == -np.inf


def test_units_that_differ_are_left_alone() -> None:
    frame = items()
    for text in (
        "f =~ b1 + b2 + b4\nf ~ x",
        "f =~ b1 + b2 + b4\nb1 ~ x",
        "f =~ b1 + b2 + b4\ng =~ b0 + b3\nb5 ~ f + g + f:g",
    ):
        objective = Objective(glamm.Model(text, frame, "binomial").lowered.plan, 3)
        assert objective.distinct is None
        assert chain_of(objective.plan, objective.space.pairs) is None
