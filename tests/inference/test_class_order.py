"""Classes come in order of their sizes, or locations, also where other parameters have to move for it."""

import numpy as np
import pandas as pd
import pytest
from class_problems import item_frame, multilevel, multilevel_frame, nested, nested_frame, shifted

import glamm
from glamm.inference.discrete import objective_for
from glamm.inference.mixtures import classes_of
from glamm.inference.mixtures_permutations import permute


def ordinal_frame(seed, persons=400):
    rng = np.random.default_rng(seed)
    c = rng.random(persons) < 0.3
    values = {
        f"o{k}": np.digitize(2.5 * c + 0.2 * k + rng.logistic(size=persons), [-0.5, 1.0, 2.5])
        for k in range(4)
    }
    return pd.DataFrame(values)


def factor_frame(seed, persons=300):
    rng = np.random.default_rng(seed)
    eta = 3.0 * (rng.random(persons) < 0.3) + 0.7 * rng.standard_normal(persons)
    values = {
        f"i{k}": k + loading * eta + 0.6 * rng.standard_normal(persons)
        for k, loading in enumerate((1.0, 0.8, 1.2), start=1)
    }
    return pd.DataFrame(values | {"x": eta + rng.standard_normal(persons)})


MODELS = {
    "thresholds of items": ("c =~ o0 + o1 + o2 + o3; c ~ classes(3)", ordinal_frame, "ordinal"),
    "thresholds and scales": ("o0 + o1 ~ c; scale(o0) ~ 0 + c[1]; c ~ classes(2)", ordinal_frame, "ordinal"),
    "steps": ("c =~ o0 + o1 + o2 + o3; c ~ classes(3)", ordinal_frame, "adjacent"),
    "sequential thresholds": ("c =~ o0 + o1 + o2 + o3; c ~ classes(2)", ordinal_frame, "sequential"),
    "intercepts of indicators": ("eta =~ i1 + i2 + i3; eta ~ c; c ~ classes(3)", factor_frame, None),
    "latent standard deviations": (
        "eta =~ i1 + i2 + i3; eta ~ c; sd(eta) ~ c; c ~ classes(3)",
        factor_frame,
        None,
    ),
    "loadings": ("eta ~ 0; eta ~~ eta; i1 ~ 1*eta; i2 + i3 ~ eta*c; c ~ classes(2)", factor_frame, None),
    "a membership model with a factor": (
        "eta =~ i1 + i2 + i3; x ~ c; c ~ classes(3) + eta",
        factor_frame,
        None,
    ),
    "a factor on mass points": ("eta =~ i1 + i2 + i3; eta ~ npml(3)", factor_frame, None),
    "thresholds of a factor's items": (
        "eta =~ o0 + o1 + o2; eta ~ c; c ~ classes(3)",
        ordinal_frame,
        "ordinal",
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(2))
def test_a_permutation_moves_whatever_has_to_move(name, seed):
    text, frame, family = MODELS[name]
    plan = glamm.Model(text, frame(seed, 60), family).lowered.plan
    objective = objective_for(plan, 5)
    theta = shifted(plan.start, seed, 0.3)
    (classes,) = classes_of(plan)
    turn = np.roll(np.arange(classes.count), 1)
    moved = permute(plan, classes, theta, turn)
    assert np.abs(moved - theta).max() > 0.01
    assert objective.value(moved) == pytest.approx(objective.value(theta), rel=1e-11)
    np.testing.assert_allclose(permute(plan, classes, moved, np.argsort(turn)), theta, atol=1e-7)


@pytest.mark.parametrize("model", [multilevel(multilevel_frame()), nested(nested_frame())])
def test_classes_of_each_level_are_permuted(model):
    plan = model.lowered.plan
    objective = objective_for(plan, 7)
    theta = shifted(plan.start)
    for classes in classes_of(plan):
        moved = permute(plan, classes, theta, np.array([1, 0]))
        assert np.abs(moved - theta).max() > 0.01
        assert objective.value(moved) == pytest.approx(objective.value(theta), rel=1e-11)


@pytest.mark.parametrize("seed", range(1, 4))
def test_sizes_of_classes_of_ordinal_items_ascend(seed):
    fit = glamm.Model("c =~ o0 + o1 + o2 + o3; c ~ classes(2)", ordinal_frame(seed), "ordinal").fit()
    assert fit.converged
    first, second = fit.class_sizes()["size"]
    assert first < second


@pytest.mark.parametrize("seed", range(3))
def test_sizes_of_classes_of_a_factor_ascend(seed):
    fit = glamm.Model("eta =~ i1 + i2 + i3; eta ~ c; c ~ classes(2)", factor_frame(seed)).fit()
    assert fit.converged
    first, second = fit.class_sizes()["size"]
    assert first < second


@pytest.mark.parametrize("seed", range(1, 4))
def test_locations_of_a_factor_on_mass_points_ascend(seed):
    fit = glamm.Model("eta =~ i1 + i2 + i3; eta ~ npml(3)", factor_frame(seed)).fit()
    assert (np.diff(fit.mass_points()["eta"]) > 0.0).all()


def test_classes_stay_where_constraints_tell_them_apart():
    frame = item_frame(400)
    free = glamm.Model("c =~ a + b + d; c ~ classes(2)", frame, "binomial").lowered.plan
    text = "c =~ a + b + d; c ~ classes(2); `a ~ c[{}]` == `b ~ c[{}]`"
    one = glamm.Model(text.format(1, 1), frame, "binomial").lowered.plan
    both = glamm.Model(text.format(1, 1) + "; `a ~ c[2]` == `b ~ c[2]`", frame, "binomial").lowered.plan
    theta = shifted(free.start)
    theta[2:4] = theta[:2]
    (classes,) = classes_of(free)
    turn = np.array([1, 0])
    np.testing.assert_allclose(permute(both, classes, theta, turn), permute(free, classes, theta, turn))
    theta[3] += 0.5
    assert permute(one, classes, theta, turn) is None
