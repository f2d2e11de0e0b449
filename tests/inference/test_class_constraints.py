"""Constraints and terms of single classes: the best of all places that classes may have is found."""

import warnings

import numpy as np
import pandas as pd
import pytest

import glamm

ITEMS = tuple("abde")


def item_frame(seed, persons=600, classes=2):
    """Return 0/1 items of persons in classes of different sizes."""
    rng = np.random.default_rng(seed)
    probability = np.array([(0.15, 0.3, 0.25, 0.1), (0.8, 0.7, 0.9, 0.75), (0.2, 0.85, 0.1, 0.8)])
    c = rng.choice(classes, persons, p=(0.3, 0.7) if classes == 2 else (0.2, 0.3, 0.5))
    values = (rng.random((persons, len(ITEMS))) < probability[c]).astype(int)
    return pd.DataFrame(values, columns=list(ITEMS)).assign(x=rng.standard_normal(persons))


def growth_frame(seed, persons=120):
    rng = np.random.default_rng(seed)
    c = rng.random(persons) < 0.35
    person, time = np.divmod(np.arange(4 * persons), 4)
    level = np.where(c, 3.0, 0.0) + 0.5 * rng.standard_normal(persons)
    y = level[person] + np.where(c, -0.6, 0.4)[person] * time + 0.6 * rng.standard_normal(len(person))
    return pd.DataFrame({"y": y, "time": time, "person": person})


def factor_frame(seed, persons=300):
    rng = np.random.default_rng(seed)
    eta = 3.0 * (rng.random(persons) < 0.3) + 0.7 * rng.standard_normal(persons)
    noise = 0.6 * rng.standard_normal((persons, 3))
    return pd.DataFrame(eta[:, None] * [1.0, 0.8, 1.2] + noise, columns=["u", "v", "w"])


def logliks(text, frame, family, classes, starts=None):
    """Return the log-likelihoods of a model with the constraint of one class in the place of `K`."""
    with warnings.catch_warnings():
        # of a single start nobody knows whether others would lead elsewhere
        warnings.simplefilter("ignore" if starts == 1 else "error")
        models = [glamm.Model(text.replace("K", str(k + 1)), frame, family) for k in range(classes)]
        fits = [model.fit(starts=starts) for model in models]
    assert all(fit.converged for fit in fits)
    return [fit.llf for fit in fits]


@pytest.mark.parametrize("starts", [1, None])
@pytest.mark.parametrize("seed", range(3))
def test_a_constraint_holds_in_the_class_it_suits_best(seed, starts):
    text = "c ~ classes(2); a + b + d + e ~ 0 + c; `a ~ c[K]` == `b ~ c[K]`"
    first, second = logliks(text, item_frame(seed), "binomial", 2, starts)
    assert first == pytest.approx(second, abs=1e-6)
    labels = "c ~ classes(2); d + e ~ 0 + c; a + b ~ label(s)*c[1] + c[2] - 1"
    assert first == pytest.approx(glamm.Model(labels, item_frame(seed), "binomial").fit().llf, abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_a_constraint_holds_in_one_of_three_classes(seed):
    text = "c ~ classes(3); a + b + d + e ~ 0 + c; `a ~ c[K]` == 0; `b ~ c[K]` == 2*`d ~ c[K]`"
    found = logliks(text, item_frame(seed, 1500, 3), "binomial", 3)
    assert found == pytest.approx([found[0]] * 3, abs=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_constraints_on_residual_variances_of_classes(seed):
    rng = np.random.default_rng(seed)
    c = rng.random(400) < 0.3
    frame = pd.DataFrame(
        {"y": 3.0 * c + rng.standard_normal(400), "z": 2.0 * c + (1.0 + c) * rng.standard_normal(400)}
    )
    text = "y + z ~ 0 + c; sigma(z) ~ 0 + c; c ~ classes(2); `sigma(z) ~ c[K]` == 0; `sigma(y)` == 1"
    first, second = logliks(text, frame, None, 2)
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_a_bound_orders_classes(seed):
    frame = item_frame(seed)
    text = "c ~ classes(2); a + b + d + e ~ 0 + c"
    free = glamm.Model(text, frame, "binomial").fit()
    for sign in "<>":
        fit = glamm.Model(f"{text}; `a ~ c[1]` {sign} `a ~ c[2]`", frame, "binomial").fit()
        assert fit.llf == pytest.approx(free.llf, abs=1e-6)
        assert fit.bse.notna().all()


def test_a_bound_that_no_order_meets_is_held_where_that_costs_least():
    frame = item_frame(0)
    text = "c ~ classes(2); a + b + d + e ~ 0 + c; `a ~ c[K]` > 3"
    first, second = logliks(text, frame, "binomial", 2)
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_a_constraint_beside_a_random_intercept(seed):
    text = "y ~ 0 + c + c:time + (1 | person); c | person ~ classes(2); `y ~ c[K]:time` == 0"
    first, second = logliks(text, growth_frame(seed), None, 2)
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_a_constraint_beside_a_factor(seed):
    text = "eta =~ u + v + w; eta ~ c; sigma(u) ~ 0 + c; c ~ classes(2); `sigma(u) ~ c[K]` == 0"
    first, second = logliks(text, factor_frame(seed), None, 2)
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_a_single_start_finds_the_class_that_has_a_slope(seed):
    rng = np.random.default_rng(seed)
    c, x = rng.choice(3, 300, p=(0.2, 0.3, 0.5)), rng.standard_normal(300)
    y = 1.5 * c + 1.2 * (c == 1) * x + 0.7 * rng.standard_normal(300)
    frame = pd.DataFrame({"y": y, "x": x})
    for found in logliks("c ~ classes(3); y ~ 0 + c + x:c[K]", frame, None, 3, starts=1):
        assert found == pytest.approx(
            glamm.Model("c ~ classes(3); y ~ 0 + c + x:c[1]", frame).fit().llf, abs=1e-5
        )


def test_classes_that_constraints_do_not_tell_apart_are_in_order():
    for seed in range(3):
        text = "c ~ classes(2); a + b + d + e ~ 0 + c; `a ~ c[1]` == `b ~ c[1]`; `a ~ c[2]` == `b ~ c[2]`"
        first, second = glamm.Model(text, item_frame(seed), "binomial").fit().class_sizes()["size"]
        assert first < second
