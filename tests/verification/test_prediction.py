"""Predictions against integrals found by brute force, with parameters far from comfortable ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit, softmax
from scipy.stats import norm

import glamm
from glamm import registry
from glamm.graph import family_spec
from glamm.results.marginal import marginal_mean

SCHOOLS = glamm.data.load("schools")
RATINGS = glamm.data.load("ratings")
INVERSE = {"logit": expit, "probit": norm.cdf, "cloglog": lambda nu: -np.expm1(-np.exp(nu))}


def integral(function, centre, sd):
    """Return the mean of `function` over a normal predictor."""
    jump = [-centre / sd] if sd > 0.5 else None

    def integrand(u):
        return function(centre + sd * u) * norm.pdf(u)

    return quad(integrand, -12.0, 12.0, points=jump, limit=500, epsabs=1e-13)[0]


@pytest.mark.parametrize("link", INVERSE)
@pytest.mark.parametrize("sd", [0.3, 1.0, 4.0, 20.0])
def test_a_probability_over_a_wide_normal_predictor(link, sd):
    family = registry.family(family_spec(f"binomial({link})"))
    centre = np.array([0.3, 3.0, -5.0])
    found = marginal_mean(lambda nu: family.mean_value((), nu), [centre], np.full((3, 1, 1), sd**2))
    expected = [integral(INVERSE[link], nu, sd) for nu in centre]
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("sd", [0.3, 2.0, 9.0])
def test_an_exponential_mean_is_that_of_the_lognormal(sd):
    family = registry.family(family_spec("poisson"))
    found = marginal_mean(lambda nu: family.mean_value((), nu), [np.array([0.4])], np.array([[[sd**2]]]))
    assert found[0] == pytest.approx(np.exp(0.4 + sd**2 / 2), rel=1e-10)


@pytest.fixture(scope="module")
def nested():
    return glamm.fit("passed ~ ses + (1 + ses | school) + (1 | school:class)", SCHOOLS, "binomial", points=5)


def test_marginal_probability_of_three_levels(nested):
    covariance = nested.VarCorr()["school"].to_numpy()
    design = np.column_stack([np.ones(len(SCHOOLS)), SCHOOLS["ses"]])
    spread = np.sqrt(
        np.einsum("ni,ij,nj->n", design, covariance, design) + nested.params["sd(1 | school:class)"] ** 2
    )
    found = nested.predict(kind="marginal")
    for row in range(0, len(SCHOOLS), 97):
        expected = integral(expit, design[row] @ nested.fixef().to_numpy(), spread[row])
        assert found[row] == pytest.approx(expected, abs=1e-10)


def test_a_new_class_of_a_known_school_keeps_the_school(nested):
    rows = SCHOOLS.iloc[[40, 40, 40]].assign(**{"class": [2, 77, 2], "school": [2, 2, 77]})
    effects = nested.ranef()
    school = effects["school"].loc[2]
    shift = school["(Intercept)"] + school["ses"] * rows["ses"].iloc[0]
    own = effects["school:class"].loc["2:2", "(Intercept)"]
    found = (nested.predict(rows, kind="link") - nested.predict(rows, kind="linear")).to_numpy()
    np.testing.assert_allclose(found, [shift + own, shift, 0.0], atol=1e-12)


def test_category_probabilities_over_the_random_effect():
    fit = glamm.fit(
        "rating ~ length + (1 | judge); threshold(rating) ~ trained", RATINGS, "ordinal(probit)", points=5
    )
    found = fit.predict(kind="marginal").to_numpy()
    names = [f"threshold(rating)[{k}|{k + 1}]" for k in range(1, 5)]
    cuts = fit.params[names].to_numpy() + np.outer(
        RATINGS["trained"], fit.params[[f"{name} ~ trained" for name in names]]
    )
    # a cumulative probit stays one: the random effect only adds to the variance
    x = cuts - fit.params["rating ~ length"] * RATINGS["length"].to_numpy()[:, None]
    below = norm.cdf(x / np.hypot(1.0, fit.params["sd(1 | judge)"]))
    expected = np.diff(np.column_stack([np.zeros(len(x)), below, np.ones(len(x))]), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)


def test_multinomial_probabilities_over_two_random_effects():
    three = RATINGS.assign(rating=RATINGS["rating"].clip(2, 4))
    fit = glamm.fit("rating ~ length + (1 | judge)", three, "multinomial", points=5)
    covariance = fit.VarCorr()["judge"].to_numpy()
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    z = np.linspace(-8.0, 8.0, 81)
    weight = norm.pdf(z)[:, None] * norm.pdf(z) / norm.pdf(z).sum() ** 2
    grid = np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1) @ root.T
    found = fit.predict(kind="marginal").to_numpy()
    b = fit.fixef().to_numpy().reshape(2, 2)
    for row in (0, 100, 333):
        nu = b @ [1.0, three["length"][row]] + grid
        p = softmax(np.concatenate([np.zeros((81, 81, 1)), nu], axis=-1), axis=-1)
        np.testing.assert_allclose(found[row], np.einsum("ij,ijk->k", weight, p), atol=1e-6)


def test_offsets_and_weights_in_predictions():
    pumps = glamm.data.load("pumps")
    fit = glamm.fit("failures ~ 1 + offset(log(time)) + (1 | pump)", pumps, "poisson", points=9)
    twice = pumps.assign(time=2.0 * pumps["time"])
    for kind in ("response", "marginal", "conditional"):
        np.testing.assert_allclose(fit.predict(twice, kind), 2.0 * fit.predict(kind=kind), rtol=1e-12)
    level, sd = fit.params["failures ~ 1"], fit.params["sd(1 | pump)"]
    np.testing.assert_allclose(fit.predict(kind="marginal"), pumps["time"] * np.exp(level + sd**2 / 2))
    weighted = glamm.fit(
        "failures ~ 1 + offset(log(time)) + (1 | pump)",
        pumps,
        "poisson",
        {"pump": np.arange(1, 11)},
        points=25,
    )
    # a cluster's weight moves the estimates, not its own posterior
    value, spread = weighted.params["failures ~ 1"], weighted.params["sd(1 | pump)"]
    u = np.linspace(-9.0, 9.0, 4001)
    for row in range(10):
        rate = pumps["time"][row] * np.exp(value + spread * u)
        log_density = pumps["failures"][row] * np.log(rate) - rate - u**2 / 2
        density = np.exp(log_density - log_density.max())
        mean = spread * (density @ u) / density.sum()
        sd = spread * np.sqrt(density @ (u - mean / spread) ** 2 / density.sum())
        np.testing.assert_allclose(weighted.ranef()["pump"].iloc[row], [mean, sd], atol=1e-5)


def test_simulated_moments_of_every_kind_of_family():
    rng = np.random.RandomState(3)
    n = 400
    nu = np.repeat(np.linspace(-0.5, 0.8, n // 4), 4)
    data = pd.DataFrame({"x": nu, "p": rng.beta(4, 3, n), "y": rng.gamma(3.0, np.exp(nu))})
    data["t"] = data["y"]
    data["k"] = rng.negative_binomial(3, 3 / (3 + np.exp(nu)))
    data["e"] = nu + 0.5 * rng.standard_t(8, n)
    variance = {
        "gamma": (lambda m, a: m**2 / a, "y", "shape(y)"),
        "inverse_gaussian": (lambda m, a: m**3 / a, "y", "shape(y)"),
        "negative_binomial": (lambda m, a: m + m**2 / a, "k", "size(k)"),
        "beta": (lambda m, a: m * (1 - m) / (1 + a), "p", "phi(p)"),
        "student_t(identity, df=8)": (lambda m, a: a**2 * 8 / 6 + 0 * m, "e", "sigma(e)"),
        "gaussian": (lambda m, a: a**2 + 0 * m, "e", "sigma(e)"),
    }
    for family, (function, response, auxiliary) in variance.items():
        fit = glamm.fit(f"{response} ~ x", data, family)
        drawn = fit.simulate(200, seed=8).to_numpy()
        mean, expected = fit.predict().to_numpy(), function(fit.predict().to_numpy(), fit.params[auxiliary])
        error = np.sqrt(expected / drawn.shape[1])
        assert np.abs((drawn.mean(axis=1) - mean) / error).max() < 5.0, family
        assert np.mean(drawn.var(axis=1) / expected) == pytest.approx(1.0, abs=0.05), family
