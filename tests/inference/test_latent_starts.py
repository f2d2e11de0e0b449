"""Starting values of models with named latent variables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glamm
from glamm.inference import maximise
from glamm.inference.objective import Objective
from glamm.inference.starts import starting_values

ITEMS = {"f": ("x1", "x2", "x3", "x4"), "g": ("y1", "y2", "y3"), "h": ("z1", "z2", "z3")}
STRUCTURE = "g ~ f; h ~ f + g"


def measurement(items=ITEMS):
    return "\n".join(f"{factor} =~ {' + '.join(own)}" for factor, own in items.items())


def factors(rng, n):
    f = rng.normal(size=n)
    g = 0.6 * f + 0.8 * rng.normal(size=n)
    h = 0.3 * f - 0.5 * g + 0.8 * rng.normal(size=n)
    return {"f": f, "g": g, "h": h}


def simulated(seed, n=400, scales=None, items=ITEMS):
    """Return responses with loadings between 0.5 and 1.5 on unit residuals, all times their scales."""
    rng = np.random.default_rng(seed)
    values = factors(rng, n)
    columns = [item for own in items.values() for item in own]
    scales = dict.fromkeys(columns, 1.0) if scales is None else dict(zip(columns, scales, strict=True))
    return pd.DataFrame(
        {
            item: scales[item] * (rng.uniform(0.5, 1.5) * values[factor] + rng.normal(size=n))
            for factor, own in items.items()
            for item in own
        }
    )


def plan_of(text, data, family=None, **options):
    return glamm.Model(text, data, family, **options).lowered.plan


def natural(text, data, family=None, **options):
    """Return starting values and estimates by name."""
    model = glamm.Model(text, data, family, **options)
    table = model.lowered.parameters
    start = table.natural(starting_values(model.lowered.plan).theta)
    return dict(zip(table.names, start, strict=True)), model.fit().params


@pytest.mark.parametrize("text", ["", STRUCTURE])
@pytest.mark.parametrize("std_lv", [False, True])
@given(
    seed=st.integers(0, 2**20),
    powers=st.lists(st.floats(-3.0, 3.0), min_size=10, max_size=10),
)
@settings(max_examples=4, deadline=None)
def test_indicators_of_any_scale_converge(text, std_lv, seed, powers):
    data = simulated(seed, scales=[10.0**p for p in powers])
    found = maximise(plan_of(f"{measurement()}\n{text}", data, std_lv=std_lv))
    plain = maximise(plan_of(f"{measurement()}\n{text}", simulated(seed), std_lv=std_lv))
    assert found.converged
    assert found.iterations <= 40
    shift = len(data) * np.log(10.0) * sum(powers)
    np.testing.assert_allclose(found.loglik, plain.loglik - shift, rtol=0, atol=1e-5)


def test_start_is_near_the_maximum_of_a_structural_model():
    start, found = natural(f"{measurement()}\n{STRUCTURE}", simulated(1, 2000))
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.15), name


def test_start_is_better_than_loadings_of_one():
    plan = plan_of(f"{measurement()}\n{STRUCTURE}", simulated(2))
    start, objective = starting_values(plan), Objective(plan, 1)
    (other,) = start.others
    best = maximise(plan).loglik
    assert best - objective.value(start.theta) < 0.05 * (best - objective.value(other))


def test_scale_of_an_outcome_with_a_held_disturbance():
    start, found = natural(f"{measurement()}\n{STRUCTURE}", simulated(3, 2000), std_lv=True)
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.2), name


def test_indicators_that_run_the_other_way():
    data = simulated(4, 2000).assign(x1=lambda d: -d.x1, x3=lambda d: -d.x3)
    start, found = natural("f =~ x1 + x2 + x3 + x4", data)
    assert found["f =~ x2"] < 0.0 < found["f =~ x3"]
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.15), name


def test_missing_values_are_tolerated():
    data = simulated(5, 2000)
    gone = np.random.default_rng(6).uniform(size=data.shape) < 0.3
    start, found = natural(measurement(), data.mask(gone))
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.2), name


def test_covariates_of_latent_variables():
    rng = np.random.default_rng(7)
    data = simulated(8, 2000)
    w = rng.normal(size=len(data))
    for item, loading in zip(ITEMS["f"], (1.0, 0.8, 0.6, 0.7), strict=True):
        data[item] = loading * (1.5 * w + rng.normal(size=len(data))) + 0.5 * rng.normal(size=len(data))
    start, found = natural("f =~ x1 + x2 + x3 + x4; f ~ w", data.assign(w=w))
    assert found["f ~ w"] == pytest.approx(1.5, abs=0.15)
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.15), name


def test_a_factor_of_factors():
    rng = np.random.default_rng(9)
    general = rng.normal(size=2000)
    data = simulated(10, 2000)
    for own, weight in zip(ITEMS.values(), (1.0, 0.8, 1.2), strict=True):
        value = weight * general + 0.7 * rng.normal(size=2000)
        for item in own:
            data[item] = value + rng.normal(size=2000)
    start, found = natural(f"{measurement()}\ntop =~ f + g + h", data)
    assert found["top =~ h"] == pytest.approx(1.2, abs=0.15)
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.2), name


def test_shared_loadings_start_as_one_number():
    plan = plan_of("f =~ x1 + label(b)*x2 + label(b)*x3 + x4", simulated(11))
    assert maximise(plan).converged
    model = glamm.Model("f =~ x1 + label(b)*x2 + label(b)*x3 + x4", simulated(11))
    start = dict(zip(model.names, model.lowered.parameters.natural(starting_values(plan).theta), strict=True))
    assert start["f =~ x2"] == start["f =~ x3"]


def test_loadings_of_levels_are_told_apart():
    rng = np.random.default_rng(12)
    cluster = np.repeat(np.arange(150), 10)
    within, between = rng.normal(size=1500), rng.normal(size=150)[cluster]
    data = pd.DataFrame(
        {
            "cluster": cluster,
            "a": within + between + rng.normal(size=1500),
            "b": 0.5 * within + 1.5 * between + rng.normal(size=1500),
            "c": 1.2 * within + 0.7 * between + rng.normal(size=1500),
        }
    )
    start, found = natural("w =~ a + b + c; v | cluster =~ a + b + c", data)
    assert found["v =~ b"] == pytest.approx(1.5, abs=0.3)
    for name in start:
        assert start[name] == pytest.approx(found[name], abs=0.25), name


def test_binary_indicators_start_in_the_right_order():
    rng = np.random.default_rng(13)
    theta = rng.normal(size=3000)
    loadings = {"a": 0.5, "b": 1.0, "c": 2.0, "d": -1.0}
    data = pd.DataFrame(
        {k: (rng.uniform(size=3000) < 1.0 / (1.0 + np.exp(-v * theta))) * 1.0 for k, v in loadings.items()}
    )
    start, _ = natural("t =~ a + b + c + d", data, "binomial", std_lv=True)
    assert 0.0 < start["t =~ a"] < start["t =~ b"] < start["t =~ c"]
    assert start["t =~ d"] < 0.0


def test_starting_values_of_the_text_come_first():
    text = "f =~ x1 + start(0.3)*x2 + x3; f ~~ start(0.4)*f"
    data = simulated(14)
    model = glamm.Model(text, data)
    start = starting_values(model.lowered.plan)
    for theta in (start.theta, *start.others):
        named = dict(zip(model.names, model.lowered.parameters.natural(theta), strict=True))
        assert named["f =~ x2"] == 0.3
        assert named["f ~~ f"] == pytest.approx(0.4)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_coordinates_follow_the_scale_of_the_data(scale):
    text = f"{measurement()}\n{STRUCTURE}; f ~~ label(v)*f; v > 0"
    data = simulated(15)
    plain = starting_values(plan_of(text, data)).coordinates.unit
    data[list(ITEMS["g"])] *= scale
    model = glamm.Model(text, data)
    unit = starting_values(model.lowered.plan).coordinates.unit
    factor = dict.fromkeys(model.names, 1.0)
    factor |= {f"{y} ~ 1": scale for y in ITEMS["g"]} | {"g ~ f": scale, "h ~ g": 1.0 / scale}
    rows = [row for row in model.lowered.parameters.rows if len(row.place) == 1]
    for row in rows:
        (k,) = row.place
        assert unit[k] / plain[k] == pytest.approx(factor[row.name], rel=1e-6), row.name
