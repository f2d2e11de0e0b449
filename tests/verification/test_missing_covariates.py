"""Covariates of groups with missing values, against likelihoods that sum over what is missing."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

import glamm

RNG = np.random.default_rng(21)
SCHOOLS = 80


def made():
    """Return pupils of schools whose size is not known for a third of them."""
    count = RNG.integers(1, 7, SCHOOLS)
    v = RNG.normal(size=SCHOOLS).round(2)
    size = 0.5 + 0.8 * v + RNG.normal(size=SCHOOLS)
    effect = 0.6 * RNG.normal(size=SCHOOLS)
    school = np.repeat(np.arange(SCHOOLS), count)
    x = RNG.normal(size=len(school)).round(2)
    y = 1.0 + 0.4 * x + 0.7 * size[school] + effect[school] + RNG.normal(size=len(school))
    data = pd.DataFrame({"school": school, "v": v[school], "size_": size[school], "x": x, "y": y})
    data["b"] = (RNG.random(len(y)) < expit(0.5 * size[school] + 0.3 * x)).astype(int)
    return data.sample(frac=1.0, random_state=2)


WHOLE = made()
HOLES = WHOLE.assign(size_=WHOLE["size_"].where(WHOLE["school"] % 3 != 0))
TEXT = "y ~ x + mi(size_) + (1 | school); size_ | school ~ v"


def of_school(part, b):
    """Return the log-likelihood of a school at estimates b."""
    first = part.iloc[0]
    mean_size = b["size_ ~ 1"] + b["size_ ~ v"] * first["v"]
    known = np.isfinite(first["size_"])
    size = first["size_"] if known else mean_size
    between = b["sd(y: 1 | school)"] ** 2
    if not known:
        between += (b["y ~ mi(size_)"] * b["sigma(size_)"]) ** 2
    mean = b["y ~ 1"] + b["y ~ x"] * part["x"].to_numpy() + b["y ~ mi(size_)"] * size
    covariance = between + b["sigma(y)"] ** 2 * np.eye(len(part))
    total = multivariate_normal.logpdf(part["y"], mean, covariance)
    return total + (norm.logpdf(size, mean_size, b["sigma(size_)"]) if known else 0.0)


@pytest.mark.parametrize("data", [WHOLE, HOLES], ids=["nothing missing", "a third missing"])
def test_covariates_of_groups(data):
    fit = glamm.fit(TEXT, data)
    assert fit.converged
    names = fit.params.index.str.replace("sd(1 | school)", "sd(y: 1 | school)", regex=False)
    b = pd.Series(fit.params.to_numpy(), names)
    total = sum(of_school(part, b) for _, part in data.groupby("school"))
    assert fit.llf == pytest.approx(total, rel=1e-9)
    # the maximum: the likelihood written out falls off on both sides of each parameter
    for name, error in zip(names, fit.bse, strict=True):
        for step in (-0.2, 0.2):
            moved = b.copy()
            moved[name] += step * error
            assert sum(of_school(part, moved) for _, part in data.groupby("school")) < total


def test_nothing_missing_is_the_covariate_itself():
    plain = glamm.fit("y ~ x + size_ + (1 | school); size_ | school ~ v", WHOLE)
    found = glamm.fit(TEXT, WHOLE)
    assert found.llf == pytest.approx(plain.llf, rel=1e-9)
    assert found.params["y ~ mi(size_)"] == pytest.approx(plain.params["y ~ size_"], rel=1e-5)


def test_predictions_know_the_groups_value():
    fit = glamm.fit(TEXT, HOLES)
    b = fit.params
    score = fit.latent()["school"]["mi(size_)"]
    known = HOLES["size_"].notna()
    np.testing.assert_allclose(score[HOLES["school"][known]], HOLES["size_"][known])
    expected = b["y ~ 1"] + b["y ~ x"] * HOLES["x"] + b["y ~ mi(size_)"] * HOLES["school"].map(score)
    expected += HOLES["school"].map(fit.ranef()["school"].iloc[:, 0])
    found = fit.predict()["y"]
    pd.testing.assert_series_equal(found, expected, check_names=False, rtol=1e-8)
    pd.testing.assert_series_equal(fit.predict(HOLES)["y"], found, rtol=1e-8)


def test_other_responses_integrate_over_what_is_missing():
    fit = glamm.fit("b ~ x + mi(size_); size_ | school ~ v; family(b) = binomial", HOLES)
    b = fit.params
    z = np.arange(-8.0, 8.01, 0.05)
    weight = norm.pdf(z) * 0.05
    total = 0.0
    for _, part in HOLES.groupby("school"):
        first = part.iloc[0]
        mean = b["size_ ~ 1"] + b["size_ ~ v"] * first["v"]
        known = np.isfinite(first["size_"])
        size = np.array([first["size_"]]) if known else mean + b["sigma(size_)"] * z
        nu = b["b ~ 1"] + b["b ~ x"] * part["x"].to_numpy()[:, None] + b["b ~ mi(size_)"] * size
        sign = 2.0 * part["b"].to_numpy()[:, None] - 1.0
        likelihood = np.prod(expit(sign * nu), axis=0)
        total += np.log(likelihood[0] if known else weight @ likelihood)
        total += norm.logpdf(first["size_"], mean, b["sigma(size_)"]) if known else 0.0
    assert fit.llf == pytest.approx(total, rel=1e-8)


def test_residuals_of_missing_values_do_not_covary():
    text = "y ~ mi(z) + x; z ~ 1; x ~ 1; z ~~ x"
    data = WHOLE.assign(z=WHOLE["v"].where(WHOLE["school"] % 2 == 0))
    with pytest.raises(glamm.DataError, match="no residuals that covary") as caught:
        glamm.Model(text, data)
    assert "regress one on the other: z ~ x" in str(caught.value)


FLAGS = pd.Series(RNG.random(300) < 0.5)
SEEN = RNG.random(300) > 0.3
COLUMNS = {
    "numbers": FLAGS.astype(float).where(SEEN),
    "whole numbers": FLAGS.astype("Int64").where(SEEN),
    "booleans": FLAGS.astype("boolean").where(SEEN),
    "objects": FLAGS.astype(object).where(SEEN),
    "labels": FLAGS.map({False: "no", True: "yes"}).where(SEEN),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_two_categories_of_any_kind(kind, tmp_path):
    z = np.random.default_rng(5).normal(size=300)
    y = 1.0 + FLAGS + z + np.random.default_rng(6).normal(size=300)
    data = pd.DataFrame({"z": z, "y": y, "b": COLUMNS[kind]})
    fit = glamm.fit("y ~ mi(b) + z; b ~ z", data, {"b": "binomial"})
    p = fit.params
    effect = p.filter(like="y ~ mi(b)").iloc[0]
    membership = p[p.index.str.startswith("mi(b)[")]
    first = expit(membership.iloc[0] + membership.iloc[1] * z)
    known = np.where(SEEN, FLAGS, 1.0 - first)
    expected = p["y ~ 1"] + effect * known + p["y ~ z"] * z
    np.testing.assert_allclose(fit.predict(data), expected, rtol=1e-9)
    blind = p["y ~ 1"] + effect * (1.0 - first) + p["y ~ z"] * z
    np.testing.assert_allclose(fit.predict(data.drop(columns="b")), blind, rtol=1e-9)
    fit.save(tmp_path / "fit.glamm")
    np.testing.assert_allclose(glamm.load(tmp_path / "fit.glamm").predict(data), expected, rtol=1e-9)
