"""Models with latent variables drawn at random: log-likelihood, gradient and scores without the engine."""

import numpy as np
import pytest
from drawn_models import models
from hypothesis import given, settings
from latent_models import by_lattice, by_moments

import glamm
from glamm.inference import Objective

STEP = {0: 1.0, 1: 0.05, 2: 0.15, 3: 0.25}
"""Width of a lattice by its dimensions."""

POINTS = {0: 1, 1: 81, 2: 41, 3: 25}


def lowered(drawn):
    """Return the plan of a drawn model, and theta at its values."""
    found = glamm.Model(drawn.text, drawn.data).lowered
    values = {}
    for name, value in drawn.values.items():
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
    plan, theta = lowered(drawn)
    objective = Objective(plan, 1)
    assert objective.value(theta) == pytest.approx(by_moments(drawn.structure, drawn.data).sum(), rel=1e-9)
    check_gradient(objective, theta)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(models(gaussian=False))
def test_any_models_against_a_lattice(drawn):
    plan, theta = lowered(drawn)
    positive = sum(
        value > 0.0 for (left, right), value in drawn.structure.covariance.items() if left == right
    )
    expected = by_lattice(drawn.structure, drawn.data, STEP[positive]).sum()
    assert Objective(plan, POINTS[positive]).value(theta) == pytest.approx(expected, abs=1e-6)
    check_gradient(Objective(plan, 3), theta)
