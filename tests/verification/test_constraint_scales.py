"""Constraints speak of parameters as they are reported, whatever the scale they are estimated on."""

import numpy as np
import pandas as pd
import pytest

import glamm

RNG = np.random.default_rng(8)
N = 500
X = RNG.normal(size=N)
G = np.repeat(np.arange(50), 10)
DATA = pd.DataFrame({"x": X, "g": G})
DATA["y"] = X + RNG.standard_t(4, size=50)[G] + RNG.normal(size=N)
DATA["z"] = X + RNG.standard_t(4, size=N)
DATA["b"] = ((RNG.random(N) < 0.2) | (RNG.random(N) < 1.0 / (1.0 + np.exp(-2.0 * X)))).astype(int)
LOWER = 'binomial(logit, asymptotes="lower")'

# a model with a constraint, its family, the parameter, its value, and the same model with it held
HELD = [
    ("y ~ student_t(1 | g); `df(1 | g)` == 6", None, "df(1 | g)", 6.0, "y ~ student_t(1 | g, df=6)"),
    ("z ~ x; `df(z)` == 6", "student_t", "df(z)", 6.0, f"z ~ x; df(z) ~ {np.log(6.0)}*1"),
    (
        "y ~ normal_mixture(1 | g, separation=2, ratio=0.5); 2*`weight(1 | g)` == 1.4",
        None,
        "weight(1 | g)",
        0.7,
        "y ~ normal_mixture(1 | g, weight=0.7, separation=2, ratio=0.5)",
    ),
    (
        "y ~ x + (1 | g); `sigma(y)` == 1.1",
        None,
        "sigma(y)",
        1.1,
        f"y ~ x + (1 | g); sigma(y) ~ {np.log(1.1)}*1",
    ),
]


@pytest.mark.parametrize(("text", "family", "name", "value", "held"), HELD)
def test_equalities(text, family, name, value, held):
    fit = glamm.fit(text, DATA, family)
    assert fit.converged
    assert fit.params[name] == pytest.approx(value, rel=1e-12)
    assert fit.bse[name] == 0.0 or np.isnan(fit.bse[name])
    assert fit.llf == pytest.approx(glamm.fit(held, DATA, family).llf, rel=1e-9)


def test_guessing_held_equal_and_bounded():
    free = glamm.fit("b ~ x", DATA, LOWER)
    guess = free.params["guess(b)"]
    held = glamm.fit(f"b ~ x; `guess(b)` == {guess}", DATA, LOWER)
    assert held.llf == pytest.approx(free.llf, rel=1e-10)
    bound = glamm.fit(f"b ~ x; `guess(b)` <= {guess / 2}", DATA, LOWER)
    assert bound.params["guess(b)"] == pytest.approx(guess / 2, rel=1e-9)
    assert bound.llf < free.llf
    slack = glamm.fit(f"b ~ x; `guess(b)` <= {guess + 0.1}", DATA, LOWER)
    assert slack.llf == pytest.approx(free.llf, rel=1e-10)


def test_gradients_of_constrained_scales():
    """A line through the range: the guess is a twentieth of a slope."""
    fit = glamm.fit("b ~ x; `b ~ x` == 20*`guess(b)`", DATA, LOWER)
    guess = fit.params["guess(b)"]
    assert fit.converged and fit.params["b ~ x"] == pytest.approx(20.0 * guess)
    near = [
        glamm.fit(f"b ~ {20.0 * g}*x; `guess(b)` == {g}", DATA, LOWER).llf
        for g in (guess - 0.004, guess, guess + 0.004)
    ]
    assert near[1] == pytest.approx(fit.llf, rel=1e-10)
    assert max(near[0], near[2]) < near[1]
    curvature = (near[0] - 2.0 * near[1] + near[2]) / 0.004**2
    # the other coefficient is maximised over, so the curvature is that of the profile
    assert fit.bse["guess(b)"] == pytest.approx((-curvature) ** -0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "family", "words"),
    [
        ("b ~ x; `guess(b)` == 1.1", LOWER, "guess(b) is between 0 and 1"),
        ("b ~ x; 1.2 < `guess(b)`", LOWER, "guess(b) is between 0 and 1"),
        ("y ~ student_t(1 | g); `df(1 | g)` <= 2", None, "df(1 | g) is above 2"),
        ("y ~ x; `sigma(y)` == -1", None, "sigma(y) is above 0"),
        ("y ~ x; -2*`sigma(y)` >= 1", None, "sigma(y) is above 0"),
        ("y ~ x + (1 | g); `sd(1 | g)` == -1", None, "sd(1 | g) is not negative"),
    ],
)
def test_values_outside_the_range_are_refused(text, family, words):
    with pytest.raises(glamm.FormulaError) as caught:
        glamm.Model(text, DATA, family)
    assert f"cannot hold: {words}" in str(caught.value) and "^" in str(caught.value)


def test_equal_guessing_of_items_is_a_label():
    rng = np.random.default_rng(5)
    eta = rng.normal(size=800)
    items = {
        f"i{k}": ((rng.random(800) < 0.2) | (rng.random(800) < 1.0 / (1.0 + np.exp(-1.5 * eta)))).astype(int)
        for k in range(4)
    }
    data = pd.DataFrame(items)
    text = "eta =~ i0 + i1 + i2 + i3"
    labels = "".join(f"; guess(i{k}) ~ label(c)*1" for k in range(4))
    equal = "".join(f"; `guess(i0)` == `guess(i{k})`" for k in range(1, 4))
    labelled = glamm.fit(text + labels, data, LOWER, std_lv=True)
    found = glamm.fit(text + equal, data, LOWER, std_lv=True)
    assert found.converged and labelled.converged
    assert found.llf == pytest.approx(labelled.llf, rel=1e-9)
    guesses = found.params[[f"guess(i{k})" for k in range(4)]]
    np.testing.assert_allclose(guesses, guesses.iloc[0], rtol=1e-10)
