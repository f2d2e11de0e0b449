"""Scores, predictions and simulations of models with latent variables, against dense integration."""

import numpy as np
import pandas as pd
import pytest
from results_at import grid, moments, result_at
from scipy.special import expit
from scipy.stats import norm, poisson

import glamm

RNG = np.random.default_rng(5)
N = 12


def numbers(*names, n=N):
    return pd.DataFrame({name: RNG.normal(size=n).round(2) for name in names})


def binary(*names, n=N):
    return pd.DataFrame({name: RNG.integers(0, 2, n) for name in names})


# ------------------------------------------------ one latent variable

ITEMS = ["a", "b", "c"]
BINARY = pd.concat([binary(*ITEMS), numbers("w")], axis=1).set_index(pd.Index([f"r{k}" for k in range(N)]))
BINARY.loc["r3", "b"] = np.nan
MIMIC = "theta =~ a + b + c; theta ~ w; c ~ w"
MIMIC_AT = {
    "a ~ 1": 0.2,
    "b ~ 1": -0.4,
    "theta =~ b": 1.3,
    "c ~ 1": 0.1,
    "c ~ w": -0.5,
    "theta =~ c": 0.7,
    "theta ~ w": 0.6,
    "theta ~~ theta": 1.4,
}


def mimic_predictors(u, w):
    """Return theta and the linear predictors of the items."""
    p = MIMIC_AT
    theta = p["theta ~ w"] * w + np.sqrt(p["theta ~~ theta"]) * u
    return theta, {
        "a": p["a ~ 1"] + theta,
        "b": p["b ~ 1"] + p["theta =~ b"] * theta,
        "c": p["c ~ 1"] + p["c ~ w"] * w + p["theta =~ c"] * theta,
    }


def mimic_posterior(row):
    """Return grid points and weights given the items of a row."""
    (u,), weight = (part.T if part.ndim > 1 else part for part in grid(1, step=0.02))
    _, nu = mimic_predictors(u, row["w"])
    for item in ITEMS:
        if np.isfinite(row[item]):
            weight = weight * np.where(row[item] == 1, expit(nu[item]), expit(-nu[item]))
    return u, weight


@pytest.fixture(scope="module")
def mimic():
    return result_at(MIMIC, BINARY, "binomial", MIMIC_AT)


def test_scores_of_rows(mimic):
    frame = mimic.latent()["row"]
    assert list(frame.columns) == ["theta", "sd_theta"]
    assert frame.index.equals(BINARY.index)
    for label, row in BINARY.iterrows():
        u, weight = mimic_posterior(row)
        theta, _ = mimic_predictors(u, row["w"])
        np.testing.assert_allclose(frame.loc[label], moments(weight, theta), atol=1e-7)
    assert mimic.ranef() == {}


def test_conditional_predictions_are_at_the_scores(mimic):
    scores = mimic.latent()["row"]["theta"]
    p = MIMIC_AT
    nu = p["c ~ 1"] + p["c ~ w"] * BINARY["w"] + p["theta =~ c"] * scores
    np.testing.assert_allclose(mimic.predict(kind="link")["c"], nu, rtol=1e-10)
    np.testing.assert_allclose(mimic.predict()["c"], expit(nu), rtol=1e-10)
    # the row without the item has a prediction for new data, where every row is a new one
    assert np.isnan(mimic.predict()["b"]["r3"])
    assert np.isfinite(mimic.predict(BINARY)["b"]["r3"])


def test_new_rows_have_the_structural_part(mimic):
    theta = MIMIC_AT["theta ~ w"] * BINARY["w"]
    nu = MIMIC_AT["b ~ 1"] + MIMIC_AT["theta =~ b"] * theta
    for found in (mimic.predict(BINARY), mimic.predict(BINARY[["w"]]), mimic.predict(BINARY, random="zero")):
        np.testing.assert_allclose(found["b"], expit(nu), rtol=1e-10)
    np.testing.assert_allclose(mimic.predict(BINARY, "linear")["b"], nu, rtol=1e-10)


def test_marginal_predictions_integrate_over_latent_variables(mimic):
    (u,), weight = (part.T if part.ndim > 1 else part for part in grid(1, step=0.02))
    for newdata in (None, BINARY):
        found = mimic.predict(newdata, "marginal")
        for label, row in BINARY.iterrows():
            _, nu = mimic_predictors(u, row["w"])
            assert found["c"][label] == pytest.approx(weight @ expit(nu["c"]), abs=1e-9)


# ------------------------------------------------ a Gaussian factor model


def test_scores_of_a_gaussian_model_are_those_of_the_regression_method():
    names = ["y1", "y2", "y3", "z1", "z2", "z3"]
    data = numbers(*names)
    loading = np.array([[1.0, 0], [0.8, 0], [1.2, 0.3], [0, 1.0], [0, 0.6], [0, 1.1]])
    psi = np.array([[1.5, 0.4], [0.4, 0.9]])
    sigma = np.array([0.5, 0.7, 0.9, 0.6, 1.1, 0.8])
    intercept = np.linspace(-0.5, 0.5, 6)
    values = {f"{y} ~ 1": v for y, v in zip(names, intercept, strict=True)}
    values |= {f"sigma({y})": v for y, v in zip(names, sigma, strict=True)}
    for k, f in enumerate("fg"):
        values |= {f"{f} =~ {y}": loading[i, k] for i, y in enumerate(names) if loading[i, k] not in (0, 1)}
        values |= {f"{f} ~~ {f}": psi[k, k]}
    text = "f =~ y1 + y2 + y3; g =~ z1 + z2 + z3 + y3"
    found = result_at(text, data, values=values | {"f ~~ g": psi[0, 1]}, points=1)
    implied = loading @ psi @ loading.T + np.diag(sigma**2)
    weights = psi @ loading.T @ np.linalg.inv(implied)
    scores = (data[names].to_numpy() - intercept) @ weights.T
    sd = np.sqrt(np.diagonal(psi - weights @ loading @ psi))
    frame = found.latent()["row"]
    np.testing.assert_allclose(frame[["f", "g"]], scores, atol=1e-10)
    np.testing.assert_allclose(frame[["sd_f", "sd_g"]], np.tile(sd, (N, 1)), atol=1e-10)


# ------------------------------------------------ two levels

SCHOOLS = pd.DataFrame({"school": np.repeat(["C", "A", "B"], 4)}).join(numbers("w")).join(binary("y1", "y2"))
SCHOOLS["s1"] = SCHOOLS["school"].map({"A": 1.0, "B": 0.0, "C": 3.0})
SCHOOLS["s2"] = SCHOOLS["school"].map({"A": 0.4, "B": -0.8, "C": np.nan})
SCHOOLS["ses"] = SCHOOLS["school"].map({"A": 0.5, "B": -1.0, "C": 0.2})
SCHOOLS.loc[5, ["y1", "y2"]] = np.nan
TWO_LEVEL = """
climate | school =~ s1 + s2
s1 + s2 | school ~ 1
climate ~ ses
read =~ y1 + y2
read ~ climate + w + (1 | school)
family(s1) = poisson
"""
TWO_LEVEL_AT = {
    "s1 ~ 1": 0.3,
    "s2 ~ 1": -0.2,
    "climate =~ s2": 0.8,
    "sigma(s2)": 0.7,
    "climate ~ ses": 0.5,
    "climate ~~ climate": 0.6,
    "y1 ~ 1": 0.1,
    "y2 ~ 1": -0.3,
    "read =~ y2": 0.9,
    "read ~ climate": 0.7,
    "read ~ w": 0.4,
    "read ~~ read": 0.8,
    "sd(read: 1 | school)": 0.5,
    "sigma(y1)": 0.9,
    "sigma(y2)": 1.1,
}


def two_level_school(rows):
    """Return grid weights of (climate, school effect) of one school, and the values of read's parts there.

    The two Gaussian items of a row are integrated over its own disturbance in closed form.
    """
    p = TWO_LEVEL_AT
    points, weight = grid(2, half=6.5, step=0.05)
    first = rows.iloc[0]
    climate = p["climate ~ ses"] * first["ses"] + np.sqrt(p["climate ~~ climate"]) * points[:, 0]
    effect = p["sd(read: 1 | school)"] * points[:, 1]
    weight = weight * poisson.pmf(first["s1"], np.exp(p["s1 ~ 1"] + climate))
    if np.isfinite(first["s2"]):
        weight = weight * norm.pdf(first["s2"], p["s2 ~ 1"] + p["climate =~ s2"] * climate, p["sigma(s2)"])
    loading = np.array([1.0, p["read =~ y2"]])
    noise = np.diag([p["sigma(y1)"] ** 2, p["sigma(y2)"] ** 2])
    implied = p["read ~~ read"] * np.outer(loading, loading) + noise
    inverse = np.linalg.inv(implied)
    gain = p["read ~~ read"] * loading @ inverse
    read, residual = {}, p["read ~~ read"] - p["read ~~ read"] * gain @ loading
    for label, row in rows.iterrows():
        centre = p["read ~ climate"] * climate + p["read ~ w"] * row["w"] + effect
        if np.isnan(row["y1"]):
            read[label] = (centre, p["read ~~ read"])
            continue
        error = np.stack([row["y1"] - p["y1 ~ 1"] - centre, row["y2"] - p["y2 ~ 1"] - loading[1] * centre])
        weight = weight * np.exp(-0.5 * np.einsum("in,ij,jn->n", error, inverse, error))
        read[label] = (centre + gain @ error, residual)
    return weight / weight.sum(), climate, effect, read


def test_responses_of_clusters_alone_are_predicted_in_every_row():
    """No response has a row of its own, yet the rows of a cluster show what it has."""
    text = "climate | school =~ s1 + s2 + s3; s1 + s2 + s3 | school ~ 1; climate ~ ses"
    data = SCHOOLS.assign(s3=SCHOOLS["school"].map({"A": 2.0, "B": 0.5, "C": 1.0}))
    fit = result_at(text, data.sample(frac=1.0, random_state=1), None, {"climate ~ ses": 0.7})
    found = fit.predict().loc[data.index]
    assert found[["s1", "s3"]].notna().all(axis=None)
    assert (found.groupby(data["school"])["s1"].nunique() == 1).all()
    # a school without s2 has no unit of it
    pd.testing.assert_series_equal(found["s2"].notna(), data["s2"].notna(), check_names=False)
    again = fit.predict(data)
    pd.testing.assert_frame_equal(found[["s1", "s3"]], again[["s1", "s3"]])
    scores = fit.latent()["school"]["climate"]
    np.testing.assert_allclose(found["s1"], fit.params["s1 ~ 1"] + data["school"].map(scores))
    np.testing.assert_allclose(fit.resid["s3"].loc[data.index], data["s3"] - found["s3"])
    assert fit.simulate(seed=1)[["s1", "s3"]].notna().all(axis=None)


@pytest.fixture(scope="module")
def two_level():
    return result_at(TWO_LEVEL, SCHOOLS, None, TWO_LEVEL_AT, points=15)


def test_scores_at_two_levels(two_level):
    latent, effects = two_level.latent(), two_level.ranef()
    assert list(latent["row"].columns) == ["read", "sd_read"]
    assert list(latent["row"].index) == list(range(N))
    assert set(effects) == {"school"}
    for school, rows in SCHOOLS.groupby("school"):
        weight, climate, effect, read = two_level_school(rows)
        np.testing.assert_allclose(latent["school"].loc[school], moments(weight, climate), atol=1e-6)
        np.testing.assert_allclose(effects["school"].loc[school], moments(weight, effect), atol=1e-6)
        for label in rows.index:
            centre, variance = read[label]
            mean, sd = moments(weight, centre)
            found = latent["row"].loc[label]
            np.testing.assert_allclose(found, [mean, np.hypot(sd, np.sqrt(variance))], atol=1e-6)


def test_responses_of_a_level_have_a_value_in_every_row(two_level):
    found = two_level.predict()
    climate = two_level.latent()["school"]["climate"]
    expected = np.exp(TWO_LEVEL_AT["s1 ~ 1"] + climate.loc[SCHOOLS["school"]].to_numpy())
    np.testing.assert_allclose(found["s1"], expected, rtol=1e-10)
    assert found["s2"].isna().sum() == 4
    # a new row of a known school: its school's climate, its own disturbance at 0
    new = SCHOOLS.drop(columns=["y1", "y2", "s1", "s2"])
    np.testing.assert_allclose(two_level.predict(new)["s1"], expected, rtol=1e-10)
    p, effect = TWO_LEVEL_AT, two_level.ranef()["school"]["read: (Intercept)"]
    read = p["read ~ climate"] * climate + effect
    nu = p["y2 ~ 1"] + p["read =~ y2"] * (read.loc[new["school"]].to_numpy() + p["read ~ w"] * new["w"])
    np.testing.assert_allclose(two_level.predict(new)["y2"], nu, rtol=1e-9)
    unseen = two_level.predict(new.assign(school="D"))
    centre = p["climate ~ ses"] * new["ses"]
    np.testing.assert_allclose(unseen["s1"], np.exp(p["s1 ~ 1"] + centre), rtol=1e-10)


def test_marginal_predictions_at_two_levels(two_level):
    p = TWO_LEVEL_AT
    expected = np.exp(p["s1 ~ 1"] + p["climate ~ ses"] * SCHOOLS["ses"] + 0.5 * p["climate ~~ climate"])
    np.testing.assert_allclose(two_level.predict(SCHOOLS, "marginal")["s1"], expected, rtol=1e-9)


def test_simulated_responses_of_a_level_are_constant_in_it(two_level):
    drawn = two_level.simulate(seed=2)
    assert (drawn["s1"].groupby(SCHOOLS["school"]).nunique() == 1).all()
    draws = two_level.simulate(2000, seed=1).xs("s1", axis=1, level="column").to_numpy()[0]
    expected = two_level.predict(kind="marginal")["s1"][0]
    assert abs(draws.mean() - expected) < 4.5 * draws.std() / np.sqrt(len(draws))


# ------------------------------------------------ products of latent variables

PRODUCT = (
    "f =~ a1 + a2; g =~ b1 + b2; h =~ c1 + c2; f ~~ g; h ~ f + g + f:g; y ~ h + f:f; family(y) = binomial"
)
PRODUCT_DATA = numbers("a1", "a2", "b1", "b2", "c1", "c2", n=5).join(binary("y", n=5))
PRODUCT_AT = {
    "f ~~ f": 0.8,
    "g ~~ g": 1.2,
    "f ~~ g": 0.3,
    "h ~ f": 0.5,
    "h ~ g": -0.4,
    "h ~ f:g": 0.6,
    "h ~~ h": 0.5,
    "y ~ 1": 0.2,
    "y ~ h": 0.7,
    "y ~ f:f": -0.3,
}


def product_values(u):
    """Return f, g, h and the linear predictor of y."""
    p = PRODUCT_AT
    f = np.sqrt(p["f ~~ f"]) * u[:, 0]
    rest = p["g ~~ g"] - p["f ~~ g"] ** 2 / p["f ~~ f"]
    g = p["f ~~ g"] / np.sqrt(p["f ~~ f"]) * u[:, 0] + np.sqrt(rest) * u[:, 1]
    h = p["h ~ f"] * f + p["h ~ g"] * g + p["h ~ f:g"] * f * g + np.sqrt(p["h ~~ h"]) * u[:, 2]
    return f, g, h, p["y ~ 1"] + p["y ~ h"] * h + p["y ~ f:f"] * f * f


@pytest.fixture(scope="module")
def product():
    return result_at(PRODUCT, PRODUCT_DATA, None, PRODUCT_AT, points=13)


def test_scores_of_products(product):
    points, prior = grid(3, half=5.6, step=0.14)
    f, g, h, nu = product_values(points)
    link = product.predict(kind="link")["y"]
    for label, row in PRODUCT_DATA.iterrows():
        weight = prior * np.where(row["y"] == 1, expit(nu), expit(-nu))
        for latent, items in ((f, "a"), (g, "b"), (h, "c")):
            for item in (f"{items}1", f"{items}2"):
                intercept, loading = product.params[f"{item} ~ 1"], product.params.get(f"x =~ {item}", 1.0)
                sigma = product.params[f"sigma({item})"]
                weight = weight * norm.pdf(row[item], intercept + loading * latent, sigma)
        found = product.latent()["row"].loc[label]
        np.testing.assert_allclose(found[["f", "sd_f"]], moments(weight, f), atol=2e-4)
        np.testing.assert_allclose(found["h"], moments(weight, h)[0], atol=2e-4)
        assert link[label] == pytest.approx(moments(weight, nu)[0], abs=2e-4)


def test_marginal_means_of_products(product):
    points, prior = grid(3, half=6.0, step=0.15)
    nu = product_values(points)[-1]
    found = product.predict(kind="marginal")["y"]
    np.testing.assert_allclose(found, prior @ expit(nu), atol=1e-4)
    np.testing.assert_allclose(product.predict(kind="link", random=False)["y"], prior @ nu, atol=1e-6)


# ------------------------------------------------ a covariate with missing values


def test_new_rows_use_a_covariate_where_it_is_observed():
    data = numbers("x", "w").join(binary("y"))
    data.loc[[2, 7], "x"] = np.nan
    at = {"y ~ 1": 0.3, "y ~ mi(x)": 0.8, "x ~ 1": -0.2, "x ~ w": 0.5, "sigma(x)": 0.9}
    found = result_at("y ~ mi(x); x ~ w; family(y) = binomial", data, None, at)
    mean = at["x ~ 1"] + at["x ~ w"] * data["w"]
    nu = at["y ~ 1"] + at["y ~ mi(x)"] * data["x"].fillna(mean)
    for new in (data, data.drop(columns="y")):
        np.testing.assert_allclose(found.predict(new, "link")["y"], nu, rtol=1e-10)
    observed = data["x"].notna()
    np.testing.assert_allclose(found.predict(kind="link")["y"][observed], nu[observed], rtol=1e-10)
    points, weight = grid(1, step=0.02)
    for label in (2, 7):
        x = mean[label] + at["sigma(x)"] * points[:, 0]
        expected = weight @ expit(at["y ~ 1"] + at["y ~ mi(x)"] * x)
        assert found.predict(data, "marginal")["y"][label] == pytest.approx(expected, abs=1e-9)
    unknown = found.predict(data[["w"]], "link")["y"]
    np.testing.assert_allclose(unknown, at["y ~ 1"] + at["y ~ mi(x)"] * mean, rtol=1e-10)


def test_new_rows_of_a_covariate_of_numbers_that_is_a_class(tmp_path):
    data = numbers("y", "w").join(binary("x").astype(float))
    data.loc[[2, 7], "x"] = np.nan
    fit = result_at("y ~ mi(x); x ~ w; family(x) = binomial", data)
    at = fit.params
    odds = at["mi(x)[0] ~ 1"] + at["mi(x)[0] ~ w"] * data["w"]
    mean = at["y ~ 1"] + at["y ~ mi(x)"] * data["x"].fillna(1.0 - expit(odds))
    fit.save(tmp_path / "fit.glamm")
    for found in (fit, glamm.load(tmp_path / "fit.glamm")):
        for new in (data, data.drop(columns="y"), data[data["x"] == 1.0], data[data["x"].isna()]):
            expected = mean[new.index]
            np.testing.assert_allclose(found.predict(new, "marginal"), expected, rtol=1e-10)
        expected = at["y ~ 1"] + at["y ~ mi(x)"] * (1.0 - expit(odds))
        np.testing.assert_allclose(found.predict(data[["w"]], "marginal"), expected, rtol=1e-10)
