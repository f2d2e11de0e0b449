"""Models with latent variables drawn at random: log-likelihood, gradient and scores without the engine."""

import numpy as np
import pandas as pd
import pytest
from drawn_models import models
from hypothesis import given, settings
from latent_models import Latent, Response, Structure, Term, by_lattice, by_moments
from scipy import stats

from glamm.compile import lower
from glamm.data import Table
from glamm.grammar import parse
from glamm.graph import build
from glamm.inference import Objective

STEP = {0: 1.0, 1: 0.05, 2: 0.15, 3: 0.25}
"""Width of a lattice by its dimensions."""

POINTS = {0: 1, 1: 81, 2: 41, 3: 25}
"""Points of the engine; with three latent variables the integral is then good to about 1e-6."""


def lowered(text, data, named):
    """Return the plan of a model, and theta at the values of its parameters."""
    # whether data could tell the parameters makes no difference to the likelihood
    table = Table.from_any(data)
    found = lower(build(parse(text), text, columns=table.columns), table)
    values = {}
    for name, value in named.items():
        if name not in found.parameters.names and " ~~ " in name:
            name = " ~~ ".join(reversed(name.split(" ~~ ")))
        values[name] = value
    assert sorted(values) == sorted(found.parameters.names)
    natural = np.array([values[name] for name in found.parameters.names])
    theta = found.parameters.theta(natural, found.plan.start)
    np.testing.assert_allclose(found.parameters.natural(theta), natural, rtol=1e-10, atol=1e-12)
    return found.plan, theta


def check_gradient(objective, theta):
    _, gradient = objective.value_and_gradient(theta)
    objective.accept()
    scores = objective.cluster_scores(theta)
    np.testing.assert_allclose(scores.sum(axis=0), gradient, rtol=1e-9, atol=1e-9)
    step = 1e-3
    for k, unit in enumerate(step * np.eye(theta.size)):
        ends = np.array([objective.value(theta + sign * unit) for sign in (-3, -2, -1, 1, 2, 3)])
        slope = ends @ np.array([-1.0, 9.0, -45.0, 45.0, -9.0, 1.0]) / (60.0 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(models(gaussian=True))
def test_gaussian_models_against_their_moments(drawn):
    plan, theta = lowered(drawn.text, drawn.data, drawn.values)
    objective = Objective(plan, 1)
    assert objective.value(theta) == pytest.approx(by_moments(drawn.structure, drawn.data).sum(), rel=1e-9)
    check_gradient(objective, theta)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(models(gaussian=False))
def test_any_models_against_a_lattice(drawn):
    plan, theta = lowered(drawn.text, drawn.data, drawn.values)
    positive = sum(
        value > 0.0 for (left, right), value in drawn.structure.covariance.items() if left == right
    )
    expected = by_lattice(drawn.structure, drawn.data, STEP[positive]).sum()
    assert Objective(plan, POINTS[positive]).value(theta) == pytest.approx(expected, abs=5e-6)
    check_gradient(Objective(plan, 3), theta)


def mixture(u):
    """Log density of the standardised mixture of N(0, 1) and N(1.5, 0.8^2) with weights 0.6 and 0.4."""
    mean, sd = 0.6, np.sqrt(0.6 + 0.4 * (0.8**2 + 1.5**2) - 0.6**2)
    z = mean + sd * u
    return np.log(sd * (0.6 * stats.norm.pdf(z) + 0.4 * stats.norm.pdf(z, 1.5, 0.8)))


SKEWED = stats.skewnorm(3.0)
DISTRIBUTIONS = {
    "student_t(df=8)": ({}, lambda u: stats.t.logpdf(u, 8.0, scale=np.sqrt(6.0 / 8.0)), 101),
    "skew_normal()": (
        {"shape(f)": 3.0},
        lambda u: SKEWED.logpdf(SKEWED.mean() + SKEWED.std() * u) + np.log(SKEWED.std()),
        81,
    ),
    "normal_mixture()": ({"weight(f)": 0.6, "separation(f)": 1.5, "ratio(f)": 0.8}, mixture, 81),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("level", ["row", "g"])
def test_other_distributions_against_a_lattice(level, distribution):
    """A latent variable that is not normal beside one of the same level that is."""
    auxiliary, log_density, points = DISTRIBUTIONS[distribution]
    rng = np.random.RandomState(4)
    data = pd.DataFrame(rng.normal(size=(12, 3)), columns=["y1", "y2", "y3"]).round(2)
    data["g"] = np.arange(12) // 3
    data["x"] = rng.normal(size=4).round(2)[data["g"]]
    data["b"] = np.arange(12) % 2
    target = "{}" if level == "row" else "{} | g"
    text = f"""
        {target.format("f")} =~ y1 + y2 + b
        f ~ {distribution} + x
        {target.format("e")} =~ y3 + b
        family(b) = binomial
    """
    values = {f"{y} ~ 1": 0.2 for y in ("y1", "y2", "y3", "b")} | {f"sigma(y{k})": 1.1 for k in (1, 2, 3)}
    values |= {"f =~ y2": 0.7, "f =~ b": 0.6, "e =~ b": 0.5, "f ~ x": 0.4, "f ~~ f": 0.8, "e ~~ e": 0.6}
    plan, theta = lowered(text, data, values | auxiliary)
    loadings = {"y1": {"f": 1.0}, "y2": {"f": 0.7}, "y3": {"e": 1.0}, "b": {"f": 0.6, "e": 0.5}}
    responses = [
        Response(
            y,
            "row",
            "logit" if y == "b" else "gaussian",
            (Term(0.2), *(Term(loading, (), (latent,)) for latent, loading in own.items())),
            () if y == "b" else (1.1,),
        )
        for y, own in loadings.items()
    ]
    latents = (Latent("f", level, (Term(0.4, ("x",)),), (), log_density), Latent("e", level))
    levels = ("row",) if level == "row" else ("g", "row")
    structure = Structure(levels, latents, tuple(responses), {("f", "f"): 0.8, ("e", "e"): 0.6})
    expected = by_lattice(structure, data, 0.08, 12.0).sum()
    objective = Objective(plan, points)
    assert objective.value(theta) == pytest.approx(expected, abs=1e-6)
    check_gradient(Objective(plan, 5), theta)
