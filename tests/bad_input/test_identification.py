"""Models that no data can tell apart are refused by name; those that data can are not."""

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile import checks_identified
from glamm.compile.checks_moments import flat_directions
from glamm.errors import DataError
from glamm.inference import Objective

N = 120


def make_data():
    rng = np.random.default_rng(7)
    eta, xi = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], N).T
    g = np.repeat(np.arange(30), 4)
    school = rng.normal(size=30)
    return pd.DataFrame(
        {f"i{k}": 0.8 * eta + rng.normal(size=N) for k in (1, 2, 3, 4)}
        | {f"j{k}": 0.8 * xi + rng.normal(size=N) for k in (1, 2, 3)}
        | {f"b{k}": (eta + rng.logistic(size=N) > 0).astype(int) for k in (1, 2, 3, 4)}
        | {f"s{k}": (school + rng.normal(size=30))[g] for k in (1, 2, 3)}
        | {"y": eta + rng.normal(size=N), "x": rng.normal(size=N), "z": rng.normal(size=N), "g": g}
        | {"t": np.arange(N) % 4, "f": np.resize(list("abc"), N), "w": rng.normal(size=30)[g]}
    )


DATA = make_data()
FACTOR = "eta =~ i1 + i2 + i3"
SCHOOL = "climate | g =~ s1 + s2 + s3; s1 + s2 + s3 | g ~ 1"

SCALE = "nothing sets the scale of 'eta'"
LOCATION = "nothing sets the location of 'eta'"
FEW = "'eta' has too few indicators"

UNIDENTIFIED = {
    "one indicator": ("eta =~ i1", ["sigma(i1)", "eta ~~ eta"], FEW),
    "one indicator that predicts": (
        "eta =~ i1; y ~ eta",
        ["y ~ eta", "sigma(y)", "sigma(i1)", "eta ~~ eta"],
        FEW,
    ),
    "two indicators": ("eta =~ i1 + i2", ["sigma(i1)", "eta =~ i2", "sigma(i2)", "eta ~~ eta"], FEW),
    "two indicators of schools": (
        f"climate | g =~ s1 + s2; s1 + s2 | g ~ 1; {FACTOR}",
        ["sigma(s1)", "climate =~ s2", "sigma(s2)", "climate ~~ climate"],
        "'climate' has too few indicators",
    ),
    "residual covariance": (
        f"{FACTOR}; i1 ~~ i2",
        ["sigma(i1)", "sigma(i2)", "eta =~ i3", "sigma(i3)", "i1 ~~ i2", "eta ~~ eta"],
        FEW,
    ),
    "no marker": ("eta =~ NA*i1 + i2 + i3", ["eta =~ i1", "eta =~ i2", "eta =~ i3", "eta ~~ eta"], SCALE),
    "equal loadings": (
        "eta =~ label(a)*i1 + label(a)*i2 + label(a)*i3",
        ["eta =~ i1", "eta =~ i2", "eta =~ i3", "eta ~~ eta"],
        SCALE,
    ),
    "a bound is no marker": (
        "eta =~ NA*i1 + i2 + i3; `eta =~ i1` > 0",
        ["eta =~ i1", "eta =~ i2", "eta =~ i3", "eta ~~ eta"],
        SCALE,
    ),
    "binary items": (
        "eta =~ NA*b1 + b2 + b3",
        ["eta =~ b1", "eta =~ b2", "eta =~ b3", "eta ~~ eta"],
        SCALE,
    ),
    "two binary items": ("eta =~ b1 + b2", ["eta =~ b2", "eta ~~ eta"], SCALE),
    "a factor of its own for each answer": ("b1 ~ 1 + e; e ~~ 1*e", ["b1 ~ e"], "changes nothing"),
    "student's t": (
        "eta =~ NA*i1 + i2 + i3; eta ~ student_t(df=5)",
        ["eta =~ i1", "eta =~ i2", "eta =~ i3", "eta ~~ eta"],
        SCALE,
    ),
    "standard deviation": (
        "eta =~ NA*i1 + i2 + i3; sd(eta) ~ x",
        ["eta =~ i1", "eta =~ i2", "eta =~ i3", "sd(eta) ~ 1"],
        SCALE,
    ),
    "without indicators": (
        f"mean | g ~ w; {FACTOR}; eta ~ mean",
        ["mean ~ w", "eta ~ mean", "mean ~~ mean"],
        "nothing sets the scale of 'mean'",
    ),
    "without indicators, in a product": (
        "y ~ x + mean:x; mean | g ~ 0",
        ["y ~ mean:x", "mean ~~ mean"],
        "nothing sets the scale of 'mean'",
    ),
    "intercept": (f"{FACTOR}; eta ~ 1", ["i1 ~ 1", "i2 ~ 1", "i3 ~ 1", "eta ~ 1"], LOCATION),
    "direct effects": (
        f"{FACTOR}; i1 ~ x; i2 ~ x; i3 ~ x; eta ~ x",
        ["i1 ~ x", "i2 ~ x", "i3 ~ x", "eta ~ x"],
        "hold one of them",
    ),
    "regression and covariance": (
        f"{FACTOR}; xi =~ j1 + j2 + j3; xi ~ eta; eta ~~ xi",
        ["xi ~ eta", "xi ~~ xi", "eta ~~ xi"],
        "hold one of them",
    ),
    "no variance": ("eta =~ i1 + i2; eta ~~ 0*eta", ["eta =~ i2"], "changes nothing"),
}


@pytest.mark.parametrize("name", UNIDENTIFIED)
def test_what_moves_together_is_named(name):
    text, moved, words = UNIDENTIFIED[name]
    with pytest.raises(DataError) as caught:
        glamm.Model(text, DATA, "binomial" if "b1" in text else None)
    (problem,) = caught.value.problems
    assert problem.span is not None and problem.hint
    first = problem.message.partition(" can move")[0].partition(" changes")[0]
    named = first.removeprefix("not identified: ").strip("`").split("`, `")
    assert sorted(named) == sorted(moved)
    assert words in str(caught.value)


def test_two_reasons_are_two_problems():
    with pytest.raises(DataError) as caught:
        glamm.Model("eta =~ NA*i1 + i2 + i3; eta ~ 1", DATA)
    messages = [problem.message for problem in caught.value.problems]
    assert [sum(cause in message for message in messages) for cause in (SCALE, LOCATION)] == [1, 1]
    assert len(messages) == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("eta =~ i1", "i1 ~~ 0.5*i1"),
        ("eta =~ NA*i1 + i2 + i3", "eta =~ 1*i1 + ..., or its variance, eta ~~ 1*eta"),
        (f"{FACTOR}; eta ~ 1", "i1 ~ 0"),
    ],
)
def test_the_hint_helps(text, hint):
    with pytest.raises(DataError) as caught:
        glamm.Model(text, DATA)
    assert hint in caught.value.problems[0].hint


IDENTIFIED = {
    "three indicators": FACTOR,
    "two factors of two": "eta =~ i1 + i2; xi =~ j1 + j2",
    "equal loadings of two": "eta =~ 1*i1 + 1*i2",
    "held residual variance": "eta =~ i1; i1 ~~ 0.5*i1; y ~ eta",
    "held by a constraint": "eta =~ NA*i1 + i2 + i3; `eta =~ i1` == 1",
    "held by equal labels": f"{FACTOR}; i1 ~~ label(v)*i1; i2 ~~ label(v)*i2; i3 ~~ label(v)*i3",
    "intercept without an indicator's": f"{FACTOR}; eta ~ 1; i1 ~ 0",
    "one direct effect": f"{FACTOR}; eta ~ x; i2 ~ x",
    "residual covariance": "eta =~ i1 + i2 + i3 + i4; i1 ~~ i2",
    "interaction": f"{FACTOR}; xi =~ j1 + j2 + j3; y ~ eta + xi + eta:xi",
    "two levels": f"{SCHOOL}; climate ~ w; {FACTOR}; eta ~ climate + x",
    "random intercept of a latent": f"{FACTOR}; eta ~ x + (1 | g)",
    "growth": "b0 | g =~ 1*y; b1_ | g =~ 1*y:t; y ~ t",
    "years": "b0 | g =~ 1*y; b1_ | g =~ 1*y:year; y ~ year",
    "standard deviations": f"{FACTOR}; sd(eta) ~ f",
    "rare category": f"{FACTOR}; eta ~ rare",
    "rare loading": "y ~ 0 + rare; eta | g =~ 1*y + y:odd",
    "binary items": "eta =~ b1 + b2 + b3 + b4",
    "latent classes": f"{FACTOR}; c ~ classes(2); eta ~ c",
    "mass points": f"{FACTOR}; eta ~ npml(2)",
    "skew": f"{FACTOR}; eta ~ skew_normal()",
}


@pytest.mark.parametrize("name", IDENTIFIED)
def test_identified_models_are_not_refused(name):
    rare = np.where(DATA.index == 77, "b", "a")
    data = DATA.assign(year=1990 + DATA.t, rare=rare, odd=(DATA.index >= 116).astype(float))
    glamm.Model(IDENTIFIED[name], data, "binomial" if "b1 +" in IDENTIFIED[name] else None)


def test_indicators_never_observed_together():
    data = pd.DataFrame(
        {
            "i1": DATA.i1.where(DATA.index < 60),
            "i2": DATA.i2.where(DATA.index >= 60),
            "i3": DATA.i3.where(DATA.index >= 60),
        }
    )
    with pytest.raises(DataError, match="not identified"):
        glamm.Model(FACTOR, data)
    together = data.assign(i1=DATA.i1.where(DATA.index < 100))
    glamm.Model(FACTOR, together)


@pytest.mark.parametrize("name", ["two indicators", "no marker", "intercept", "direct effects"])
def test_the_log_likelihood_is_flat_along_what_is_named(name, monkeypatch):
    plans = []

    def remember(plan):
        plans.append(plan)
        return flat_directions(plan)

    monkeypatch.setattr(checks_identified, "flat_directions", remember)
    with pytest.raises(DataError):
        glamm.Model(UNIDENTIFIED[name][0], DATA)
    flat = flat_directions(plans[0])
    _, gradient = Objective(plans[0], 1).value_and_gradient(flat.theta)
    assert flat.directions.shape[1] == 1
    direction = flat.directions[:, 0] / np.linalg.norm(flat.directions[:, 0])
    assert abs(gradient @ direction) < 1e-10 * np.linalg.norm(gradient)
