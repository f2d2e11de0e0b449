"""Standardised parameters, fit measures and summaries of models with latent variables."""

import numpy as np
import pandas as pd
import pytest
from results_at import result_at

import glamm
from glamm.errors import GlammError

RNG = np.random.default_rng(11)
N = 40
DATA = pd.DataFrame(RNG.normal(size=(N, 7)).round(2), columns=["y1", "y2", "y3", "z1", "z2", "w", "x"])
TEXT = "f =~ y1 + y2 + y3; g =~ z1 + z2; g ~ f + w; y3 ~ x"
AT = {
    "y1 ~ 1": 0.4,
    "f =~ y2": 0.8,
    "f =~ y3": 1.3,
    "y3 ~ x": -0.6,
    "g =~ z2": 0.7,
    "g ~ f": 0.5,
    "g ~ w": -0.9,
    "f ~~ f": 1.4,
    "g ~~ g": 0.6,
    "sigma(y1)": 0.9,
    "sigma(y3)": 0.7,
    "sigma(z2)": 1.2,
}


def closed_form(p):
    """Return std.lv and std.all of some parameters as functions of all of them."""
    w, x = np.var(DATA["w"]), np.var(DATA["x"])
    f = p["f ~~ f"]
    g = p["g ~ f"] ** 2 * f + p["g ~ w"] ** 2 * w + p["g ~~ g"]
    y1, y3 = f + p["sigma(y1)"] ** 2, p["f =~ y3"] ** 2 * f + p["y3 ~ x"] ** 2 * x + p["sigma(y3)"] ** 2
    z2 = p["g =~ z2"] ** 2 * g + p["sigma(z2)"] ** 2
    return {
        "f =~ y1": (np.sqrt(f), np.sqrt(f / y1)),
        "f =~ y3": (p["f =~ y3"] * np.sqrt(f), p["f =~ y3"] * np.sqrt(f / y3)),
        "g =~ z2": (p["g =~ z2"] * np.sqrt(g), p["g =~ z2"] * np.sqrt(g / z2)),
        "g ~ f": (p["g ~ f"] * np.sqrt(f / g), p["g ~ f"] * np.sqrt(f / g)),
        "g ~ w": (p["g ~ w"] / np.sqrt(g), p["g ~ w"] * np.sqrt(w / g)),
        "y3 ~ x": (p["y3 ~ x"], p["y3 ~ x"] * np.sqrt(x / y3)),
        "y1 ~ 1": (p["y1 ~ 1"], p["y1 ~ 1"] / np.sqrt(y1)),
        "f ~~ f": (1.0, 1.0),
        "g ~~ g": (p["g ~~ g"] / g, p["g ~~ g"] / g),
        "sigma(y3)": (p["sigma(y3)"], p["sigma(y3)"] / np.sqrt(y3)),
    }


def test_standardised_parameters_and_their_standard_errors():
    found = result_at(TEXT, DATA, values=AT, points=1)
    frame, params = found.standardized(), found.params
    names = list(closed_form(params))
    expected = np.array(list(closed_form(params).values()))
    np.testing.assert_allclose(frame.loc[names, ["std.lv", "std.all"]], expected, rtol=1e-9)
    covariance = found.cov_params().to_numpy()
    for j, column in enumerate(("se.std.lv", "se.std.all")):
        slopes = []
        for name in params.index:
            step = pd.Series(1e-5 * (params.index == name), index=params.index)
            sides = [np.array(list(closed_form(params + s * step).values()))[:, j] for s in (1, -1)]
            slopes.append((sides[0] - sides[1]) / 2e-5)
        jacobian = np.column_stack(slopes)
        error = np.sqrt(np.einsum("ip,pq,iq->i", jacobian, covariance, jacobian))
        np.testing.assert_allclose(frame.loc[names, column], error, rtol=1e-6, atol=1e-9)


def test_standardised_covariances_are_correlations():
    text = "f =~ y1 + y2; g =~ z1 + z2; f ~~ g"
    found = result_at(text, DATA, values={"f ~~ f": 1.4, "g ~~ g": 0.6, "f ~~ g": 0.5}, points=1)
    expected = 0.5 / np.sqrt(1.4 * 0.6)
    np.testing.assert_allclose(found.standardized().loc["f ~~ g", ["std.lv", "std.all"]], expected)


@pytest.mark.parametrize("level", ["row", "id"])
def test_weights_count_copies(level):
    times = np.arange(N) % 3 + 1
    text = TEXT if level == "row" else TEXT.replace("f =~", "f | id =~").replace("g =~", "g | id =~")
    data = DATA.assign(id=np.arange(N), n=times)
    copies = data.loc[data.index.repeat(times)].reset_index(drop=True)
    one = result_at(text, data, values=AT, points=1, weights={level: "n"})
    two = result_at(text, copies.assign(id=copies.index), values=one.params.to_dict(), points=1)
    assert one.nobs == two.nobs
    pd.testing.assert_frame_equal(one.standardized(), two.standardized())


@pytest.mark.parametrize(
    ("family", "residual"),
    [
        ("binomial", np.pi**2 / 3),
        ("binomial(probit)", 1.0),
        ("ordinal", np.pi**2 / 3),
        ("ordinal(cloglog)", np.pi**2 / 6),
    ],
)
def test_latent_responses_have_the_variance_of_the_link(family, residual):
    items = pd.DataFrame(RNG.integers(0, 2, (N, 3)), columns=["a", "b", "c"])
    values = {"f =~ b": 0.8, "f =~ c": 1.5, "f ~~ f": 1.2}
    frame = result_at("f =~ a + b + c", items, family, values).standardized()
    expected = 1.5 * np.sqrt(1.2 / (1.5**2 * 1.2 + residual))
    assert frame.loc["f =~ c", "std.all"] == pytest.approx(expected, rel=1e-9)
    assert frame.loc["f =~ c", "std.lv"] == pytest.approx(1.5 * np.sqrt(1.2), rel=1e-9)


def test_responses_without_a_variance_have_no_standardised_loadings():
    counts = pd.DataFrame(RNG.poisson(2.0, (N, 2)), columns=["a", "b"])
    frame = result_at("f =~ a + b", counts, "poisson", {"f =~ b": 0.8}).standardized()
    assert frame.loc["f =~ b", "std.lv"] == pytest.approx(0.8)
    assert frame.loc["f =~ b", ["std.all", "se.std.all"]].isna().all()


# ------------------------------------------------ fit measures


def test_fit_measures_of_one_factor_in_wide_and_long_data():
    f = RNG.normal(size=N)
    wide = pd.DataFrame({name: f + RNG.normal(size=N) for name in ("a", "b", "c", "d")})
    wide["w"] = RNG.normal(size=N)
    wide.loc[3, "b"] = np.nan
    tall = wide.reset_index(names="id").melt(["id", "w"], var_name="item", value_name="y")
    one = glamm.fit("f =~ a + b + c + d; f ~ w", wide)
    two = glamm.fit("y ~ 0 + item; sigma(y) ~ 0 + item; f | id =~ y:item; f ~ w", tall)
    pd.testing.assert_series_equal(one.fit_measures(), two.fit_measures(), rtol=1e-5, atol=1e-7)
    measures = one.fit_measures()
    assert measures["df"] == 2 + 3
    page = str(one.summary())
    assert f"Chi-square:       {measures['chisq']:.3f} on 5 degrees of freedom" in page
    assert f"{measures['cfi']:.3f}, {measures['tli']:.3f}" in page


def test_a_saturated_model_fits_perfectly():
    measures = glamm.fit(
        "f =~ y1 + y2 + y3", DATA + np.outer(np.linspace(-2, 2, N), np.ones(7))
    ).fit_measures()
    assert measures["df"] == 0
    assert measures["chisq"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "family", "why"),
    [
        ("f =~ y1 + y2; b ~ f; family(b) = binomial", None, "not all responses are Gaussian"),
        ("f =~ y1 + y2 + y3; y1 ~ (1 | g)", None, "more than one level"),
        ("f =~ y1 + y2; g1 =~ z1 + z2; y3 ~ f:g1", None, "latent variables interact"),
        ("f =~ y1 + y2 + z1 + z2; y3 ~ y1 + f", None, "'y1' is a response and a covariate"),
        ("y1 ~ c; c ~ classes(2)", None, "the model has classes"),
    ],
)
def test_fit_measures_say_why_there_are_none(text, family, why):
    data = DATA.assign(b=np.arange(N) % 2, g=np.arange(N) % 5)
    with pytest.raises(GlammError, match=why):
        result_at(text, data, family, points=2).fit_measures()


def test_fit_measures_need_constant_loadings():
    found = result_at("f =~ y1 + y2 + y3; y3 ~ f:x", DATA, values={"y3 ~ f:x": 0.3}, points=1)
    with pytest.raises(GlammError, match="a loading depends on covariates"):
        found.fit_measures()


# ------------------------------------------------ tables


def test_summary_has_the_sections_of_a_latent_variable_model():
    found = result_at(TEXT, DATA, values=AT, points=1)
    page = str(found.summary())
    titles = [
        "Latent variables",
        "Regressions",
        "Intercepts",
        "Variances",
        "Residual standard deviations",
    ]
    lines = page.splitlines()
    places = [lines.index(title) for title in titles]
    assert places == sorted(places)
    assert page.startswith("Generalized linear latent and mixed model")
    assert "Latent variables: f, g (row)" in page
    # the held first loading has its value and nothing else
    assert [line.split() for line in lines if line.startswith(" f =~ y1")] == [["f", "=~", "y1", "1.0000"]]
    for name in found.params.index:
        assert any(line.startswith(f" {name} ") for line in lines), name


def test_tidy_and_coefficients_of_latent_variables():
    found = result_at(TEXT, DATA, values=AT, points=1)
    tidy = found.tidy()
    assert tidy["term"].is_unique
    assert tidy.loc["f =~ y2", "effect"] == "loading"
    assert tidy.loc["f ~~ f", ["effect", "group"]].tolist() == ["variance", "row"]
    np.testing.assert_allclose(tidy.loc["f =~ y2", "statistic"], 0.8 / found.bse["f =~ y2"])
    assert np.isnan(tidy.loc["f ~~ f", "statistic"])
    assert found.fixef()["g: f"] == pytest.approx(0.5)
    assert found.VarCorr().levels == ()


def test_variances_at_zero_have_no_standard_error():
    found = result_at("f =~ y1 + y2 + y3", DATA, values={"f ~~ f": 0.0}, points=1)
    assert np.isnan(found.bse["f ~~ f"])
    assert found.missing_errors["f ~~ f"] == "0, on the boundary: no standard error"


def test_saved_models_with_latent_variables_come_back(tmp_path):
    found = result_at(TEXT, DATA, values=AT, points=1)
    found.save(tmp_path / "fit")
    back = glamm.load(tmp_path / "fit")
    assert str(back.summary()) == str(found.summary())
    pd.testing.assert_frame_equal(back.standardized(), found.standardized())
    pd.testing.assert_series_equal(back.fit_measures(), found.fit_measures())
    pd.testing.assert_frame_equal(back.latent()["row"], found.latent()["row"])
    for kind in ("response", "marginal", "linear", "link"):
        np.testing.assert_array_equal(back.predict(DATA, kind), found.predict(DATA, kind))
    bare = found.without_data()
    assert str(bare.summary()) == str(found.summary())
    np.testing.assert_array_equal(bare.predict(DATA), found.predict(DATA))


def test_a_latent_variable_without_variance_has_no_standardised_coefficients():
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 4), "x": np.linspace(-1.0, 1.0, 40)})
    data["y"] = data["x"] + np.sin(np.arange(40.0))
    fit = result_at("y ~ x + 1*s:x; s | g ~ 0; s ~~ 1*s", data)
    still = result_at("y ~ x + 1*s:x; s | g ~ 0", data, values={"s ~~ s": 0.0})
    # warnings are errors in tests
    assert np.isfinite(fit.standardized().loc["y ~ x"]).all()
    assert np.isfinite(still.standardized().loc["y ~ x"]).all()
    assert still.standardized().loc["s ~~ s", ["std.lv", "std.all"]].isna().all()
