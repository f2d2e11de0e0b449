"""A latent variable on mass points is the same model as random effects on them, or as latent classes."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import glamm

POINTS = np.array([-1.5, 1.0])


def drawn(linear, rng):
    return (rng.uniform(size=len(linear)) < 1.0 / (1.0 + np.exp(-linear))).astype(int)


@pytest.fixture(scope="module")
def clustered():
    """Return 300 clusters of four binary responses about one of two points."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(300), 4)
    x = rng.normal(size=g.size)
    point = rng.choice(POINTS, 300, p=[0.4, 0.6])[g]
    return pd.DataFrame({"y": drawn(0.3 + x + point, rng), "x": x, "g": g})


@pytest.fixture(scope="module")
def items():
    """Return 600 answers to four binary items of a latent variable on two points, and a covariate."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=600)
    eta = rng.choice(POINTS, 600) + 0.5 * w
    loadings = (1.0, 1.3, 0.8, 1.1)
    answers = {f"y{j}": drawn(0.4 * (j - 1) + a * eta, rng) for j, a in enumerate(loadings)}
    return pd.DataFrame(answers | {"w": w})


def test_latent_on_points_is_a_random_intercept_on_points(clustered):
    effects = glamm.Model("y ~ x + npml(1 | g, k=2)", clustered, family="binomial").fit()
    latent = glamm.Model("eta | g ~ npml(2); y ~ x + 1*eta", clustered, family="binomial").fit()
    assert latent.llf == pytest.approx(effects.llf, abs=1e-8)
    free, centred = effects.mass_points(), latent.mass_points()
    assert list(centred.columns) == ["eta", "se_eta", "mass", "se_mass"]
    np.testing.assert_allclose(centred["mass"], free["mass"], atol=1e-6)
    np.testing.assert_allclose(centred["se_mass"], free["se_mass"], rtol=1e-4)
    mean = free["mass"] @ free["1"]
    np.testing.assert_allclose(centred["eta"], free["1"] - mean, atol=1e-5)
    assert latent.params["1" if "1" in latent.params else "y ~ 1"] == pytest.approx(mean, abs=1e-5)
    assert (centred["se_eta"] > 0.0).all()


def test_two_points_of_a_factor_are_two_classes(items):
    factor = glamm.Model("eta =~ y0 + y1 + y2 + y3; eta ~ npml(2)", items, family="binomial").fit()
    classes = "c ~ classes(2); y0 ~ c; y1 ~ c; y2 ~ c; y3 ~ c"
    assert factor.llf == pytest.approx(glamm.Model(classes, items, family="binomial").fit().llf, abs=1e-7)
    points = factor.mass_points()
    assert points["mass"] @ points["eta"] == pytest.approx(0.0, abs=1e-8)
    assert points["eta"].diff().abs().iloc[-1] > 1.0


def test_points_and_a_covariate(items):
    fit = glamm.Model("eta =~ y0 + y1 + y2 + y3; eta ~ npml(2) + w", items, family="binomial").fit()
    without = glamm.Model("eta =~ y0 + y1 + y2 + y3; eta ~ npml(2)", items, family="binomial").fit()
    assert fit.converged
    assert fit.llf > without.llf + 5.0
    assert fit.params["eta ~ w"] == pytest.approx(0.5, abs=0.2)


def test_the_number_of_points_of_a_latent_variable_is_found():
    rng = np.random.default_rng(4)
    eta = rng.choice([-1.2, 0.2, 2.0], 800, p=[0.4, 0.4, 0.2])
    nu = 1.5 * eta[:, None] + 0.3 * np.arange(6)
    data = pd.DataFrame((rng.random((800, 6)) < expit(nu)).astype(int), columns=[f"y{k}" for k in range(6)])
    text = "eta =~ y0 + y1 + y2 + y3 + y4 + y5; eta ~ npml({})"
    found = glamm.fit(text.format('"auto"'), data, "binomial")
    fits = {k: glamm.fit(text.format(k), data, "binomial") for k in (2, 3, 4)}
    assert fits[2].llf < fits[3].llf - 1.0
    assert fits[4].llf == pytest.approx(fits[3].llf, abs=1e-4)
    assert len(found.params) == len(fits[3].params)
    assert found.llf == pytest.approx(fits[3].llf, abs=1e-6)
