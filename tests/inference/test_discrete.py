"""Sums over discrete latent variables: against the general engine, sums written out, and differences."""

import numpy as np
import pytest
from class_problems import (
    ITEMS,
    differences,
    item_frame,
    latent_class,
    multilevel,
    multilevel_frame,
    multilevel_loglik,
    nested,
    nested_frame,
    nested_loglik,
    shifted,
)

import glamm
from glamm.inference import Objective
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.discrete_units import distinct_rows
from glamm.inference.mixtures_nodes import placed_nodes

POISSON = "y ~ x + npml(1 + x | person, k=3)"


def counts(seed=2):
    rng = np.random.default_rng(seed)
    frame = item_frame(60, seed).loc[np.repeat(np.arange(60), 3)].reset_index(names="person")
    return frame.assign(y=rng.poisson(np.exp(0.3 * frame["x"] + frame["true"])))


MODELS = {
    "items": lambda: latent_class(),
    "covariate": lambda: latent_class(covariate=True),
    "three classes": lambda: latent_class(classes=3),
    "points": lambda: glamm.Model(POISSON, counts(), "poisson"),
    "weights": lambda: glamm.Model(
        "c =~ a + b + d; c ~ classes(2)", item_frame().assign(w=lambda f: 1 + f["e"]), "binomial", "w"
    ),
    "known": lambda: glamm.Model(
        'c =~ a + b + d; c ~ classes("0", "1", known=k)',
        item_frame().assign(k=lambda f: np.where(f["e"] == 1, f["true"], np.nan)),
        "binomial",
    ),
    "ordinal": lambda: glamm.Model(
        "s ~ c; a ~ c; c ~ classes(2)",
        item_frame().assign(s=lambda f: f["a"] + f["b"] + f["d"]),
        {"s": "ordinal", "a": "binomial"},
    ),
    "multilevel": lambda: multilevel(multilevel_frame()),
}


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_the_general_engine(name):
    plan = MODELS[name]().lowered.plan
    theta = shifted(plan.start)
    general, discrete = Objective(plan, 1), DiscreteObjective(plan)
    value, gradient = general.value_and_gradient(theta)
    found, slope = discrete.value_and_gradient(theta)
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(discrete.cluster_logliks(theta), general.cluster_logliks(theta), rtol=1e-10)
    for own, other in zip(discrete.shares(theta), general.shares(theta), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_information_and_scores(name):
    objective = DiscreteObjective(MODELS[name]().lowered.plan)
    theta = shifted(objective.plan.start, seed=3)
    _, gradient = objective.value_and_gradient(theta)
    np.testing.assert_allclose(gradient, differences(objective.value, theta), rtol=1e-6, atol=1e-6)
    information = objective.information(theta)
    slope = differences(lambda t: objective.value_and_gradient(t)[1], theta)
    np.testing.assert_allclose(information, -slope, rtol=1e-6, atol=1e-6 * np.abs(information).max())
    scores = objective.cluster_scores(theta)
    assert scores.shape == (objective.n_clusters, objective.n_parameters)
    np.testing.assert_allclose(scores.sum(axis=0), gradient, rtol=1e-9, atol=1e-9)


def test_several_thetas_at_once():
    objective = DiscreteObjective(latent_class(covariate=True).lowered.plan)
    thetas = np.column_stack([shifted(objective.plan.start, seed) for seed in range(4)])
    found = objective.posterior_at(thetas)
    weights = objective.weights(found.shares)
    expected = [objective.value_and_gradient(theta) for theta in thetas.T]
    np.testing.assert_allclose(objective.values(found), [value for value, _ in expected], rtol=1e-12)
    gradients = np.column_stack([gradient for _, gradient in expected])
    np.testing.assert_allclose(objective.gradients(found, weights), gradients, rtol=1e-10, atol=1e-10)


def test_clusters_with_the_same_responses_are_summed_once():
    objective = DiscreteObjective(latent_class(500).lowered.plan)
    assert objective.n_clusters == 500
    assert len(objective.frequency) == len(item_frame(500)[list(ITEMS)].drop_duplicates())
    assert objective.frequency.sum() == 500


def test_classes_at_two_levels_are_summed_out():
    frame = multilevel_frame()
    model = multilevel(frame)
    theta = shifted(model.lowered.plan.start, seed=4)
    expected = multilevel_loglik(frame, dict(zip(model.names, theta, strict=True)))
    assert DiscreteObjective(model.lowered.plan).value(theta) == pytest.approx(expected, rel=1e-12)


def test_distinct_rows_tell_zeros_and_missing_apart_from_nothing_else():
    columns = [np.array([0.0, -0.0, 1.0, np.nan, np.nan]), np.array([2.0, 2.0, 2.0, 3.0, 3.0])]
    first, number = distinct_rows(columns)
    assert len(first) == 3
    assert number[0] == number[1] != number[2]
    assert number[3] == number[4]


# ------------------------------------------------ classes below continuous latent variables


def test_classes_below_a_random_intercept():
    frame = nested_frame()
    objective = Objective(nested(frame).lowered.plan, 31)
    theta = np.array([-0.2, 2.2, 0.0, 0.3, 0.7])
    assert objective.place_nodes(theta)
    value, gradient = objective.value_and_gradient(theta)
    assert value == pytest.approx(nested_loglik(frame, theta), abs=1e-6)
    np.testing.assert_allclose(gradient, differences(objective.value, theta), rtol=1e-6, atol=1e-6)


def test_nodes_follow_the_moments_of_paths():
    plan = nested(nested_frame()).lowered.plan
    lower, upper = (level.clusters for level in plan.levels)
    centre = np.linspace(-1.0, 1.0, upper)[:, None]
    covariance = np.full((upper, 1, 1), 0.25)
    at = plan.levels[0].parent
    nodes = placed_nodes(plan, [centre[at], centre], [covariance[at], covariance])
    np.testing.assert_allclose(nodes[1][0], centre)
    np.testing.assert_allclose(nodes[1][1], 0.5)
    assert nodes[0][0].shape == (lower, 0)
    np.testing.assert_allclose(nodes[0][1], 0.5)
