"""Information by Louis's formula against differences of the gradient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile.plan import Plan
from glamm.inference import FitOptions, Objective, maximise
from glamm.inference.covariance import observed_information


def answers(n: int, seed: int) -> pd.DataFrame:
    """Return four binary items, two of three categories, and a covariate; some answers are missing."""
    rng = np.random.default_rng(seed)
    eta = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], n)
    latent = np.repeat(eta, 3, axis=1) + rng.logistic(size=(n, 6))
    frame = pd.DataFrame((latent > 0.3).astype(float), columns=[f"y{j}" for j in range(6)])
    frame.loc[3, "y1"] = frame.loc[5, "y4"] = np.nan
    for j in (2, 5):
        frame[f"y{j}"] = pd.Categorical(np.digitize(latent[:, j], [-0.5, 0.8]), ordered=True)
    return frame.assign(x=rng.normal(size=n), school=np.arange(n) // 5)


FAMILIES = {**dict.fromkeys(("y0", "y1", "y3"), "binomial"), "y4": "binomial(probit)"}
FAMILIES |= dict.fromkeys(("y2", "y5"), "ordinal")
MODELS = {
    "one factor": "f =~ y0 + y1 + y2 + y3",
    "two factors": "f =~ y0 + y1 + y2\ng =~ y3 + y4 + y5",
    "regression of factors": "f =~ y0 + y1 + y2\ng =~ y3 + y4 + y5\ng ~ f",
    "held variances": "f =~ NA*y0 + y1 + y2\ng =~ NA*y3 + y4 + y5\nf ~~ 1*f\ng ~~ 1*g",
    "independent factors": "f =~ y0 + y1 + y2\ng =~ y3 + y4 + y5\nf ~~ 0*g",
    "bifactor": "f =~ y0 + y1 + y2 + y3 + y4 + y5\ng =~ 1*y0 + 1*y1 + 1*y2\nh =~ 1*y3 + 1*y4 + 1*y5\n"
    "f ~~ 0*g\nf ~~ 0*h\ng ~~ 0*h",
}


def plan_of(text: str, frame: pd.DataFrame) -> Plan:
    """Return the plan of a model, with the families of those responses that it has."""
    families = {name: family for name, family in FAMILIES.items() if name in text}
    return glamm.Model(text, frame, families).lowered.plan


@pytest.mark.parametrize("name", MODELS)
def test_formula_agrees_with_differences(name: str) -> None:
    plan = plan_of(MODELS[name], answers(80, 1))
    theta = 0.9 * plan.start + np.random.default_rng(2).uniform(0.0, 0.3, plan.n_parameters)
    free = np.arange(len(theta))
    errors = []
    for points in (9, 21):
        objective = Objective(plan, points)
        formula = objective.information(theta)
        assert formula is not None
        differences = observed_information(objective, theta, 20.0 * np.eye(len(theta)), free).matrix
        errors.append(np.abs(formula - differences).max() / np.abs(differences).max())
    assert errors[0] < 2e-4
    assert errors[1] < 1e-7


def test_weighted_clusters_count_as_often() -> None:
    frame = answers(60, 3)
    one = plan_of(MODELS["one factor"], frame)
    twice = plan_of(MODELS["one factor"], pd.concat([frame, frame]))
    assert Objective(twice, 11).n_clusters <= 60
    formula, doubled = (Objective(plan, 11).information(one.start) for plan in (one, twice))
    assert formula is not None
    assert doubled is not None
    np.testing.assert_allclose(doubled, 2.0 * formula, rtol=1e-9, atol=1e-9)


def test_clusters_without_units_of_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = answers(40, 6)
    frame.loc[:9, "y1"] = np.nan
    plan = plan_of(MODELS["one factor"], frame)
    whole = Objective(plan, 11).information(plan.start)
    monkeypatch.setattr("glamm.inference.louis.CHUNK", 1)
    np.testing.assert_allclose(Objective(plan, 11).information(plan.start), whole, rtol=1e-9, atol=1e-9)


def test_other_models_have_none() -> None:
    frame = answers(40, 4)
    for text in (
        "f =~ y0 + y1 + y3\nf ~ x",
        "f =~ y0 + y1 + y3\ny1 ~ x",
        "f =~ y0 + y1 + y3\nf ~ (1 | school)",
    ):
        plan = plan_of(text, frame)
        assert Objective(plan, 11).information(plan.start) is None
    plan = plan_of(MODELS["one factor"], frame)
    assert Objective(plan, 7).information(plan.start) is None


def test_standard_errors_of_a_large_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(MODELS["one factor"], answers(1500, 5))
    options = FitOptions(progress=False)
    found = maximise(plan, options)
    monkeypatch.setattr(Objective, "information", lambda *_: None)
    expected = maximise(plan, options)
    assert found.evaluations < expected.evaluations
    assert found.loglik == pytest.approx(expected.loglik, abs=1e-8)
    np.testing.assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-4)
