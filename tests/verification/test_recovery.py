"""Fits give back the parameters that made the data, drawn here with NumPy and by `simulate`.

Estimates must lie within four of their standard errors. Seeds are fixed; a right program misses for about
one seed in a thousand.
"""

import numpy as np
import pandas as pd
import pytest

import glamm


def three_level_counts(rng):
    """Return counts of 6 pupils in each of 4 classes of 60 schools."""
    school, place = np.repeat(np.arange(60), 24), np.repeat(np.arange(240), 6)
    x = rng.normal(size=1440)
    effects = 0.5 * rng.normal(size=60)[school] + 0.4 * rng.normal(size=240)[place]
    y = rng.poisson(np.exp(0.6 + 0.3 * x + effects))
    return pd.DataFrame({"y": y, "x": x, "school": school, "klass": place % 4})


def location_scale(rng):
    """Return 10 measurements of each of 150 persons, who differ in level and in spread."""
    person = np.repeat(np.arange(150), 10)
    x, z = rng.normal(size=1500), rng.binomial(1, 0.5, 1500)
    u, v = rng.normal(size=(2, 150))[:, person]
    y = 1.0 + 0.5 * x + 0.8 * u + np.exp(-0.3 + 0.4 * z + 0.4 * v) * rng.normal(size=1500)
    return pd.DataFrame({"y": y, "x": x, "z": z, "id": person})


CASES = {
    "three-level poisson": (
        three_level_counts,
        "y ~ x + (1 | school/klass)",
        "poisson",
        {"y ~ 1": 0.6, "y ~ x": 0.3, "sd(1 | school)": 0.5, "sd(1 | school:klass)": 0.4},
    ),
    "location and scale": (
        location_scale,
        "y ~ x + (1 | id); sigma(y) ~ z + (1 | id)",
        "gaussian",
        {
            "y ~ 1": 1.0,
            "y ~ x": 0.5,
            "sigma(y) ~ 1": -0.3,
            "sigma(y) ~ z": 0.4,
            "sd(1 | id)": 0.8,
            "sd(sigma(y): 1 | id)": 0.4,
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_recovered(name):
    make, text, family, truth = CASES[name]
    data = make(np.random.RandomState(17))
    fit = glamm.fit(text, data, family, points=5)
    assert set(fit.params.index) == set(truth)
    assert np.abs((fit.params - pd.Series(truth)) / fit.bse).max() < 4.0
    again = glamm.fit(text, data.assign(**fit.simulate(seed=4)), family, points=5)
    assert np.abs((again.params - fit.params) / again.bse).max() < 4.0
    # the information is a property of the design: it hardly moves between samples
    np.testing.assert_allclose(again.bse, fit.bse, rtol=0.3)
