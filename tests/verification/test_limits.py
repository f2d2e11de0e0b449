"""Parameters whose estimate lies at the limit of their range: the fit is that of the simpler distribution."""

import numpy as np
import pandas as pd
import pytest

import glamm

RNG = np.random.default_rng(0)
X = RNG.normal(size=500)
DATA = pd.DataFrame({"x": X, "n": RNG.poisson(np.exp(0.5 * X)), "g": np.repeat(np.arange(50), 10)})
DATA["y"] = X + RNG.normal(size=500)
LIMIT = "limit of its range"
LOWER = 'binomial(logit, asymptotes="lower")'


@pytest.mark.parametrize(
    ("text", "family", "simpler", "name"),
    [
        ("n ~ x", "negative_binomial", "poisson", "size(n)"),
        ("n ~ x + (1 | g)", "negative_binomial", "poisson", "size(n)"),
        ("y ~ x", "student_t", "gaussian", "df(y)"),
    ],
)
def test_the_fit_of_the_simpler_distribution(text, family, simpler, name):
    found, plain = glamm.fit(text, DATA, family), glamm.fit(text, DATA, simpler)
    assert found.converged and "limit of their range" in found.status
    assert found.llf == pytest.approx(plain.llf, abs=1e-5)
    assert found.params[name] > 1e8
    assert LIMIT in found.missing_errors[name] and len(found.missing_errors) == 1
    shared = plain.params.index
    np.testing.assert_allclose(found.params[shared], plain.params, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.bse[shared], plain.bse, rtol=1e-3)
    assert LIMIT in str(found.summary())


def items(seed, guess):
    rng = np.random.default_rng(seed)
    eta = rng.normal(size=1000)
    data = {}
    for k in range(5):
        knows = rng.random(1000) < 1.0 / (1.0 + np.exp(-(1.5 * eta + 0.5 * (k - 2))))
        data[f"i{k}"] = (knows | (rng.random(1000) < guess[k])).astype(int)
    return pd.DataFrame(data)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_items_without_guessing(seed):
    data = items(seed, [0.0, 0.0, 0.3, 0.0, 0.0])
    text = "eta =~ i0 + i1 + i2 + i3 + i4"
    found = glamm.fit(text, data, LOWER, std_lv=True)
    assert found.converged, found.status
    guesses = found.params.filter(like="guess")
    at = guesses.index[guesses < 1e-8]
    assert len(at) >= 1
    assert set(found.missing_errors) == set(at)
    # with those held at zero the likelihood is the same
    held = "".join(f"; family({name[6:-1]}) = binomial" for name in at)
    others = "".join(
        f'; family({name[6:-1]}) = binomial(logit, asymptotes="lower")'
        for name in guesses.index.difference(at)
    )
    plain = glamm.fit(text + held + others, data, std_lv=True)
    assert found.llf == pytest.approx(plain.llf, abs=1e-5)
    kept = plain.params.index
    np.testing.assert_allclose(found.bse[kept], plain.bse[kept], rtol=2e-2)


def test_a_limit_that_constraints_shut_out_is_not_tried():
    found = glamm.fit("n ~ x; `size(n)` <= 50", DATA, "negative_binomial")
    assert found.params["size(n)"] == pytest.approx(50.0)
    assert found.converged


@pytest.mark.parametrize("seed", [0, 5, 7])
def test_items_as_rows(seed):
    """Long data, an asymptote for each item: coefficients of the items' dummies."""
    wide = items(seed, [0.25, 0.25, 0.3, 0.0, 0.25])
    long = wide.reset_index(names="person").melt("person", var_name="item", value_name="y")
    text = "y ~ 0 + item; eta | person =~ y:item; guess(y) ~ 0 + item"
    rows = glamm.fit(text, long, LOWER, std_lv=True, points=21)
    columns = glamm.fit("eta =~ i0 + i1 + i2 + i3 + i4", wide, LOWER, std_lv=True, points=21)
    assert rows.converged and columns.converged
    assert rows.llf == pytest.approx(columns.llf, abs=1e-6)
    assert len(rows.missing_errors) == len(columns.missing_errors) > 0
