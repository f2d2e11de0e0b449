"""Random starts: the best maximum is found whatever the seed, and classes come in one order."""

import numpy as np
import pandas as pd
import pytest
from class_problems import differences, item_frame, latent_class, nested, nested_frame, nested_loglik, shifted

import glamm
from glamm.errors import FitError
from glamm.inference import FitOptions, Objective, Status, maximise
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures import class_sizes, classes_of
from glamm.inference.mixtures_order import Relabelling, canonical_classes
from glamm.inference.mixtures_permutations import permute
from glamm.inference.multistart import merge
from glamm.inference.optimum import Solution
from glamm.inference.options import Multistart

PROBABILITY = ((0.1, 0.2, 0.3, 0.9), (0.9, 0.8, 0.2, 0.1))


def growth_frame(persons=150, seed=3):
    rng = np.random.default_rng(seed)
    c = (rng.random(persons) < 0.35).astype(int)
    level = np.where(c == 1, 3.0, 0.0) + 0.5 * rng.standard_normal(persons)
    slope = np.where(c == 1, -0.6, 0.4) + 0.2 * rng.standard_normal(persons)
    person, time = np.divmod(np.arange(4 * persons), 4)
    y = level[person] + slope[person] * time + 0.6 * rng.standard_normal(len(person))
    return pd.DataFrame({"y": y, "time": time, "person": person})


@pytest.mark.parametrize("seed", range(5))
def test_seeds_agree(seed):
    plan = latent_class(300, classes=3).lowered.plan
    one = maximise(plan, FitOptions(multistart=Multistart(seed=seed)))
    other = maximise(plan, FitOptions(multistart=Multistart(seed=seed)))
    assert np.array_equal(one.theta, other.theta)
    first = maximise(plan, FitOptions(multistart=Multistart(seed=100)))
    assert one.loglik == pytest.approx(first.loglik, abs=1e-6)
    assert one.solutions[0].loglik == one.loglik


def test_solutions_of_one_log_likelihood_are_counted_together():
    theta = np.zeros(1)
    given = [
        Solution(theta, -10.0, 1, True),
        Solution(theta, -9.0, 2, False),
        Solution(theta, -10.00001, 3, True),
        Solution(theta, -12.0, 1, True),
    ]
    found = [(one.loglik, one.found, one.converged) for one in merge(given)]
    assert found == [(-10.0, 4, True), (-12.0, 1, True), (-9.0, 2, False)]


def test_no_random_starts_where_starting_values_are_given_or_classes_are_known():
    plan = latent_class().lowered.plan
    best = maximise(plan)
    assert best.solutions
    assert not maximise(plan, FitOptions(start=best.theta)).solutions
    known = glamm.Model('c =~ a + b; c ~ classes("0", "1", known=true)', item_frame(), "binomial")
    assert not maximise(known.lowered.plan).solutions


def test_starts_and_seeds_are_whole_numbers():
    with pytest.raises(FitError, match="starts=0"):
        Multistart(starts=0)
    with pytest.raises(FitError, match="seed=-1"):
        Multistart(seed=-1)


# ------------------------------------------------ order of classes


@pytest.mark.parametrize("covariate", [False, True])
def test_a_permutation_keeps_the_likelihood(covariate):
    plan = latent_class(classes=3, covariate=covariate).lowered.plan
    objective = DiscreteObjective(plan)
    theta = shifted(plan.start)
    (classes,) = classes_of(plan)
    turn = np.array([1, 2, 0])
    moved = permute(plan, classes, theta, turn)
    assert objective.value(moved) == pytest.approx(objective.value(theta), rel=1e-12)
    sizes = class_sizes(plan, classes, objective.shares(theta))
    np.testing.assert_allclose(class_sizes(plan, classes, objective.shares(moved))[turn], sizes, rtol=1e-9)
    back = permute(plan, classes, moved, np.argsort(turn))
    np.testing.assert_allclose(back, theta, atol=1e-9)


def test_a_permutation_of_classes_with_treatment_coding():
    plan = glamm.Model("a ~ x * c; b ~ c; c ~ classes(3)", item_frame(), "binomial").lowered.plan
    (classes,) = classes_of(plan)
    theta = shifted(plan.start)
    moved = permute(plan, classes, theta, np.array([2, 0, 1]))
    objective = DiscreteObjective(plan)
    assert objective.value(moved) == pytest.approx(objective.value(theta), rel=1e-12)


def test_classes_that_differ_in_kind_are_not_permuted():
    plan = glamm.Model("a ~ x + c[1]:x; b ~ c; c ~ classes(3)", item_frame(), "binomial").lowered.plan
    (classes,) = classes_of(plan)
    assert permute(plan, classes, shifted(plan.start), np.array([1, 2, 0])) is None
    # two that keep their own terms may trade places
    assert permute(plan, classes, shifted(plan.start), np.array([0, 2, 1])) is not None


def test_classes_ascend_by_size_or_location():
    plan = latent_class(classes=3).lowered.plan
    objective = DiscreteObjective(plan)
    theta = shifted(plan.start)
    moved = canonical_classes(Relabelling(plan, objective), theta, ("size",))
    (classes,) = classes_of(plan)
    sizes = class_sizes(plan, classes, objective.shares(moved))
    assert (np.diff(sizes) > 0).all()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.poisson(2.0, 90), "g": np.repeat(np.arange(30), 3)})
    points = glamm.Model("y ~ npml(1 | g, k=3)", frame, "poisson").lowered.plan
    theta = np.array([1.0, 0.2, 0.5, 0.3, -0.4])
    objective = DiscreteObjective(points)
    moved = canonical_classes(Relabelling(points, objective), theta, ("location",))
    np.testing.assert_allclose(moved[:3], [0.2, 0.5, 1.0], atol=1e-12)
    assert objective.value(moved) == pytest.approx(objective.value(theta), rel=1e-12)


# ------------------------------------------------ boundary


def test_probabilities_at_their_boundary_are_held():
    frame = item_frame(300, probability=((0.0, 0.2, 0.1, 0.15), (0.8, 0.7, 0.9, 1.0)))
    fit = glamm.Model("c =~ a + b + d + e; c ~ classes(2)", frame, "binomial").fit()
    assert fit.converged
    assert fit.status == Status.CLASS_BOUNDARY.value
    assert any("estimated as 0 or 1" in note for note in fit.facts.notes)
    lost = set(fit.missing_errors)
    assert fit.params[list(lost)].abs().between(10, 30).all()
    assert lost
    assert fit.bse.drop(list(lost)).notna().all()
    probabilities = fit.class_profiles().xs("estimate", axis=1, level=1)
    assert ((probabilities < 1e-6) | (probabilities > 1 - 1e-6)).to_numpy().sum() == len(lost)


def test_classes_that_coincide_are_named():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.poisson(3.0, 120), "g": np.repeat(np.arange(40), 3)})
    fit = glamm.Model("y ~ npml(1 | g, k=3)", frame, "poisson").fit()
    assert fit.converged
    assert any("coincide" in note for note in fit.facts.notes)


# ------------------------------------------------ continuous latent variables


def test_a_growth_mixture_is_found_from_any_seed():
    frame = growth_frame()
    model = glamm.Model("y ~ 0 + c + c:time + (1 + time | person); c | person ~ classes(2)", frame)
    fits = [model.fit(seed=seed) for seed in (0, 1)]
    assert all(fit.converged for fit in fits)
    assert fits[0].llf == pytest.approx(fits[1].llf, abs=1e-6)
    objective = Objective(model.lowered.plan, 1)
    _, gradient = objective.value_and_gradient(fits[0].theta)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-3)
    np.testing.assert_allclose(
        objective.value_and_gradient(shifted(fits[0].theta, by=0.1))[1],
        differences(objective.value, shifted(fits[0].theta, by=0.1)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_classes_below_a_random_intercept_are_fitted():
    frame = nested_frame()
    fit = nested(frame).fit()
    assert fit.converged
    assert fit.llf == pytest.approx(nested_loglik(frame, fit.theta), abs=1e-4)
    best = differences(lambda theta: nested_loglik(frame, theta), fit.theta, 1e-4)
    assert np.abs(best * fit.bse.to_numpy()).max() < 1e-2
